"""`envelope: cloudevents`: CloudEvents 1.0 over HTTP, in structured, batched and binary mode, in the JSON format.

The body determines the mode, not the headers. A body with the attributes of an event is structured, and a list of them
is batched. The header Content-Type is not signed. If it determined the mode, an attacker could resend a captured
structured delivery in binary mode, with other attributes and a new identity.

In binary mode the attributes are in headers. The id of an event is used only if the scheme signs it. Otherwise the
signed bytes are its identity.
"""

import binascii
from collections.abc import Mapping, Sequence
from typing import ClassVar
from urllib.parse import unquote

import msgspec

from service.bodies.strict_json import (
    Members,
    check_body,
    invalid_json,
    read_children,
    read_items,
    read_scalar,
)
from service.envelopes.envelope import (
    DeliveryParser,
    ParseContext,
    ParsedDelivery,
    read_each,
    too_many_events,
    unrecognized_event,
)
from service.envelopes.pointer_envelope import EventPointers, FactBuilder, PointerEnvelope, RecordOverride
from service.errors import Rejection
from service.events import Delivery, Fact

VERSION = "1.0"
STRUCTURED, BATCHED = "application/cloudevents+json", "application/cloudevents-batch+json"
ATTRIBUTES = frozenset({"specversion", "id", "source", "type"})
"""The required attributes of an event."""
RECORD = "/subject"


class CloudEventsEnvelope(PointerEnvelope, frozen=True, kw_only=True, tag="cloudevents"):
    """CloudEvents: by default the record's id is the `subject`. Pointers start at the event: /data/… for its data."""

    record: RecordOverride = RecordOverride()

    content_types: ClassVar[frozenset[str]] = frozenset({"*"})

    def reader(self, context: ParseContext) -> DeliveryParser:
        """Build the parser for one source."""
        return _CloudEventsReader(self, context).read


class _CloudEventsReader:
    def __init__(self, envelope: CloudEventsEnvelope, context: ParseContext) -> None:
        record = envelope.record
        pointers = EventPointers(
            id="/id",
            type="/type",
            occurred_at="/time",
            record=record.id or RECORD,
            kind=record.kind,
            kinds=record.kinds,
        )
        self.builder = FactBuilder(envelope, pointers, context)
        self.depth_max = context.depth_max
        self.events_max = context.events_max

    def read(self, delivery: Delivery) -> ParsedDelivery:
        body, headers = delivery.body, delivery.headers
        media = headers.get("content-type", "").partition(";")[0].strip().lower()
        if delivery.is_item:
            media = STRUCTURED
        if media.startswith("application/cloudevents") and media not in {STRUCTURED, BATCHED}:
            raise _unsupported_media_type()
        events = self._events(body, media)
        if events is not None:
            return read_each([members for _, members in events], [text for text, _ in events], self._event)
        if media in {STRUCTURED, BATCHED}:
            raise unrecognized_event("Send a CloudEvent in structured mode, or a list of them in batched mode.")
        if "ce-specversion" not in headers:
            raise _unsupported_media_type()
        return ParsedDelivery((self._binary(headers, body),), (body,), is_json=False)

    def _events(self, body: bytes, media: str) -> list[tuple[bytes, Members]] | None:
        """Return the events in a body, each as bytes and members, or None for a body that is the data of an event."""
        opening = body.lstrip(b" \t\r\n")[:1]
        if opening not in {b"{", b"["}:
            return None
        try:
            check_body(body, self.depth_max)
            items = [body] if opening == b"{" else read_items(body) or []
            events = [(item, read_children(item)) for item in items[: self.events_max]]
        except Rejection:
            if _claims_to_be_json(body, media):
                raise
            return None  # data in another format that begins with a bracket
        if not _in_mode(STRUCTURED if opening == b"{" else BATCHED, media, events):
            return None
        if len(items) > self.events_max:
            raise too_many_events(self.events_max, "as the whole body")
        return events

    def _event(self, members: Members) -> Fact:
        """Parse one event in JSON. Its identity is source and id together (CloudEvents 1.0, attribute `id`)."""
        if not members.keys() >= ATTRIBUTES:
            raise unrecognized_event(f"Send the attributes {', '.join(sorted(ATTRIBUTES))} with each event.")
        found: dict[str, bytes] = {name: bytes(members[name]) for name in ("specversion", "source")}
        for step, subtree in self.builder.tree.children.items():
            if step in members:
                subtree.extract(bytes(members[step]), found)
            elif step == "data" and "data_base64" in members:
                subtree.extract(self._decode_data(bytes(members["data_base64"])), found)
        return self._fact(found, signed=True)

    def _binary(self, headers: Mapping[str, str], body: bytes) -> Fact:
        found = {name: _header_text(headers.get(f"ce-{name}", "")) for name in ("specversion", "source")}
        for step, subtree in self.builder.tree.children.items():
            if step == "data":
                check_body(body, self.depth_max)
                subtree.extract(body, found)
            elif f"ce-{step}" in headers:
                subtree.extract(_header_text(headers[f"ce-{step}"]), found)
        return self._fact(found, signed=False)

    def _fact(self, found: dict[str, bytes], *, signed: bool) -> Fact:
        if read_scalar(found["specversion"]) != VERSION:
            raise unrecognized_event(f"Send CloudEvents of version {VERSION}.")
        source = read_scalar(found["source"])
        if not isinstance(source, str) or not source or " " in source:
            raise unrecognized_event("Send the attribute source, a URI reference.")
        event_id = self.builder.text("id", found)
        if not event_id:
            raise unrecognized_event("Send the attribute id.")
        fact = self.builder.build(self.builder.text("type", found), found)
        return msgspec.structs.replace(fact, id=f"{source} {event_id}" if signed else None)

    def _decode_data(self, text: bytes) -> bytes:
        value = read_scalar(text)
        try:
            data = binascii.a2b_base64(value if isinstance(value, str) else "", strict_mode=True)
        except ValueError:
            raise invalid_json("Send data_base64 in base64.") from None
        check_body(data, self.depth_max)
        return data


def _claims_to_be_json(body: bytes, media: str) -> bool:
    """Return whether invalid JSON was meant as JSON, judging by its media type and by the word specversion."""
    return not media or media.endswith("json") or b"specversion" in body


def _in_mode(mode: str, media: str, events: Sequence[tuple[bytes, Members]]) -> bool:
    """Return whether these are events in `mode`, by Content-Type, or because one has the attributes of an event."""
    if media in {STRUCTURED, BATCHED}:
        return media == mode
    return any(members.keys() >= ATTRIBUTES for _, members in events)


def _header_text(value: str) -> bytes:
    """Decode the percent-encoded value of a header into JSON text (CloudEvents HTTP binding, section 3.1)."""
    try:
        return msgspec.json.encode(unquote(value, errors="strict"))
    except (UnicodeDecodeError, UnicodeEncodeError):
        raise unrecognized_event("Send the attributes as UTF-8, percent-encoded.") from None


def _unsupported_media_type() -> Rejection:
    detail = "Send a CloudEvent in the JSON format, or in binary mode with its ce- headers."
    return Rejection(415, "unsupported_media_type", detail, {"accept": f"{STRUCTURED}, {BATCHED}"})
