"""Unsafe action for the workers of a chaos run, installed as a package."""

from collections.abc import Mapping
from typing import Any, ClassVar

from service.actions import Action, ActionContext, CompileTemplate, RetrySafety, TemplateRenderer
from service.errors import TransientError


class Strike(Action, frozen=True, kw_only=True, tag="strike"):
    """Posts to `url`. The action is unsafe, so the target can count repeated calls."""

    repeat: ClassVar[RetrySafety] = "unsafe"
    summary: ClassVar[str] = "Post once."

    url: str

    def compile(self, compile_template: CompileTemplate) -> TemplateRenderer:
        url = compile_template("url", self.url, "url")
        return lambda scope: {"url": url(scope)}

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        key = {"idempotency-key": context.idempotency_key}
        response = await context.resource("outbound").request(
            "POST", inputs["url"], headers=key, body=b"{}", seconds_max=10, bytes_max=1_000, guarded=True
        )
        if response.status != 200:
            raise TransientError("target_unavailable", f"answered {response.status}", http_status=response.status)
        return {"http_status": response.status}


ACTIONS = (Strike,)
