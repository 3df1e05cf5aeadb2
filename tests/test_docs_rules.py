"""Shipped rules: each is evaluated for each documented status, and each can match a record of a documented platform."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service.actions import load_actions
from service.events import ChangeType, Event, RecordRef
from service.platforms.api.decoding import decode_body
from service.platforms.api.responses import PlatformResponse
from service.platforms.kind import RecordedAnswer
from service.platforms.pack_cloud.config import PackCloudConfig
from service.platforms.registry import PLATFORMS
from service.rules import Rulebook, Subject, find_rule_files, read_rule_files, write_document

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "tests/samples"
FILES = read_rule_files(find_rule_files(["docs/examples/rules/*.yaml"], ROOT), load_actions())
RULES = [rule for file in FILES for rule in file.rules]
STATUSES = PackCloudConfig.enums["purchase_order"]["status"]
CREATED, NOW = "2026-01-01T00:00:00Z", datetime(2026, 1, 20, tzinfo=UTC)
OPEN = {"created", "ordered", "expected", "receiving"}

Answer = dict[str, Any]


def order(status: str, received: int, **fields: Any) -> Answer:
    """Return a purchase order of pack.cloud: 20 units for 1,000.00 EUR each."""
    line = {"id": "l-1", "quantity_ordered": 20, "quantity_received": received}
    price = {"value": "1000.00", "currency": "EUR"}
    return {
        "id": "po-1",
        "reference": "PO-1",
        "status": status,
        "created_at": CREATED,
        "lines": [line | {"price": price}],
    } | fields


def subject(platform: str, kind: str, answer: Answer, change: ChangeType, previous: dict[str, Any]) -> Subject:
    """Read an answer as the connector of its platform does."""
    recorded = RecordedAnswer(platform, kind, answer, "NOK")
    reply = PlatformResponse(200, decode_body(json.dumps(answer).encode(), 200), 0.0)
    raw, record, _ = PLATFORMS[platform].readers[kind](reply, recorded)
    ref = RecordRef(platform, kind, record.id)
    event = Event(1, "e1", platform, f"{kind}.{change}", change, ref, None, {}, None, b"{}")
    return Subject(event, record, raw, previous)


def matches(evaluated: Subject) -> set[str]:
    rulebook = Rulebook.load(write_document(RULES), load_actions())
    verdicts = rulebook.evaluate(evaluated, NOW).verdicts
    return {verdict.rule_id for verdict in verdicts if verdict.result == "matched"}


@pytest.mark.parametrize("status", STATUSES)
def test_the_rules_for_purchase_orders_match_the_intended_statuses(status: str) -> None:
    before = {"status": "unknown"}
    nothing = matches(subject("pack_cloud", "purchase_order", order(status, 0), "updated", before))
    assert nothing == ({"late-order"} if status in OPEN else {"short-receipt"} if status == "received" else set())
    partly = matches(subject("pack_cloud", "purchase_order", order(status, 15), "updated", before))
    assert partly == ({"short-receipt"} if status == "received" else set())
    assert matches(subject("pack_cloud", "purchase_order", order(status, 20), "updated", before)) == set()
    young = order(status, 0, created_at="2026-01-19T00:00:00Z")
    created = matches(subject("pack_cloud", "purchase_order", young, "created", {}))
    assert created == {"large-order-in-euro"}, "a status does not matter to the value of a new order"


def customer(platform: str, **fields: Any) -> Answer:
    answer = json.loads((SAMPLES / platform / "customer.json").read_text())
    (answer["data"]["attributes"] if platform == "open_food_network" else answer).update(fields)
    return answer


DEBTOR = customer("flow_retail", credit={"balance": 60_000})
MOVED = customer("open_food_network", tags=["vip"])
CUSTOMER_CASES = [
    ("balance-grew", "flow_retail", DEBTOR, {"balance": ["money", "10", "NOK"]}),
    ("key-account-moved", "open_food_network", MOVED, {"shipping_address": ["digest", "0"]}),
]


@pytest.mark.parametrize(("rule", "platform", "answer", "previous"), CUSTOMER_CASES)
def test_a_rule_for_customers_matches_a_documented_record(
    rule: str, platform: str, answer: Answer, previous: dict[str, Any]
) -> None:
    assert rule in matches(subject(platform, "customer", answer, "updated", previous))


def test_every_shipped_rule_is_tested() -> None:
    tested = {"short-receipt", "late-order", "large-order-in-euro"} | {case[0] for case in CUSTOMER_CASES}
    assert {rule.id for rule in RULES} == tested
