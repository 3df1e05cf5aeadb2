"""Runs of single actions: their rendered inputs, a context, and destinations."""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from service.destinations.registry import CONFIG_TYPE, Destinations, DestinationSetup
from service.events import Event, RecordRef
from service.exchange import Exchange
from service.http_client import HttpClient
from service.records import Customer
from service.rules import Rulebook
from service.store import Store
from service.throttles.throttles import SharedThrottles
from tests.service.rules.rule_samples import NOW, subject
from workers.actions import ACTIONS

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOON = NOW.timestamp()
SECRETS = {"S": SECRET}


class Context(Struct):
    resources: dict[str, Any]
    idempotency_key: str = "e1:short:claim:0"
    is_repeated: bool = False
    event_id: str = "e1"
    source: str = "pack-orders"
    rule: str = "short"
    action: str = "claim"
    emitted: list[Event] = []
    published: list[tuple[str, bytes, int]] = []
    event: Event = Event(
        1, "01a1fcfe32df71a39aa3101f530b13fe", "pack-orders", "purchase_order.updated", "updated",
        RecordRef("pack", "purchase_order", "po_1"), None, {"content-type": "text/xml", "webhook-id": "m1"}, None,
        b"<a/>",
    )  # fmt: skip
    exchange: Exchange = msgspec.field(default_factory=Exchange)
    traceparent: str | None = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    def resource(self, name: str) -> Any:
        return self.resources[name]

    def emit(self, event: Event) -> None:
        self.emitted.append(event)

    def publish(self, stream: str, data: bytes, length_max: int) -> None:
        self.published.append((stream, data, length_max))


def destinations(
    outbound: HttpClient, store: Store | None = None, secrets: Mapping[str, str] = SECRETS, /, **configs: Any
) -> Destinations:
    throttles = SharedThrottles(store.limits, store.tokens, 5.0) if store else None
    setup = DestinationSetup(http_client=outbound, environ=secrets, throttles=throttles, clock=lambda: NOON)
    return Destinations({name: msgspec.convert(config, CONFIG_TYPE) for name, config in configs.items()}, setup)


def inputs(do: str, about: Any = None, **words: Any) -> dict[str, Any]:
    """Render an action as a rulebook does, through the bytes that are stored."""
    kind = "customer" if about is not None and isinstance(about.record, Customer) else "purchase_order"
    rule = {"id": "r", "type": kind, "actions": [{"id": "a", "do": do, **words}]}
    document = msgspec.json.encode({"format": 1, "file_rules": [rule]})
    decision = Rulebook.load(document, ACTIONS).evaluate(about or subject(), NOW)
    assert decision.verdicts[0].result == "matched", decision.verdicts
    return msgspec.msgpack.decode(msgspec.msgpack.encode(decision.effects[0].inputs))
