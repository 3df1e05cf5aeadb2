"""`envelope: cloudevents`: CloudEvents 1.0 over HTTP, in structured, batched and binary mode, in the JSON format.

Which mode a delivery is in is told by its body, not by its headers: what holds the attributes of an event is one (or,
in a list, several), whatever Content-Type says. Nobody signs that header, so otherwise whoever captured a structured
delivery could send it again as a binary one with attributes of their own, and a new identity.

In binary mode the attributes stand in headers. They tell what happened, but not which event it is: the id counts only
where the scheme signs it, else the signed bytes stand for it.
"""

import binascii
from collections.abc import Mapping, Sequence
from typing import ClassVar
from urllib.parse import unquote

import msgspec

from service.envelopes.envelope import FACTS_MAX, DeliveryParser, ParseContext, ParsedDelivery, not_an_event, read_each
from service.envelopes.pointer_envelope import EventPointers, FactBuilder, PointerEnvelope, RecordOverride
from service.envelopes.strict_json import (
    Members,
    check_body,
    invalid_json,
    read_children,
    read_items,
    read_scalar,
)
from service.errors import Rejection
from service.events import Delivery, Fact

VERSION = "1.0"
STRUCTURED, BATCHED = "application/cloudevents+json", "application/cloudevents-batch+json"
ATTRIBUTES = frozenset({"specversion", "id", "source", "type"})
"""What every event has."""
RECORD = "/subject"


class CloudEventsEnvelope(PointerEnvelope, frozen=True, kw_only=True, tag="cloudevents"):
    """Without fields the record's id is the `subject`. Pointers are into the event, so into its data with /data/…."""

    record: RecordOverride = RecordOverride()

    content_types: ClassVar[frozenset[str]] = frozenset({"*"})

    def reader(self, context: ParseContext) -> DeliveryParser:
        """See Envelope."""
        return _CloudEventsReader(self, context).read


class _CloudEventsReader:
    def __init__(self, envelope: CloudEventsEnvelope, context: ParseContext) -> None:
        place = envelope.record
        parts = EventPointers(
            id="/id",
            type="/type",
            moment="/time",
            record=place.id or RECORD,
            kind=place.kind,
            kinds=place.kinds,
        )
        self.writer = FactBuilder(envelope, parts, context)
        self.depth_max = context.depth_max

    def read(self, delivery: Delivery) -> ParsedDelivery:
        body, headers = delivery.body, delivery.headers
        media = headers.get("content-type", "").partition(";")[0].strip().lower()
        if media.startswith("application/cloudevents") and media not in {STRUCTURED, BATCHED}:
            raise _wrong_media()
        events = self._events(body, media)
        if events is not None:
            return ParsedDelivery(
                read_each([members for _, members in events], self._event), tuple([text for text, _ in events])
            )
        if media in {STRUCTURED, BATCHED}:
            raise not_an_event("Send a CloudEvent in structured mode, or a list of them in batched mode.")
        if "ce-specversion" not in headers:
            raise _wrong_media()
        return ParsedDelivery((self._binary(headers, body),), (body,), is_json=False)

    def _events(self, body: bytes, media: str) -> list[tuple[bytes, Members]] | None:
        """Give the events that a body holds, each as its bytes and its members; None for a body that is data."""
        opening = body.lstrip(b" \t\r\n")[:1]
        if opening not in {b"{", b"["}:
            return None
        try:
            check_body(body, self.depth_max)
            items = [body] if opening == b"{" else read_items(body) or []
            events = [(item, read_children(item)) for item in items[:FACTS_MAX]]
        except Rejection:
            if _meant_as_event(body, media):
                raise
            return None  # text of another kind that begins with a bracket
        if not _in_mode(STRUCTURED if opening == b"{" else BATCHED, media, events):
            return None
        if len(items) > FACTS_MAX:
            raise not_an_event(f"Send at most {FACTS_MAX} events in one delivery.")
        return events

    def _event(self, members: Members) -> Fact:
        """Read one event in JSON. Its identity is source and id together, as the specification says."""
        if not members.keys() >= ATTRIBUTES:
            raise not_an_event(f"Name the {', '.join(sorted(ATTRIBUTES))} of each event.")
        found: dict[str, bytes] = {name: bytes(members[name]) for name in ("specversion", "source")}
        for step, walk in self.writer.walk.steps.items():
            if step in members:
                walk.extract(bytes(members[step]), found)
            elif step == "data" and "data_base64" in members:
                walk.extract(self._decoded(bytes(members["data_base64"])), found)
        return self._fact(found, signed=True)

    def _binary(self, headers: Mapping[str, str], body: bytes) -> Fact:
        found = {name: _header_text(headers.get(f"ce-{name}", "")) for name in ("specversion", "source")}
        for step, walk in self.writer.walk.steps.items():
            if step == "data":
                check_body(body, self.depth_max)
                walk.extract(body, found)
            elif f"ce-{step}" in headers:
                walk.extract(_header_text(headers[f"ce-{step}"]), found)
        return self._fact(found, signed=False)

    def _fact(self, found: dict[str, bytes], *, signed: bool) -> Fact:
        if read_scalar(found["specversion"]) != VERSION:
            raise not_an_event(f"Send CloudEvents of version {VERSION}.")
        source = read_scalar(found["source"])
        if not isinstance(source, str) or not source or " " in source:
            raise not_an_event("Name the event's source, a URI reference.")
        event_id = self.writer.text("id", found)
        if not event_id:
            raise not_an_event("Name the event's id.")
        fact = self.writer.build(self.writer.text("type", found), found)
        return msgspec.structs.replace(fact, id=f"{source} {event_id}" if signed else None)

    def _decoded(self, text: bytes) -> bytes:
        value = read_scalar(text)
        try:
            data = binascii.a2b_base64(value if isinstance(value, str) else "", strict_mode=True)
        except ValueError:
            raise invalid_json("Send data_base64 in base64.") from None
        check_body(data, self.depth_max)
        return data


def _meant_as_event(body: bytes, media: str) -> bool:
    """Whether a body that is no JSON was to be some, by what its sender says of it or by what it names."""
    return not media or media.endswith("json") or b"specversion" in body


def _in_mode(mode: str, media: str, events: Sequence[tuple[bytes, Members]]) -> bool:
    """Whether these are events in `mode`, by Content-Type, or because one has the attributes of an event."""
    if media in {STRUCTURED, BATCHED}:
        return media == mode
    return any(members.keys() >= ATTRIBUTES for _, members in events)


def _header_text(value: str) -> bytes:
    """Give a header's value as JSON text; what is no visible ASCII stands percent-encoded in it (HTTP binding 3.1)."""
    try:
        return msgspec.json.encode(unquote(value, errors="strict"))
    except (UnicodeDecodeError, UnicodeEncodeError):
        raise not_an_event("Send the attributes as UTF-8, percent-encoded.") from None


def _wrong_media() -> Rejection:
    detail = "Send a CloudEvent in the JSON format, or in binary mode with its ce- headers."
    return Rejection(415, "unsupported_media_type", detail, {"accept": f"{STRUCTURED}, {BATCHED}"})
