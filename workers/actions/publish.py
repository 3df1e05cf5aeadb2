"""`do: publish`: append an entry to a Redis stream, for consumers outside Waybill.

The key is `<prefix>stream:<stream>`, to be read with XREAD or a consumer group. Its fields are `event_id`, `rule` and
`data`, the message as JSON. The store appends the entry and marks the effect as done atomically. The stream is trimmed
to its newest entries.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from service.actions import (
    JSON_STYLES,
    Action,
    ActionContext,
    CompileTemplate,
    JsonNumbers,
    RetrySafety,
    TemplateRenderer,
)


class Publish(Action, frozen=True, kw_only=True, tag="publish"):
    """`stream` names the stream, `message` is a JSON template, `length_max` is how many entries the stream keeps."""

    repeat: ClassVar[RetrySafety] = "keyed"
    summary: ClassVar[str] = "Appends a message to a stream in the store."

    stream: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}\Z")]
    message: Any
    json: JsonNumbers = "number"
    length_max: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000

    def compile(self, compile_template: CompileTemplate) -> TemplateRenderer:
        """Compile the template of the message.

        Returns:
            A renderer of `stream`, `length_max` and `message`.
        """
        message = compile_template("message", self.message, JSON_STYLES[self.json])
        return lambda scope: {"stream": self.stream, "length_max": self.length_max, "message": message(scope)}

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """Append the entry.

        Returns:
            `stream`.
        """
        context.publish(inputs["stream"], msgspec.json.encode(inputs["message"]), inputs["length_max"])
        return {"stream": inputs["stream"]}
