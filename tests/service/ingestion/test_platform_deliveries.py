"""Documented deliveries of the four platforms: dedupe keys, pings, test deliveries and edge cases."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from service.configuration import load_config
from service.errors import Rejection
from service.events import Delivery, RecordRef
from service.http_client import HttpClient
from service.ingestion.sources import Source, VerifiedDelivery, build_sources
from service.platforms.registry import build_platforms
from service.settings import Settings

ENVIRON = {"S": "a-secret-of-the-sender"}
SECRETS = [{"env": "S"}]
SAMPLES = Path(__file__).parents[2] / "samples"
PLATFORMS: dict[str, dict[str, Any]] = {
    "pack_cloud": {"organization_id": "3f0d3c2e-8a51-4c3b-9d5a-6f1f2e7c9b10", "token": {"env": "S"}},
    "pexip_engage": {"enterprise": "acme", "client_id": {"env": "S"}, "client_secret": {"env": "S"}},
    "open_food_network": {"base_url": "https://ofn.example.org", "token": {"env": "S"}},
    "flow_retail": {"tenant_uid": "7", "store_uid": "70", "token": {"env": "S"}},
}
VERIFY: dict[str, dict[str, Any]] = {
    "pack_cloud": {"scheme": "hmac", "header": "X-Signature", "secrets": SECRETS},
    "pexip_engage": {"scheme": "path_token", "secrets": SECRETS},
    "open_food_network": {"scheme": "path_token", "secrets": SECRETS},
    "flow_retail": {"scheme": "basic", "username": "till", "password": {"env": "S"}},
}
Deliver = Callable[..., VerifiedDelivery]


@pytest.fixture
async def deliver(tmp_path: Path) -> AsyncIterator[Deliver]:
    """Deliver a body, or a sample by name, to a source of a platform: `deliver("pexip_engage", {…}, header=…)`."""
    path = tmp_path / "waybill.yaml"
    platforms = {name.replace("_", "-"): {"kind": name, **fields} for name, fields in PLATFORMS.items()}
    sources = {name: {"platform": name, "verify": VERIFY[name.replace("-", "_")]} for name in platforms}
    path.write_text(json.dumps({"platforms": platforms, "sources": sources}))
    config = load_config(path, ENVIRON)
    assert not config.warnings
    async with HttpClient(Settings()) as outbound:
        built = build_sources(config, ENVIRON, build_platforms(config.platforms, ENVIRON, outbound), Settings())

        def send(platform: str, body: object, **headers: str) -> VerifiedDelivery:
            source: Source = built[platform.replace("_", "-")]
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            if isinstance(body, str):
                raw = (SAMPLES / platform / f"delivery.{body}.json").read_bytes()
            scheme = config.sources[source.name].verify
            assert scheme
            signed = scheme.sign(raw, ENVIRON["S"], "", 0)
            token = scheme.path(ENVIRON["S"]).removeprefix("/") or None
            return source.parse(
                Delivery(source.name, signed | headers, raw, 0),
                source.verify(Delivery(source.name, signed | headers, raw, 0, path_token=token)),
            )

        yield send


def record(verified: VerifiedDelivery) -> RecordRef | None:
    (fact,) = verified.facts
    return fact.record


@pytest.mark.parametrize(
    ("platform", "body"),
    [
        ("pexip_engage", "ping"),
        ("pexip_engage", {"id": "1", "entity": "Ping", "data": {"ping": "pong"}, "version": "1"}),
        ("pexip_engage", {"id": "1", "entity": "Ping"}),
        ("pexip_engage", {"id": "1", "entity": "Employee", "data": {"eventType": "CREATE", "employee": {"id": "1"}}}),
        ("open_food_network", "payment_test"),
        ("open_food_network", "order_cycle"),
        ("open_food_network", {"id": "1", "event": "order_cycle.closed", "at": "2023-02-07 17:12:45 UTC", "data": {}}),
        # instances before 18 March 2026 omit the order number
        ("open_food_network", {"id": "1", "event": "payment.completed", "at": None, "data": {"order": {"total": 1.5}}}),
        ("flow_retail", "order_settled"),
        ("flow_retail", "order_handling"),
        ("flow_retail", {"action": "TILL_OPEN", "tenant": {"Id": 7, "Uid": "7"}}),
        ("flow_retail", {"action": "SOMETHING_NEW", "tenant": {"Id": 7, "Uid": "7"}, "widget": {"Id": 1, "Uid": "w"}}),
        ("pack_cloud", {"event_code": "return_request.created", "data": {"id": "1"}}),
    ],
)
def test_pings_tests_and_unknown_events_have_no_record(deliver: Deliver, platform: str, body: object) -> None:
    assert record(deliver(platform, body)) is None


@pytest.mark.parametrize("state", ["processing", "pending", "completed", "failed", "void", "requires_authorization"])
@pytest.mark.parametrize("at", ["2023-02-07 17:12:45 +1100", "2023-02-07 17:12:45 UTC", None, 7])
@pytest.mark.parametrize("amount", ["36.0", 0.0, None])
def test_payment_refers_to_its_order(deliver: Deliver, state: str, at: object, amount: object) -> None:
    data = {"payment": {"amount": amount, "state": state}, "order": {"number": "R1", "total": amount}}
    body = {"id": "1", "event": f"payment.{state}", "at": at, "data": data}
    assert record(deliver("open_food_network", body)) == RecordRef("open-food-network", "order", "R1")


def test_test_deliveries_are_recognized_by_order_and_enterprise(deliver: Deliver) -> None:
    for number, shop, expected in (
        ("R555555555", "TEST Enterprise", None),
        ("R555555555", "A shop", RecordRef("open-food-network", "order", "R555555555")),
        ("R1", "TEST Enterprise", RecordRef("open-food-network", "order", "R1")),
    ):
        data = {"order": {"number": number}, "enterprise": {"name": shop}}
        verified = deliver("open_food_network", {"id": "1", "event": "payment.completed", "data": data})
        assert record(verified) == expected


@pytest.mark.parametrize(
    "event_type",
    ["CREATE", "ACCEPT", "REASSIGN", "CANCEL", "COMPLETE", "RESCHEDULE", "REOPEN", "GENERIC_UPDATE", "NEW ONE", None],
)
def test_appointments_and_callback_requests_refer_to_themselves(deliver: Deliver, event_type: str | None) -> None:
    for subject, key, kind in (
        ("Appointment", "appointment", "appointment"),
        ("Callback Request", "callbackRequest", "callback_request"),
    ):
        data = {"eventType": event_type, "message": None, key: {"id": "7", "updatedAt": "2024-05-04T09:42:00+00:00"}}
        verified = deliver("pexip_engage", {"id": "1", "entity": subject, "correlationId": "c", "data": data})
        assert record(verified) == RecordRef("pexip-engage", kind, "7")


def test_redelivery_is_the_same_event_and_another_id_is_a_new_event(deliver: Deliver) -> None:
    def appointment(event_id: str) -> tuple[str, ...]:
        data = {"eventType": "CREATE", "appointment": {"id": "7"}}
        verified = deliver("pexip_engage", {"id": event_id, "entity": "Appointment", "data": data})
        assert verified.sender_ids == (event_id,)
        return verified.dedupe_keys

    assert appointment("1") == appointment("1") != appointment("2")


def test_identical_flow_retail_updates_are_distinct_events(deliver: Deliver) -> None:
    deliveries = [deliver("flow_retail", "customer_update") for _ in range(3)]
    assert len({verified.dedupe_keys for verified in deliveries}) == 3
    assert {verified.sender_ids for verified in deliveries} == {(None,)}
    assert record(deliveries[0]) == RecordRef("flow-retail", "customer", "1000")


def test_identical_pack_cloud_deliveries_are_one_event(deliver: Deliver) -> None:
    body = {"event_code": "orders.created", "data": {"id": "7"}}
    first = deliver("pack_cloud", body)
    assert record(first) == RecordRef("pack-cloud", "order", "7")
    assert deliver("pack_cloud", body, x_delivery_id="2").dedupe_keys == first.dedupe_keys
    assert deliver("pack_cloud", body | {"created_at": "now"}).dedupe_keys != first.dedupe_keys


@pytest.mark.parametrize(
    ("platform", "body"),
    [
        ("flow_retail", {"action": "CUSTOMER_UPDATE", "tenant": {"Uid": "8"}, "customer": {"Uid": "1"}}),
        ("flow_retail", {"action": "CUSTOMER_UPDATE", "tenant": {"Uid": "7"}, "customer": {"Id": 1}}),
        ("pack_cloud", {"event_code": "order.created", "organization_id": "another", "data": {"id": "1"}}),
        ("pexip_engage", {"id": "1", "entity": "Appointment", "data": {}}),
        ("open_food_network", {"id": "1", "data": {}}),
    ],
)
def test_events_of_other_tenants_or_without_a_record_are_rejected(
    deliver: Deliver, platform: str, body: object
) -> None:
    with pytest.raises(Rejection) as caught:
        deliver(platform, body)
    assert (caught.value.status, caught.value.code) == (422, "unrecognized_event")
