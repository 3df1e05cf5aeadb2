"""`envelope: {kind: custom, …}`: JSON pointers to id, type, time and record, for any sender of JSON."""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta

from service.bodies.items import items_at
from service.bodies.pointers import HeaderRef, ListPointer, PointerOrHeader, parse_pointer
from service.bodies.strict_json import check_body
from service.envelopes.envelope import (
    DeliveryParser,
    ParseContext,
    ParsedDelivery,
    read_each,
    single_fact,
    too_many_events,
    unrecognized_event,
)
from service.envelopes.pointer_envelope import EventPointers, FactBuilder, PointerEnvelope, RecordPointers, TypeMapping
from service.events import Delivery, Fact

TypePointer = Annotated[
    str,
    Meta(
        pattern=r"^([^/].*|(/([^~/]|~[01])*)+)\Z",
        max_length=500,
        description="a JSON pointer such as /type, or fixed text",
    ),
]


class CustomEnvelope(PointerEnvelope, frozen=True, kw_only=True, tag="custom"):
    """Custom envelope of any JSON.

    `type` is a pointer, `{header: …}`, or a fixed text if the sender has no event types. Without an `id` the signed
    bytes are the event's identity. `record` is required for a source with a platform.

    `each` points to a list of events, if a delivery contains several. The empty pointer means that the body is the
    list. A step `*` stands for all items of a list inside: `/entry/*/changes`. The other pointers are then relative to
    one item.
    """

    id: PointerOrHeader | None = None
    type: TypePointer | HeaderRef
    occurred_at: PointerOrHeader | None = None
    each: ListPointer | None = None
    record: RecordPointers | None = None
    unmapped: TypeMapping | None = "changed"

    def reader(self, context: ParseContext) -> DeliveryParser:
        """Build the parser for one source."""
        return _CustomReader(self, context).read


class _CustomReader:
    """Parser for the deliveries of one source."""

    def __init__(self, envelope: CustomEnvelope, context: ParseContext) -> None:
        self.depth_max = context.depth_max
        self.type = envelope.type
        pointed = isinstance(self.type, str) and self.type.startswith("/")
        record = envelope.record
        pointers = EventPointers(
            id=envelope.id,
            type=str(self.type) if pointed else None,
            occurred_at=envelope.occurred_at,
            record=record and record.id,
            kind=record and record.kind,
            kinds=record.kinds if record else {},
            optional=record is not None and record.optional,
        )
        self.builder = FactBuilder(envelope, pointers, context)
        self.events_max = context.events_max
        self.each = envelope.each
        self.steps = parse_pointer(self.each or "")

    def read(self, delivery: Delivery) -> ParsedDelivery:
        body = delivery.body
        check_body(body, self.depth_max)
        if self.each is None or delivery.is_item:
            return single_fact(self._fact(body, delivery.headers), body)
        items = items_at(body, self.steps)
        if items is None or len(items) > self.events_max:
            raise too_many_events(self.events_max, f"at {self.each}" if self.each else "as the whole body")
        return read_each(items, items, lambda item: self._fact(item, delivery.headers))

    def _fact(self, event: bytes, headers: Mapping[str, str]) -> Fact:
        found: dict[str, bytes] = {}
        self.builder.tree.extract(event, found)
        return self.builder.build(self._type(found, headers), found)

    def _type(self, found: Mapping[str, bytes], headers: Mapping[str, str]) -> str:
        if "type" in self.builder.pointers:
            return self.builder.text("type", found)
        if isinstance(self.type, str):
            return self.type
        event_type = headers.get(self.type.header.lower(), "")
        if not event_type:
            raise unrecognized_event(f"Send the event type in the header {self.type.header}.")
        return event_type
