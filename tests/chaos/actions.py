"""An action that must not be repeated, offered to the workers of a chaos run as any installed package would."""

from collections.abc import Mapping
from typing import Any, ClassVar

from service.actions import Action, ActionContext, CompileTemplate, RetrySafety, TemplateRenderer
from service.errors import TransientError


class Strike(Action, frozen=True, kw_only=True, tag="strike"):
    """Posts to `url`; unsafe, so that whoever counts the posts sees a repetition."""

    repeat: ClassVar[RetrySafety] = "unsafe"
    summary: ClassVar[str] = "Strikes once."

    url: str

    def compile(self, compile_template: CompileTemplate) -> TemplateRenderer:
        url = compile_template("url", self.url, "url")
        return lambda scope: {"url": url(scope)}

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        key = {"idempotency-key": context.idempotency_key}
        answer = await context.resource("outbound").request(
            "POST", inputs["url"], headers=key, body=b"{}", seconds_max=10, bytes_max=1_000, guarded=True
        )
        if answer.status != 200:
            raise TransientError("target_unavailable", f"answered {answer.status}", http_status=answer.status)
        return {"http_status": answer.status}


ACTIONS = (Strike,)
