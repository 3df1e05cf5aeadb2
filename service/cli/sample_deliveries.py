"""Sample deliveries, generated from an event type and a record id. Pure.

The formats are those that the connectors parse. A custom envelope defines its format by JSON pointers.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from service.config import PlatformConfig, SourceConfig
from service.config.platforms import FlowRetailConfig, OpenFoodNetworkConfig, PackCloudConfig
from service.envelopes import CustomEnvelope, PlatformEnvelope, StandardWebhooksEnvelope
from service.envelopes.cloudevents import STRUCTURED
from service.envelopes.pointer_envelope import RecordOverride
from service.envelopes.pointers import parse_pointer


class SampleDelivery(Struct, frozen=True):
    """An unsigned delivery: the body, and headers with data that the body does not contain."""

    body: bytes
    headers: Mapping[str, str] = {}


class SampleRequest(Struct, frozen=True):
    """Values of a sample delivery: event type of the sender, record id, event id, and timestamp."""

    event: str
    id: str
    event_id: str
    at: str


def render(request: SampleRequest, source: SourceConfig, platform: PlatformConfig) -> SampleDelivery:
    """Build a delivery in the format of the source."""
    envelope = source.envelope
    if isinstance(envelope, CustomEnvelope):
        return _by_pointers(request, envelope)
    if isinstance(envelope, PlatformEnvelope):
        return SampleDelivery(msgspec.json.encode(_by_platform(request, platform)))
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


def _by_platform(request: SampleRequest, platform: PlatformConfig) -> dict[str, Any]:
    match platform:
        case PackCloudConfig():
            return {
                "event_code": request.event,
                "id": request.event_id,
                "organization_id": platform.organization_id,
                "occurred_at": request.at,
                "data": {"id": request.id},
            }
        case OpenFoodNetworkConfig():
            data = {"order": {"number": request.id}}
            return {"id": request.event_id, "at": request.at, "event": request.event, "data": data}
        case FlowRetailConfig():
            noun = "purchaseOrder" if request.event.startswith("PURCHASE") else "customer"
            return {"action": request.event, "tenant": {"Uid": platform.tenant_uid}, noun: {"Uid": request.id}}
        case _:  # Pexip Engage; a custom platform has no platform envelope
            sender_kind, _, event_type = request.event.partition(".")
            key = "callbackRequest" if sender_kind == "Callback Request" else "appointment"
            data = {"eventType": event_type, key: {"id": request.id, "updatedAt": request.at}}
            return {"id": request.event_id, "entity": sender_kind, "data": data}


def _by_pointers(request: SampleRequest, envelope: CustomEnvelope) -> SampleDelivery:
    event: dict[str, Any] = {}
    kind, event_type = _kind_of(request), envelope.type
    values = {
        envelope.id: request.event_id,
        event_type if isinstance(event_type, str) else None: request.event,
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
    headers = {} if isinstance(event_type, str) else {event_type.header.lower(): request.event}
    return SampleDelivery(msgspec.json.encode(body), headers)


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
