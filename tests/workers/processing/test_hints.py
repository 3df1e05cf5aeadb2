"""Hints: an order, an appointment or a payment becomes one derived event per customer."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, cast

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from service.events import Delivery, new_event_id
from service.http_client import HttpClient
from service.ingestion.arrivals import DeliveryContext, build_ingest_requests
from service.ingestion.sources import VerifiedDelivery
from service.platforms import Platform
from service.platforms.registry import build_platforms
from service.sandbox.faults import Fault
from service.settings import Settings
from tests.platform_accounts import pexip_token_url, platform_configs
from tests.workers.harness import WorkerHarness, open_harness

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

HINTS: list[tuple[str, dict[str, Any], str]] = [
    ("pack", ORDER, "0b8c1a54-7f0e-4a65-8f3c-1d2a9b7e4c01"),
    ("engage", APPOINTMENT, "123"),
    ("ofn", PAYMENT, "1"),
]


PATHS = {"pack": "/pack_cloud", "engage": "/pexip_engage", "ofn": "/open_food_network"}


@pytest.fixture
async def harness(make_settings: Callable[..., Settings]) -> AsyncIterator[WorkerHarness]:
    settings = make_settings(backoff_base_seconds=0.01, wake_timeout_seconds=0.05)
    token = {"env": "T"}
    async with open_harness(settings) as opened, HttpClient(settings) as outbound:
        sandbox = opened.sandbox
        engage = {
            "enterprise": "acme",
            "client_id": token,
            "client_secret": token,
            "token_url": pexip_token_url(sandbox),
        }
        raw: dict[str, dict[str, Any]] = {
            "pack": {"kind": "pack_cloud", "organization_id": "o", "token": token},
            "engage": {"kind": "pexip_engage", **engage},
            "ofn": {"kind": "open_food_network", "token": token},
        }
        for account in raw.values():
            account["base_url"] = sandbox.base_url(account["kind"])
        configs = platform_configs(raw)
        built = build_platforms(configs, {"T": sandbox.token}, outbound)
        cast("dict[str, Platform]", opened.dependencies.platforms).update(built)
        yield opened


async def deliver(
    harness: WorkerHarness, account: str, body: dict[str, Any], headers: Mapping[str, str] | None = None
) -> str:
    """Read a delivery as the ingress does, and ingest its event."""
    delivery = Delivery("src", headers or {}, msgspec.json.encode(body), 0.0)
    facts = harness.dependencies.platforms[account].read(delivery)
    verified = VerifiedDelivery(facts, (f"{account}:{facts[0].id}",), (delivery.body,), (facts[0].id,))
    event_id = new_event_id()
    requests = build_ingest_requests(
        verified, DeliveryContext(delivery, f"00-{event_id}-{event_id[:16]}-00", 60_000, event_id)
    )
    await harness.store.ingest_all(requests)
    return event_id


@pytest.mark.parametrize(("account", "body", "customer"), HINTS)
async def test_hint_becomes_one_event_of_its_customer(
    harness: WorkerHarness, account: str, body: dict[str, Any], customer: str
) -> None:
    await harness.publish(RULE)
    event_id = await deliver(harness, account, body)
    await harness.run_worker()
    assert harness.sink_bodies() == [{"customer": customer, "change": "changed"}]
    assert (await harness.stored_event(event_id))["outcome"] == "resolved"
    # Two lanes: the order of their last lines is open.
    assert sorted(line["outcome"] for line in harness.log_lines("attempt.finished")) == ["matched", "resolved"]


@pytest.mark.parametrize(("account", "body", "customer"), HINTS)
async def test_hint_becomes_one_event_after_failed_requests(
    harness: WorkerHarness, account: str, body: dict[str, Any], customer: str
) -> None:
    await harness.publish(RULE)
    harness.sandbox.sandbox.faults.add(Fault(match=PATHS[account], status=500, times=2))
    await deliver(harness, account, body)
    await harness.run_worker()
    assert harness.sink_bodies() == [{"customer": customer, "change": "changed"}]
    outcomes = [line["outcome"] for line in harness.log_lines("attempt.finished")]
    assert (outcomes[0], sorted(outcomes[-2:])) == ("retried", ["matched", "resolved"])


async def test_appointment_of_two_customers_becomes_two_events(harness: WorkerHarness) -> None:
    participants = [{"type": "CUSTOMER", "participant": {"id": number}} for number in ("7", "8", "7")]
    harness.sandbox.sandbox.catalog.put("pexip_engage", "appointment", "a-1", {"appointmentParticipants": participants})
    await harness.publish(RULE)
    await deliver(harness, "engage", APPOINTMENT)
    await harness.run_worker()
    assert sorted(item["customer"] for item in harness.sink_bodies()) == ["7", "8"]


async def test_hint_without_records_is_ignored(harness: WorkerHarness) -> None:
    await harness.publish(RULE)
    event_id = await deliver(harness, "pack", {**ORDER, "data": {"id": "guest-1"}})
    await harness.run_worker()
    assert (await harness.stored_event(event_id))["outcome"] == "ignored"
    assert harness.sink_bodies() == []


@pytest.mark.parametrize(
    ("headers", "body", "sent"),
    [
        ({"x-correlation-id": "from-header"}, {}, "from-header"),
        ({}, {"correlationId": "from-body"}, "from-body"),
        ({"x-correlation-id": "of-a-proxy"}, {"correlationId": "from-body"}, "from-body"),
        ({"x-correlation-id": "x" * 129}, {"correlationId": 7}, None),
    ],
)
async def test_correlation_id_is_forwarded_and_logged(
    harness: WorkerHarness, headers: dict[str, str], body: dict[str, Any], sent: str | None
) -> None:
    received: list[tuple[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        received.append((request.path, request.headers["x-correlation-id"]))
        participants = [{"type": "CUSTOMER", "participant": {"id": "123"}}]
        data = {"id": request.path.rpartition("/")[2], "appointmentParticipants": participants}
        return web.json_response({"data": data})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with TestServer(app) as server, HttpClient(harness.settings, {"127.0.0.1"}) as outbound:
        account = {
            "kind": "pexip_engage", "enterprise": "acme", "client_id": {"env": "T"}, "client_secret": {"env": "T"},
            "token_url": pexip_token_url(harness.sandbox), "base_url": str(server.make_url("")).rstrip("/"),
        }  # fmt: skip
        built = build_platforms(platform_configs({"engage": account}), {"T": harness.sandbox.token}, outbound)
        cast("dict[str, Platform]", harness.dependencies.platforms).update(built)
        await harness.publish(RULE)
        await deliver(harness, "engage", {**APPOINTMENT, **body}, headers)
        await harness.run_worker()
    assert [path for path, _ in received] == ["/enterprises/acme/appointments/a-1", "/enterprises/acme/customers/123"]
    # The event of the customer may end before the line of the appointment is written.
    attempts = sorted(harness.log_lines("attempt.finished"), key=lambda attempt: attempt["outcome"] != "resolved")
    expected = [sent] * 2 if sent else [attempt["event_id"] for attempt in attempts]
    assert [correlation_id for _, correlation_id in received] == expected
    for name in ("attempt.finished", "record.fetched", "action.finished"):
        lines = harness.log_lines(name)
        assert lines
        assert [line.get("correlation_id") for line in lines] == [sent] * len(lines)
