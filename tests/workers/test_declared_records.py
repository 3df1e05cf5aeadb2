"""Declared record kinds: the documented example, from a signed delivery to effects, on responses as senders show them.

The worker, the store, the shop and the parcel service are real servers. Only the hosts in the file are replaced.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from msgspec import structs

from service.actions import load_actions
from service.cli.rule_files import read_configured_rules
from service.cli.rules_test import DeliveryReader, ResponseReader
from service.configuration import load_config
from service.errors import ConfigError
from service.events import EVENT_VERSION, Delivery, Event, RecordRef, new_event_id
from service.http_client import HttpClient
from service.ingestion.sources import build_sources
from service.management.audit_log import Actor
from service.management.dry_run import Candidate, DryRunOperations
from service.management.installation import Installation
from service.platforms.registry import build_platforms
from service.rules import Rulebook, write_document
from service.rules.compiler.rule import compile_rule
from service.rules.enums import account_values, check_enums
from service.rules.publishing import publish_file_rules
from service.rules.rule_tests import read_tests, run_tests
from service.settings import Settings
from service.store import Shards
from tests.service.rules.rule_samples import rules_of
from tests.workers.harness import WorkerHarness, open_harness
from workers.rulebook_watcher import RulebookWatcher

FOLDER = Path(__file__).parents[2] / "docs" / "examples"
SECRETS = {
    "SHOP_SECRET": "cs_secret",
    "SHOP_WEBHOOK_SECRET": "webhook-secret-0123456789",
    "PARCELS_KEY": "EZTK-made-up",
    "PARCELS_WEBHOOK_SECRET": "parcel-secret-0123456789",
}

ORDER: dict[str, Any] = {
    "id": 727, "parent_id": 0, "number": "727", "status": "processing", "currency": "USD",
    "date_created": "2017-03-22T16:28:02", "date_created_gmt": "2017-03-22T19:28:02",
    "date_modified": "2017-03-22T16:28:08", "date_modified_gmt": "2017-03-22T19:28:08",
    "discount_total": "1.65", "shipping_total": "10.00", "total": "29.35", "total_tax": "1.35", "customer_id": 0,
    "billing": {"first_name": "John", "last_name": "Doe", "city": "San Francisco", "state": "CA", "country": "US"},
    "date_paid": "2017-03-22T16:28:08", "date_paid_gmt": "2017-03-22T19:28:08",
    "line_items": [
        {"id": 315, "name": "Woo Single #1", "product_id": 93, "quantity": 2, "total": "6.00", "sku": "", "price": 3},
        {"id": 316, "name": "Ship Your Idea", "product_id": 22, "quantity": 1, "total": "12.00", "sku": "Bar3",
         "price": 12},
    ],
    "coupon_lines": [{"id": 5, "code": "fall24", "discount": "1.65"}],
}  # fmt: skip
PRODUCT: dict[str, Any] = {
    "id": 794, "name": "Premium Quality", "type": "simple", "sku": "PQ-1", "price": "21.99", "purchasable": True,
    "date_modified_gmt": "2017-03-23T20:01:14", "date_on_sale_to": "2017-04-30T23:59:59", "stock_quantity": 3,
    "categories": [{"id": 9, "name": "Clothing", "slug": "clothing"}, {"id": 14, "name": "T-shirts", "slug": "t"}],
}  # fmt: skip
TRACKER: dict[str, Any] = {
    "id": "trk_1", "object": "Tracker", "tracking_code": "EZ5000000005", "status": "return_to_sender",
    "created_at": "2014-11-18T10:51:54Z", "updated_at": "2014-11-20T10:51:54Z", "signed_by": None, "weight": 17.6,
    "est_delivery_date": "2014-08-27T00:00:00Z", "carrier": "UPS",
    "tracking_details": [
        {"object": "TrackingDetail", "message": "ORIGIN SCAN", "status": "in_transit",
         "datetime": "2014-08-21T14:48:00Z", "tracking_location": {"city": "SOUTH SAN FRANCISCO", "country": "US"}},
        {"object": "TrackingDetail", "message": "OUT FOR DELIVERY", "status": "out_for_delivery",
         "datetime": "2014-08-24T08:10:00Z", "tracking_location": {"city": None, "country": None}},
    ],
}  # fmt: skip


class Senders:
    """The documented configuration with a worker, and servers with the responses of the senders."""

    def __init__(self, harness: WorkerHarness, sources: Mapping[str, Any], installation: Installation) -> None:
        self.harness = harness
        self.installation = installation
        self._sources = sources
        self.responses: dict[str, Any] = {}

    async def deliver(self, source_name: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> str:
        """Verify and parse a delivery as the ingress does, ingest its event and run the worker. Return the event id."""
        source = self._sources[source_name]
        delivery = Delivery(source_name, headers, json.dumps(body).encode(), 0.0)
        (fact,) = source.verify_and_parse(delivery).facts
        assert fact.record is not None
        return await self.process(fact.record, fact.type, fact.change, fact.id)

    async def process(self, record: RecordRef, event_type: str, change: Any, sender_id: str | None = None) -> str:
        event = Event(
            EVENT_VERSION, new_event_id(), "s", event_type, change, record, None, {}, None, b"{}", sender_id=sender_id
        )
        await self.harness.store.ingest(event, event.id, 60_000)
        await self.harness.run_worker()
        return event.id

    async def published(self, stream: str) -> list[Any]:
        prefix = self.harness.settings.key_prefix
        entries = await self.harness.store.client.command("XRANGE", f"{prefix}stream:{stream}", "-", "+")
        fields = [dict(zip(each[::2], each[1::2], strict=True)) for _, each in entries]
        return [json.loads(each[b"data"]) for each in fields]


@pytest.fixture
async def senders(make_settings: Callable[..., Settings], tmp_path: Path) -> AsyncIterator[Senders]:
    responses: dict[str, Any] = {}

    async def answer(request: web.Request) -> web.Response:
        found = responses.get(request.path)
        return web.json_response(found or {"code": "woocommerce_rest_order_invalid_id"}, status=200 if found else 404)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    text = (FOLDER / "shop-records.yaml").read_text()
    assert text.count("https://") == 2
    text = text.replace("https://shop.example.com", url).replace("https://parcels.example.com", url)
    (tmp_path / "waybill.yaml").write_text(text)
    (tmp_path / "shop-records.rules.yaml").write_text((FOLDER / "shop-records.rules.yaml").read_text())
    config = load_config(tmp_path / "waybill.yaml", SECRETS)
    settings = make_settings(attempts_max=1, stale_read_wait_seconds=0.0)
    async with open_harness(settings) as harness, HttpClient(settings, {"127.0.0.1"}) as outbound:
        platforms = build_platforms(config.platforms, SECRETS, outbound, records=config.record_types)
        sources = build_sources(config, SECRETS, platforms, settings)
        actions = load_actions()
        rules = RulebookWatcher(harness.store.rulebook, actions, 60.0, config.record_types)
        harness.dependencies = structs.replace(harness.dependencies, platforms=platforms, rules=rules)
        installation = Installation(
            open_store=lambda: Shards([harness.store]), config=lambda: config, platforms=lambda: platforms,
            sources=lambda: sources, actions=lambda: actions, records=lambda: config.record_types,
        )  # fmt: skip
        written = [rule for file in read_configured_rules(config) for rule in file.rules]
        await publish_file_rules(
            [harness.store.rulebook], written, lambda each: Rulebook.load(each, actions, config.record_types), "t", ""
        )
        await rules.refresh()
        opened = Senders(harness, sources, installation)
        opened.responses = responses
        yield opened
    await runner.cleanup()


def shop_headers(body: Mapping[str, Any], topic: str) -> dict[str, str]:
    secret = SECRETS["SHOP_WEBHOOK_SECRET"].encode()
    signature = base64.b64encode(hmac.new(secret, json.dumps(body).encode(), hashlib.sha256).digest()).decode()
    return {"x-wc-webhook-signature": signature, "x-wc-webhook-topic": topic, "content-type": "application/json"}


async def test_an_order_is_judged_by_its_own_total(senders: Senders) -> None:
    senders.responses["/wp-json/wc/v3/orders/727"] = ORDER
    event_id = await senders.deliver("shop-events", ORDER, shop_headers(ORDER, "order.updated"))
    assert (await senders.harness.stored_event(event_id))["outcome"] == "matched"
    (message,) = await senders.published("orders")
    items = [{"sku": "", "name": "Woo Single #1", "quantity": 2, "total": {"value": 6, "currency": "USD"}}]
    assert message["items"][:1] == items
    assert {name: message[name] for name in ("order", "total", "paid_at", "coupons")} == {
        "order": "727",
        "total": {"value": 29.35, "currency": "USD"},
        "paid_at": "2017-03-22T16:28:08-03:00",
        "coupons": ["fall24"],
    }
    explained = (await senders.harness.stored_event(event_id))["history"]
    assert "Doe" not in json.dumps(explained, default=str)


async def test_a_change_is_compared_with_the_last_decided_state(senders: Senders) -> None:
    senders.responses["/wp-json/wc/v3/orders/727"] = ORDER
    await senders.process(RecordRef("shop", "order", "727"), "order.updated", "updated")
    cancelled = ORDER | {"status": "cancelled", "date_modified_gmt": "2017-03-23T19:28:08"}
    senders.responses["/wp-json/wc/v3/orders/727"] = cancelled
    await senders.process(RecordRef("shop", "order", "727"), "order.updated", "updated")
    assert await senders.published("cancelled") == [{"order": "727", "before": "processing"}]


async def test_products_and_shipments_match_rules_of_their_kinds(senders: Senders) -> None:
    senders.responses |= {"/wp-json/wc/v3/products/794": PRODUCT, "/v2/trackers/trk_1": TRACKER}
    await senders.deliver("shop-events", PRODUCT, shop_headers(PRODUCT, "product.updated"))
    assert await senders.published("restock") == [{"sku": "PQ-1", "stock": 3, "sale_ends_on": "2017-04-30"}]
    body = {"id": "evt_1", "object": "Event", "description": "tracker.updated", "result": TRACKER}
    signature = hmac.new(SECRETS["PARCELS_WEBHOOK_SECRET"].encode(), json.dumps(body).encode(), hashlib.sha256)
    headers = {"x-hmac-signature": f"hmac-sha256-hex={signature.hexdigest()}", "content-type": "application/json"}
    await senders.deliver("parcel-events", body, headers)
    assert await senders.published("returned") == [
        {"parcel": "EZ5000000005", "carrier": "UPS", "weight": 17.6, "expected_on": "2014-08-27", "event": "evt_1"}
    ]


async def test_a_missing_required_field_is_a_dead_letter(senders: Senders) -> None:
    senders.responses["/wp-json/wc/v3/orders/727"] = {key: value for key, value in ORDER.items() if key != "number"}
    event_id = await senders.process(RecordRef("shop", "order", "727"), "order.updated", "updated")
    stored = await senders.harness.stored_event(event_id)
    assert stored["state"] == "dead"
    assert "required fields are missing: number" in json.dumps(stored, default=str)


async def test_dry_runs_fetch_and_explain_declared_records(senders: Senders) -> None:
    senders.responses["/v2/trackers/trk_1"] = TRACKER
    operations = DryRunOperations(senders.installation, Actor("ann", "admin"))
    found = await operations.dry_run_record(Candidate(), RecordRef("parcels", "shipment", "trk_1"))
    assert [(each.rule_id, each.result) for each in found.verdicts] == [("returned", "matched")]
    gone = await operations.dry_run_record(Candidate(), RecordRef("parcels", "shipment", "trk_2"))
    assert (gone.gone, gone.verdicts[0].result) == (True, "unknown")


def test_the_documented_rule_tests_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYBILL_CONFIG", str(FOLDER / "shop-records.yaml"))
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    config = load_config(FOLDER / "shop-records.yaml", SECRETS)
    written = [rule for file in read_configured_rules(config) for rule in file.rules]
    rulebook = Rulebook.load(write_document(written), load_actions(), config.record_types)
    responses = ResponseReader()
    tests = read_tests(FOLDER / "shop-records.examples.yaml", responses, DeliveryReader(), rulebook.records)
    unmatched = list(responses.unmatched_pointers())
    prefix = "platforms.shop.records.order.map"
    assert f"{prefix}.shipping: found no value in 1 sample; correct the pointer, or add a sample" in "\n".join(
        unmatched
    )
    assert not any(warning.startswith(f"{prefix}.total:") for warning in unmatched), "the sample has a total"
    assert [result.differences for result in run_tests(rulebook, tests)] == [[]] * 5


@pytest.mark.parametrize(
    ("rule", "mistake"),
    [
        ("type: ordr", "rule.type: no record kind 'ordr'. Fix: did you mean order?"),
        ("type: order, when: {field: totl, op: exists}", "rule.when.field: no field 'totl'. Fix: did you mean total?"),
        (
            "type: product, when: {field: sale_ends_on, op: before, value: 31.12.2026}",
            "rule.when.value: '31.12.2026' is not a date. Fix: write a date in quotes",
        ),
    ],
)
def test_a_mistake_in_a_rule_about_a_declared_kind_has_a_fix(rule: str, mistake: str) -> None:
    config = load_config(FOLDER / "shop-records.yaml", SECRETS)
    with pytest.raises(ConfigError) as caught:
        compile_rule(rules_of(f"- {{id: r, {rule}}}")[0], {}, "rule", config.record_types)
    assert str(caught.value).startswith(mistake)


def test_a_value_that_the_kind_does_not_declare_is_a_mistake() -> None:
    config = load_config(FOLDER / "shop-records.yaml", SECRETS)
    (rule,) = rules_of("- {id: r, type: order, when: {field: status, op: eq, value: canceled}}")
    (mistake,) = check_enums(rule, "rule", account_values(config, rule))
    assert str(mistake).startswith(
        "rule.when.value: 'canceled' is not a documented value of status on records.order. Fix: did you mean cancelled?"
    )
