"""Sample deliveries, generated from an event type and a record id. Pure.

The formats are those that the connectors parse. A custom envelope defines its format by JSON pointers.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from service.bodies.items import EACH
from service.bodies.pointers import parse_pointer
from service.config import PlatformConfig, SourceConfig
from service.envelopes import CustomEnvelope, PlatformEnvelope, StandardWebhooksEnvelope
from service.envelopes.cloudevents import STRUCTURED
from service.envelopes.pointer_envelope import RecordOverride
from service.platforms.kind import SampleRequest
from service.platforms.registry import kind_of


class SampleDelivery(Struct, frozen=True):
    """An unsigned delivery: the body, and headers with data that the body does not contain."""

    body: bytes
    headers: Mapping[str, str] = {}


def render(request: SampleRequest, source: SourceConfig, platform: PlatformConfig) -> SampleDelivery:
    """Build a delivery in the format of the source."""
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


def _with_record(
    event: dict[str, Any], override: RecordOverride, default_id: str, request: SampleRequest
) -> SampleDelivery:
    """Set the record id at the pointer of the source, and the record kind if the source reads it from the body."""
    if override.kind is not None and override.kind.startswith("/"):
        _put(event, parse_pointer(override.kind), _name_of(_kind_of(request), override.kinds))
    _put(event, parse_pointer(override.id or default_id), request.id)
    return SampleDelivery(msgspec.json.encode(event), {"content-type": STRUCTURED} if "specversion" in event else {})


def _by_pointers(request: SampleRequest, envelope: CustomEnvelope) -> SampleDelivery:
    event: dict[str, Any] = {}
    kind, event_type, record = _kind_of(request), envelope.type, envelope.record or RecordOverride()
    values = {
        envelope.id: request.event_id,
        event_type if isinstance(event_type, str) else None: request.event,
        envelope.occurred_at: request.at,
        record.kind: _name_of(kind, record.kinds),
        record.id: request.id,
    }
    for pointer, value in values.items():
        if pointer is not None and pointer.startswith("/"):
            _put(event, parse_pointer(pointer), value)
    body = event if envelope.each is None else wrap_item(event, envelope.each)
    headers = {} if isinstance(event_type, str) else {event_type.header.lower(): request.event}
    return SampleDelivery(msgspec.json.encode(body), headers)


def wrap_item(item: object, each: str) -> object:
    """Return a body with one item at the list that `each` points to."""
    body: object = [item]
    for step in reversed(parse_pointer(each.removesuffix(f"/{EACH}"))):
        body = [body] if step == EACH else {step: body}
    return body


def _put(body: dict[str, Any], steps: tuple[str, ...], value: object) -> None:
    for step in steps[:-1]:
        body = body.setdefault(step, {})
    body[steps[-1]] = value


def _kind_of(request: SampleRequest) -> str:
    """Return the record kind of an event type: `purchase_order` for `purchase_order.updated`."""
    return request.event.partition(".")[0]


def _name_of(kind: str, kinds: Mapping[str, str]) -> str:
    """Return the sender's name of a record kind, or the first name if the kind has none."""
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
