"""`do: publish`: append a message to a stream in the store, for consumers of your own beside Waybill.

The key is the stream's name behind `<prefix>stream:`, read with XREAD or a consumer group: fields `event_id`, `rule`
and `data`, which is the message as JSON. The entry is written by the very call that says the effect is done, so there
is one, and the stream is cut to its newest entries, so that nobody reading never fills the store.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from service.actions import Action, ActionContext, CompileTemplate, RetrySafety, TemplateRenderer


class Publish(Action, frozen=True, kw_only=True, tag="publish"):
    """`stream` names the stream, `message` is a JSON template, `length_max` is how many entries the stream keeps."""

    repeat: ClassVar[RetrySafety] = "keyed"
    summary: ClassVar[str] = "Appends a message to a stream in the store."

    stream: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}\Z")]
    message: Any
    length_max: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000

    def compile(self, compile_template: CompileTemplate) -> TemplateRenderer:
        """See Action. Inputs: the three words, the message rendered."""
        message = compile_template("message", self.message)
        return lambda scope: {"stream": self.stream, "length_max": self.length_max, "message": message(scope)}

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """See Action. Gives the `stream`."""
        context.publish(inputs["stream"], msgspec.json.encode(inputs["message"]), inputs["length_max"])
        return {"stream": inputs["stream"]}
