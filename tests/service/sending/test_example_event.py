"""Example deliveries are accepted by their source, for every envelope."""

import re
from pathlib import Path

import pytest
from msgspec import structs

from service.config import Config
from service.configuration import load_config
from service.events import Delivery
from service.http_client import HttpClient
from service.ingestion.sources import build_sources
from service.platforms.kind import SampleRequest
from service.platforms.registry import build_platforms
from service.sending.example_event import ExampleEvent, find_example_event
from service.sending.sample_deliveries import render
from service.settings import Settings
from service.signatures import Verified

PUBLISHED = Path(__file__).parents[3] / "docs" / "examples" / "waybill.yaml"

CUSTOM = """
platforms:
  erp: {kind: custom, base_url: "http://127.0.0.1:1", auth: {type: none}, records: {customer: {path: "/{id}"}}}
sources:
  public-keys:
    platform: erp
    verify: {scheme: standard_webhooks, public_keys: ["whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="]}
    envelope: standard_webhooks
  fixed-type: {platform: erp, verify: {scheme: none}, allow_unverified: true, envelope: {kind: custom,
    type: customer paid, record: {kind: customer, id: /id}}}
  header-type: {platform: erp, verify: {scheme: none}, allow_unverified: true, envelope: {kind: custom,
    type: {header: X-Topic}, each: /events, record: {kind: customer, id: /id}}}
  named-types: {platform: erp, verify: {scheme: none}, allow_unverified: true, envelope: {kind: custom, type: /type,
    types: {ping: ignored, gone: deleted, new: created}, unmapped: rejected, record: {kind: customer, id: /id}}}
  named-kinds: {platform: erp, verify: {scheme: none}, allow_unverified: true, envelope: {kind: custom, type: /type,
    record: {kind: /kind, id: /id, kinds: {CUS: customer}}}}
  kind-in-type: {platform: erp, verify: {scheme: none}, allow_unverified: true, envelope: cloudevents}
"""
EXPECTED = {
    "fixed-type": "customer paid",
    "header-type": "customer.updated",
    "named-types": "new",
    "named-kinds": "CUS.updated",
    "kind-in-type": "customer.updated",
    "pack-orders": "purchase_order.updated",
    "erp-orders": "order.updated",
    "erp-events": "purchase_order.updated",
    "flow-till": "CUSTOMER_UPDATE",
    "engage-appointments": "Appointment.update",
    "ofn-payments": "payment.completed",
}


@pytest.fixture
def configs(tmp_path: Path) -> list[tuple[Config, dict[str, str]]]:
    """Load both configurations with a value for every variable in them."""
    (tmp_path / "waybill.yaml").write_text(CUSTOM)
    loaded: list[tuple[Config, dict[str, str]]] = []
    for path in (PUBLISHED, tmp_path / "waybill.yaml"):
        names = re.findall(r"env: (\w+)", path.read_text())
        environ = dict.fromkeys(names, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        loaded.append((load_config(path, environ), environ))
    return loaded


async def test_the_example_of_every_source_becomes_an_event_about_a_record(
    configs: list[tuple[Config, dict[str, str]]],
) -> None:
    event_types: dict[str, str] = {}
    for config, environ in configs:
        async with HttpClient(Settings()) as outbound:
            built = build_sources(config, environ, build_platforms(config.platforms, environ, outbound), Settings())
        for name, source in config.sources.items():
            example = find_example_event(structs.replace(config, sources={name: source}))
            if example is None:
                continue
            delivery = render(
                SampleRequest(example.event, "7", "e1", "2026-11-20T09:15:00Z"),
                source,
                config.platforms[source.platform],
            )
            headers = {"content-type": "application/json", **delivery.headers}
            admission = built[name].parse(Delivery(name, headers, delivery.body, 0.0), Verified(None, delivery.body))
            assert [fact.record.id for fact in admission.facts if fact.record] == ["7"], name
            event_types[name] = example.event
    assert event_types == EXPECTED


def test_the_first_source_that_accepts_deliveries_is_chosen(configs: list[tuple[Config, dict[str, str]]]) -> None:
    published, custom = (config for config, _ in configs)
    assert find_example_event(published) == ExampleEvent("pack-orders", "purchase_order.updated")
    assert find_example_event(custom) == ExampleEvent("fixed-type", "customer paid"), "public keys cannot sign"
    assert find_example_event(structs.replace(published, sources={})) is None
