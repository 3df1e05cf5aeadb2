"""`do: log`: write one line to the worker's log when a rule matches. The first action to try a rule with."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from service.actions import Action, ActionContext, CompileTemplate, RetrySafety, TemplateRenderer
from service.events import trace_id

MESSAGE_CHARS_MAX = 1_000


class Log(Action, frozen=True, kw_only=True, tag="log"):
    """`message` is a template; personal data in it is masked."""

    repeat: ClassVar[RetrySafety] = "idempotent"
    summary: ClassVar[str] = "Writes a line to the logs."

    level: Literal["debug", "info", "warning", "error"] = "info"
    message: str

    def compile(self, compile_template: CompileTemplate) -> TemplateRenderer:
        """Compile the template of the message.

        Returns:
            A renderer of `level` and of `message`, truncated to the length of a log line.
        """
        level, message = self.level, compile_template("message", self.message, "log")
        return lambda scope: {"level": level, "message": message(scope)[:MESSAGE_CHARS_MAX]}

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """Write the line.

        Returns:
            Nothing: an empty mapping.
        """
        write = getattr(context.resource("log"), inputs["level"])
        about = {"event_id": context.event_id, "trace_id": trace_id(context.traceparent), "rule_id": context.rule}
        write("action.logged", text=inputs["message"], **about)
        return {}
