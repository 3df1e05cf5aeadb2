"""`do: emit`: add an event about this or another record to the queue, derived from this event.

The store adds the event and marks the effect as done atomically. The event's id is derived from the effect's
idempotency key, so that a repeated effect adds it once. The depth of derived events is limited. An action that would
emit for a record that it already emitted for is a loop and fails.
"""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from service.actions import Action, ActionContext, CompileTemplate, RetrySafety, TemplateRenderer
from service.errors import PermanentError
from service.events import EVENT_VERSION, ChangeType, Event, RecordRef

STEP_CHARACTERS = 12
RECORD_CHARACTERS_MAX = 256


class Emit(Action, frozen=True, kw_only=True, tag="emit"):
    """`type` names the event for rules and logs. `record` is a template of the record's id, by default this record's.

    `kind` and `platform` are those of this event's record if left out.
    """

    repeat: ClassVar[RetrySafety] = "keyed"
    summary: ClassVar[str] = "Puts an event about this or another record into the queue."

    type: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")]
    change: ChangeType = "changed"
    record: Annotated[str, Meta(min_length=1, max_length=500)] = "{id}"
    kind: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,39}\Z", description="a record kind")] | None = None
    platform: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,63}\Z")] | None = None

    def compile(self, compile_template: CompileTemplate) -> TemplateRenderer:
        """Compile the templates of record, kind and platform.

        Returns:
            A renderer of type, change, platform, kind, record, depth and trail.
        """
        record = compile_template("record", self.record)
        kind = compile_template("kind", self.kind or "{event.record.kind}")
        platform = compile_template("platform", self.platform or "{event.record.platform}")
        depth, trail = compile_template("depth", "{event.depth}"), compile_template("trail", "{event.trail}")
        return lambda scope: {
            "type": self.type,
            "change": self.change,
            "platform": platform(scope),
            "kind": kind(scope),
            "record": record(scope),
            "depth": depth(scope),
            "trail": trail(scope),
        }

    @classmethod
    async def run(cls, inputs: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """Emit the event.

        Returns:
            `emitted`, the id of the event.

        Raises:
            PermanentError: `no_record`, `emit_loop` or `emit_too_deep`.
        """
        ref = RecordRef(inputs["platform"], inputs["kind"], _record_id(inputs["record"]))
        step = hashlib.sha256(f"{context.rule}:{context.action}:{ref.lane}".encode()).hexdigest()[:STEP_CHARACTERS]
        steps = [each for each in inputs["trail"].split(",") if each]
        if step in steps:
            raise PermanentError("emit_loop", f"{context.rule} already emitted for this record on the way here")
        depth, depth_max = inputs["depth"] + 1, context.resource("emit_depth_max")
        if depth > depth_max:
            raise PermanentError("emit_too_deep", f"{depth_max} emit actions lie between the sender and this event")
        event = Event(
            version=EVENT_VERSION,
            id=hashlib.sha256(context.idempotency_key.encode()).hexdigest()[:32],
            source=context.source,
            type=inputs["type"],
            change=inputs["change"],
            record=ref,
            occurred_at=None,
            headers={},
            traceparent=context.traceparent,
            body=b"{}",
            depth=depth,
            trail=",".join([*steps, step]),
        )
        context.emit(event)
        return {"emitted": event.id}


def _record_id(rendered: object) -> str:
    text = str(rendered) if isinstance(rendered, str | int) else ""
    if not text or len(text) > RECORD_CHARACTERS_MAX or not text.isprintable():
        raise PermanentError("no_record", "the template of record gave no id")
    return text
