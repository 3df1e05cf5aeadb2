"""Deliveries like a captured one: the stored body and headers with a new event id. Pure.

Without a new id the delivery would be a duplicate. Credentials and signatures are not stored; the sender signs again.
"""

import re
from collections.abc import Mapping

import msgspec

from service.bodies.pointers import HeaderRef
from service.envelopes import CloudEventsEnvelope, CustomEnvelope
from service.envelopes.cloudevents import STRUCTURED
from service.envelopes.envelope import Envelope
from service.events import Event
from service.sending.sample_deliveries import SampleDelivery, wrap_item

BLANKS = (b" ", b"\t")
NUMBER_DIGITS = 18
"""Digits of a new id that is a number: it fits into 64 bits."""
_WORD = rb"[A-Za-z0-9_.%+-]"


def repeat_delivery(event: Event, envelope: Envelope, new_id: str, *, keep_id: bool) -> SampleDelivery:
    """Build a delivery with the content of an event. `new_id` is 32 hex digits; with `keep_id` it is not used.

    If the sender has no event ids, blanks at the end make a JSON body a new one. A body that is a form stays the same.
    """
    body, headers = event.body, dict(event.headers)
    if not keep_id:
        body, headers = _with_new_id(event, _sent_id(event, envelope), new_id)
    if isinstance(envelope, CustomEnvelope):
        headers |= _headers_of(envelope, event, headers)
        if envelope.each is not None:
            body = msgspec.json.encode(wrap_item(msgspec.Raw(body), envelope.each))
    elif "batch" in headers.get("content-type", ""):
        headers["content-type"] = STRUCTURED  # the event stores one item of the batch
    return SampleDelivery(body, headers)


def _sent_id(event: Event, envelope: Envelope) -> str | None:
    """Return the event id as it is in the delivery. The id of a CloudEvent is stored behind its source."""
    if event.sender_id is None or not isinstance(envelope, CloudEventsEnvelope):
        return event.sender_id
    return event.sender_id.rpartition(" ")[2]


def _with_new_id(event: Event, old_id: str | None, new_id: str) -> tuple[bytes, dict[str, str]]:
    headers = dict(event.headers)
    if old_id is None:
        return (event.body + _as_blanks(new_id) if _is_json(event.body) else event.body), headers
    written = str(int(new_id, 16))[:NUMBER_DIGITS] if old_id.isdecimal() else new_id
    headers = {name: written if value == old_id else value for name, value in headers.items()}
    if old_id == event.record.id:  # another value would be another record
        return event.body, headers
    whole = rb"(?<!%b)%b(?!%b)" % (_WORD, re.escape(old_id.encode()), _WORD)
    return re.sub(whole, written.encode(), event.body), headers


def _headers_of(envelope: CustomEnvelope, event: Event, stored: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that the envelope reads and that are not stored."""
    values = ((envelope.type, event.type), (envelope.occurred_at, event.occurred_at), (envelope.id, event.sender_id))
    named = {place.header.lower(): value for place, value in values if isinstance(place, HeaderRef) and value}
    return {name: value for name, value in named.items() if name not in stored}


def _as_blanks(new_id: str) -> bytes:
    """Write the last 64 bits of an id as blanks and tabs."""
    number = int(new_id[-16:], 16)
    return b"".join(BLANKS[number >> bit & 1] for bit in range(64))


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except msgspec.MsgspecError:
        return False
    return True
