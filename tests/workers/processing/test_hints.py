"""Hints through the worker: an order, an appointment, a payment lead to one derived event of each customer."""

from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import msgspec
import pytest

from service.events import EVENT_VERSION, Delivery, Event, new_event_id
from service.http_client import HttpClient
from service.platforms import Platform
from service.platforms.registry import build_platforms
from service.sandbox.faults import Fault
from service.settings import Settings
from tests.platform_accounts import pexip_token_url, platform_configs
from tests.workers.harness import House, open_house

pytestmark = pytest.mark.store

RULE = """
- id: tell
  type: customer
  when: {field: id, op: exists}
  actions:
    - {id: one, do: http, url: "SINK/customers", body: {customer: "{id}", change: "{event.change}"}}
"""

PAYMENT = {
    "id": "evt-3",
    "event": "payment.completed",
    "at": "2026-01-01 00:00:00 UTC",
    "data": {"order": {"number": "R1"}, "enterprise": {"name": "Farm"}},
}
APPOINTMENT = {
    "id": "evt-2",
    "entity": "Appointment",
    "data": {"eventType": "CREATE", "appointment": {"id": "a-1"}},
}
ORDER = {"event_code": "order.created", "id": "evt-1", "data": {"id": "o-1"}}

CHAINS: list[tuple[str, dict[str, Any], str]] = [
    ("pack", ORDER, "0b8c1a54-7f0e-4a65-8f3c-1d2a9b7e4c01"),
    ("engage", APPOINTMENT, "123"),
    ("ofn", PAYMENT, "1"),
]


PATHS = {"pack": "/pack_cloud", "engage": "/pexip_engage", "ofn": "/open_food_network"}


@pytest.fixture
async def house(make_settings: Callable[..., Settings]) -> AsyncIterator[House]:
    settings = make_settings(backoff_base_seconds=0.01, wake_timeout_seconds=0.05)
    token = {"env": "T"}
    async with open_house(settings) as opened, HttpClient(settings) as outbound:
        box = opened.sandbox
        engage = {"enterprise": "acme", "client_id": token, "client_secret": token, "token_url": pexip_token_url(box)}
        raw: dict[str, dict[str, Any]] = {
            "pack": {"kind": "pack_cloud", "organization_id": "o", "token": token},
            "engage": {"kind": "pexip_engage", **engage},
            "ofn": {"kind": "open_food_network", "token": token},
        }
        for account in raw.values():
            account["base_url"] = box.base_url(account["kind"])
        configs = platform_configs(raw)
        built = build_platforms(configs, {"T": box.token}, outbound)
        cast("dict[str, Platform]", opened.tools.platforms).update(built)
        yield opened


async def deliver(house: House, account: str, body: dict[str, Any]) -> str:
    """Read a delivery as the ingress does, and take in its event."""
    data = msgspec.json.encode(body)
    (fact,) = house.tools.platforms[account].read(Delivery("src", {}, data, 0.0))
    assert fact.record is not None
    event_id = new_event_id()
    event = Event(EVENT_VERSION, event_id, "src", fact.type, fact.change, fact.record, fact.occurred_at, {}, None, data)
    await house.store.ingest(event, f"{account}:{fact.id}", 60_000)
    return event_id


@pytest.mark.parametrize(("account", "body", "customer"), CHAINS)
async def test_a_hint_becomes_one_event_of_its_customer(
    house: House, account: str, body: dict[str, Any], customer: str
) -> None:
    await house.publish(RULE)
    event_id = await deliver(house, account, body)
    await house.work()
    assert house.sunk() == [{"customer": customer, "change": "changed"}]
    assert (await house.story(event_id))["outcome"] == "resolved"
    assert [line["outcome"] for line in house.said("attempt.finished")] == ["resolved", "matched"]


@pytest.mark.parametrize(("account", "body", "customer"), CHAINS)
async def test_a_hint_that_fails_half_way_still_leads_to_one_event(
    house: House, account: str, body: dict[str, Any], customer: str
) -> None:
    await house.publish(RULE)
    house.sandbox.sandbox.faults.add(Fault(match=PATHS[account], status=500, times=2))
    await deliver(house, account, body)
    await house.work()
    assert house.sunk() == [{"customer": customer, "change": "changed"}]
    outcomes = [line["outcome"] for line in house.said("attempt.finished")]
    assert (outcomes[0], outcomes[-2:]) == ("retried", ["resolved", "matched"])


async def test_an_appointment_of_two_customers_becomes_two_events(house: House) -> None:
    participants = [{"type": "CUSTOMER", "participant": {"id": number}} for number in ("7", "8", "7")]
    house.sandbox.sandbox.catalog.put("pexip_engage", "appointment", "a-1", {"appointmentParticipants": participants})
    await house.publish(RULE)
    await deliver(house, "engage", APPOINTMENT)
    await house.work()
    assert sorted(item["customer"] for item in house.sunk()) == ["7", "8"]


async def test_a_hint_that_leads_nowhere_ends_ignored(house: House) -> None:
    await house.publish(RULE)
    event_id = await deliver(house, "pack", {**ORDER, "data": {"id": "guest-1"}})
    await house.work()
    assert (await house.story(event_id))["outcome"] == "ignored"
    assert house.sunk() == []
