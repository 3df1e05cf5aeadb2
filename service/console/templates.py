"""What a platform's delivery looks like, made of an event's name and a record's id. Pure.

The shapes are those the connectors read; for a custom envelope its own pointers say where everything stands.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from service.config import PlatformConfig, SourceConfig
from service.config.platforms import CustomConfig, FlowRetailConfig, OpenFoodNetworkConfig, PackCloudConfig
from service.envelopes import CustomEnvelope, PlatformEnvelope
from service.envelopes.pointers import parse_pointer
from service.errors import ConfigError


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


def render(wanted: Wanted, source: SourceConfig, platform: PlatformConfig, at: str) -> Made:
    """Make a delivery as the source's sender would; `at` is where the source stands in waybill.yaml.

    Raises:
        ConfigError: there is no template for such an envelope.
    """
    envelope = source.envelope
    if isinstance(envelope, CustomEnvelope):
        return _by_pointers(wanted, envelope)
    if isinstance(envelope, PlatformEnvelope):
        return Made(msgspec.json.encode(_by_platform(wanted, platform)))
    tag = str(envelope.__struct_config__.tag)
    if tag not in _STANDARDS:
        raise ConfigError(f"{at}.envelope", f"there is no template for {tag}", "give the body by --file")
    return Made(msgspec.json.encode(_STANDARDS[tag](wanted, _kind_of(wanted))))


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
        case CustomConfig():
            return {"type": wanted.event, "data": {"id": wanted.id}}
        case _:
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
        envelope.record.kind: next((name for name, ours in envelope.record.kinds.items() if ours == kind), kind),
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


def _standard_webhooks(wanted: Wanted, kind: str) -> dict[str, Any]:
    return {"type": wanted.event, "timestamp": wanted.at, "data": {"id": wanted.id, "kind": kind}}


def _cloudevents(wanted: Wanted, kind: str) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": wanted.event_id,
        "source": "/waybill/send",
        "type": wanted.event,
        "time": wanted.at,
        "subject": wanted.id,
        "datacontenttype": "application/json",
        "data": {"id": wanted.id, "kind": kind},
    }


_STANDARDS: Mapping[str, Callable[[Wanted, str], dict[str, Any]]] = {
    "standard_webhooks": _standard_webhooks,
    "cloudevents": _cloudevents,
}
