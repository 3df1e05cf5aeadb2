"""Sample deliveries, built from an event type and a record's id as the source's envelope has them. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from service.config import PlatformConfig, SourceConfig
from service.envelopes import CustomEnvelope, PlatformEnvelope, StandardWebhooksEnvelope
from service.envelopes.cloudevents import STRUCTURED
from service.envelopes.pointer_envelope import RecordOverride
from service.envelopes.pointers import parse_pointer
from service.platforms.kind import SampleRequest
from service.platforms.registry import kind_of


class SampleDelivery(Struct, frozen=True):
    """Unsigned delivery: its body, and the headers that carry metadata."""

    body: bytes
    headers: Mapping[str, str] = {}


def render(request: SampleRequest, source: SourceConfig, platform: PlatformConfig) -> SampleDelivery:
    """Build the delivery of a source."""
    envelope = source.envelope
    if isinstance(envelope, CustomEnvelope):
        return _by_pointers(request, envelope)
    if isinstance(envelope, PlatformEnvelope):
        build = kind_of(platform).sample_delivery
        # A source with the platform's envelope is on a platform that has one: the configuration was checked.
        assert build is not None
        return SampleDelivery(msgspec.json.encode(build(request, platform)))
    if isinstance(envelope, StandardWebhooksEnvelope):
        content: dict[str, Any] = {"type": request.event, "timestamp": request.at, "data": {}}
        return _with_record(content, envelope.record, "/data/id", request)
    return _with_record(_cloudevent(request), envelope.record, "/subject", request)


def _with_record(event: dict[str, Any], place: RecordOverride, usual: str, request: SampleRequest) -> SampleDelivery:
    """Set the record's id at its pointer, and its kind if the event type does not name it."""
    if place.kind is not None and place.kind.startswith("/"):
        _put(event, parse_pointer(place.kind), _name_of(_kind_of(request), place.kinds))
    _put(event, parse_pointer(place.id or usual), request.id)
    return SampleDelivery(msgspec.json.encode(event), {"content-type": STRUCTURED} if "specversion" in event else {})


def _by_pointers(request: SampleRequest, envelope: CustomEnvelope) -> SampleDelivery:
    event: dict[str, Any] = {}
    kind, place = _kind_of(request), envelope.type
    values = {
        envelope.id: request.event_id,
        place if isinstance(place, str) else None: request.event,
        envelope.occurred_at: request.at,
        envelope.record.kind: _name_of(kind, envelope.record.kinds),
        envelope.record.id: request.id,
    }
    for pointer, value in values.items():
        if pointer is not None and pointer.startswith("/"):
            _put(event, parse_pointer(pointer), value)
    body: Any = event
    if envelope.each is not None:
        steps = parse_pointer(envelope.each)
        body = {} if steps else [event]
        if steps:
            _put(body, steps, [event])
    headers = {} if isinstance(place, str) else {place.header.lower(): request.event}
    return SampleDelivery(msgspec.json.encode(body), headers)


def _put(body: dict[str, Any], steps: tuple[str, ...], value: object) -> None:
    for step in steps[:-1]:
        body = body.setdefault(step, {})
    body[steps[-1]] = value


def _kind_of(request: SampleRequest) -> str:
    """Return the kind in an event type: `purchase_order.updated` is about a purchase order."""
    return request.event.partition(".")[0]


def _name_of(kind: str, kinds: Mapping[str, str]) -> str:
    """Return the sender's name of a kind; the first name if the kind has none."""
    if kind in kinds or not kinds:
        return kind
    return next((name for name, ours in kinds.items() if ours == kind), next(iter(kinds)))


def _cloudevent(request: SampleRequest) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": request.event_id,
        "source": "/waybill/send",
        "type": request.event,
        "time": request.at,
        "datacontenttype": "application/json",
        "data": {},
    }
