"""What a platform's delivery looks like, made of an event's name and a record's id. Pure.

The shapes are those the connectors read; for a custom envelope its own pointers say where everything stands.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from service.config import PlatformConfig, SourceConfig
from service.config.platforms import FlowRetailConfig, OpenFoodNetworkConfig, PackCloudConfig
from service.envelopes import CustomEnvelope, PlatformEnvelope, StandardWebhooksEnvelope
from service.envelopes.cloudevents import STRUCTURED
from service.envelopes.pointed import RecordDetour
from service.envelopes.pointers import parse_pointer


class Made(Struct, frozen=True):
    """A delivery to be signed: its body, and the headers that tell what the body does not."""

    body: bytes
    headers: Mapping[str, str] = {}


class Wanted(Struct, frozen=True):
    """What is to be told: `event` in the sender's words, the record's `id`, this event's own id, and the moment."""

    event: str
    id: str
    event_id: str
    at: str


def render(wanted: Wanted, source: SourceConfig, platform: PlatformConfig) -> Made:
    """Make a delivery as the source's sender would."""
    envelope = source.envelope
    if isinstance(envelope, CustomEnvelope):
        return _by_pointers(wanted, envelope)
    if isinstance(envelope, PlatformEnvelope):
        return Made(msgspec.json.encode(_by_platform(wanted, platform)))
    if isinstance(envelope, StandardWebhooksEnvelope):
        told: dict[str, Any] = {"type": wanted.event, "timestamp": wanted.at, "data": {}}
        return _with_record(told, envelope.record, "/data/id", wanted)
    return _with_record(_cloudevent(wanted), envelope.record, "/subject", wanted)


def _with_record(event: dict[str, Any], place: RecordDetour, usual: str, wanted: Wanted) -> Made:
    """Put the record's id where the source looks for it, and its kind if the type does not name it."""
    if place.kind is not None and place.kind.startswith("/"):
        _put(event, parse_pointer(place.kind), _name_of(_kind_of(wanted), place.kinds))
    _put(event, parse_pointer(place.id or usual), wanted.id)
    return Made(msgspec.json.encode(event), {"content-type": STRUCTURED} if "specversion" in event else {})


def _by_platform(wanted: Wanted, platform: PlatformConfig) -> dict[str, Any]:
    match platform:
        case PackCloudConfig():
            return {
                "event_code": wanted.event,
                "id": wanted.event_id,
                "organization_id": platform.organization_id,
                "occurred_at": wanted.at,
                "data": {"id": wanted.id},
            }
        case OpenFoodNetworkConfig():
            data = {"order": {"number": wanted.id}}
            return {"id": wanted.event_id, "at": wanted.at, "event": wanted.event, "data": data}
        case FlowRetailConfig():
            noun = "purchaseOrder" if wanted.event.startswith("PURCHASE") else "customer"
            return {"action": wanted.event, "tenant": {"Uid": platform.tenant_uid}, noun: {"Uid": wanted.id}}
        case _:  # Pexip Engage: a custom platform has no envelope of its own
            entity, _, event_type = wanted.event.partition(".")
            key = "callbackRequest" if entity == "Callback Request" else "appointment"
            data = {"eventType": event_type, key: {"id": wanted.id, "updatedAt": wanted.at}}
            return {"id": wanted.event_id, "entity": entity, "data": data}


def _by_pointers(wanted: Wanted, envelope: CustomEnvelope) -> Made:
    event: dict[str, Any] = {}
    kind, place = _kind_of(wanted), envelope.type
    told = {
        envelope.id: wanted.event_id,
        place if isinstance(place, str) else None: wanted.event,
        envelope.occurred_at: wanted.at,
        envelope.record.kind: _name_of(kind, envelope.record.kinds),
        envelope.record.id: wanted.id,
    }
    for pointer, value in told.items():
        if pointer is not None and pointer.startswith("/"):
            _put(event, parse_pointer(pointer), value)
    body: Any = event
    if envelope.each is not None:
        steps = parse_pointer(envelope.each)
        body = {} if steps else [event]
        if steps:
            _put(body, steps, [event])
    headers = {} if isinstance(place, str) else {place.header.lower(): wanted.event}
    return Made(msgspec.json.encode(body), headers)


def _put(body: dict[str, Any], steps: tuple[str, ...], value: object) -> None:
    for step in steps[:-1]:
        body = body.setdefault(step, {})
    body[steps[-1]] = value


def _kind_of(wanted: Wanted) -> str:
    """`purchase_order.updated` is about a purchase order."""
    return wanted.event.partition(".")[0]


def _name_of(kind: str, kinds: Mapping[str, str]) -> str:
    """Give the sender's name of one of our kinds; for a word that is no kind here, the first one that is."""
    if kind in kinds or not kinds:
        return kind
    return next((name for name, ours in kinds.items() if ours == kind), next(iter(kinds)))


def _cloudevent(wanted: Wanted) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": wanted.event_id,
        "source": "/waybill/send",
        "type": wanted.event,
        "time": wanted.at,
        "datacontenttype": "application/json",
        "data": {},
    }
