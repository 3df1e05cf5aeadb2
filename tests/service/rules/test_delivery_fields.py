"""Fields of the delivery in conditions and templates."""

from decimal import Decimal

import msgspec
import pytest
from msgspec import structs

from service.errors import ConfigError
from service.rules import Evidence, Subject, Trace
from service.rules.condition_text import format_condition
from service.rules.rulebook import Evaluation
from service.rules.syntax import Condition
from tests.service.rules.rule_samples import NOW, book, subject

RULE = "- {id: r, type: purchase_order, when: {field: delivery.FIELD}}"
BODY = b'{"order": {"total": 12.50, "tags": ["a", "b"], "note": null}, "email": "ada@example.com"}'


def delivered(body: bytes = BODY, **headers: str) -> Subject:
    sent = subject()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return structs.replace(sent, event=structs.replace(sent.event, body=body, headers=named))


def evaluate(condition: str, evaluated: Subject) -> Evaluation:
    return book(RULE.replace("FIELD", condition)).evaluate(evaluated, NOW)


@pytest.mark.parametrize(
    ("field", "fix"),
    [
        ("headers.authorization, op: exists", "the header 'authorization' is not stored with an event"),
        ("headers, op: exists", "the header '' is not stored with an event"),
        ("order.total, op: changed", "only the record has a previous state"),
        ("order.total, op: gt, value: 1, ref: x", "cannot be combined with ref"),
    ],
)
def test_wrong_field_of_the_delivery_is_rejected(field: str, fix: str) -> None:
    with pytest.raises(ConfigError, match=fix):
        book(RULE.replace("FIELD", field))


@pytest.mark.parametrize(
    ("condition", "result"),
    [
        ("order.total, op: gt, value: '12.49', as: decimal", "matched"),
        ("order.tags.1, op: eq, value: b", "matched"),
        ("order.tags.2, op: eq, value: b", "unknown"),
        ("order.note, op: is_null", "matched"),
        ("order.nothing, op: missing", "matched"),
        ("headers.user-agent, op: starts_with, value: Shop", "matched"),
        ("headers.webhook-id, op: missing", "matched"),
    ],
)
def test_payload_and_headers_are_compared(condition: str, result: str) -> None:
    evaluation = evaluate(condition, delivered(user_agent="Shop/1"))
    assert evaluation.verdicts[0].result == result, evaluation.verdicts


@pytest.mark.parametrize("body", [b"", b"a=1", b"[" * 5_000, b"\xff", b'{"order": 1e99999999999999999999}'])
def test_payload_that_is_not_stored_or_not_json_is_missing(body: bytes) -> None:
    assert evaluate("order.total, op: missing", delivered(body)).verdicts[0].result == "matched"
    assert evaluate("order.total, op: eq, value: 1", delivered(body)).verdicts[0].result == "unknown"


@pytest.mark.parametrize(("header", "shown"), [("x-customer-name", "***"), ("x-shop-domain", "Ada")])
def test_a_header_with_the_name_of_personal_data_is_masked(header: str, shown: str) -> None:
    rulebook = book(RULE.replace("FIELD", f"headers.{header}, op: eq, value: Ada"))
    sent, trace, evidence = delivered(BODY, **{header.replace("-", "_"): "Ada"}), Trace(), Evidence()
    for each in (trace, evidence):
        assert rulebook.evaluate(sent, NOW, each).verdicts[0].result == "matched"
    assert trace.steps[0].actual == shown
    assert msgspec.json.decode(evidence.by_rule()["r"]) == [["", True, shown]]


def test_payload_is_inserted_into_templates() -> None:
    action = (
        '{id: a, do: http, url: "https://x.test/", body: {total: "{delivery.order.total}", all: "{delivery.order}"}}'
    )
    rulebook = book(f"- {{id: r, type: purchase_order, actions: [{action}]}}")
    (effect,) = rulebook.evaluate(delivered(), NOW).effects
    assert effect.inputs["body"] == {"total": 12.5, "all": {"total": 12.5, "tags": ["a", "b"], "note": None}}
    assert rulebook.reads_delivery(delivered().event)


def test_payload_is_decoded_once_with_exact_numbers() -> None:
    evaluated = delivered()
    evaluate("order.total, op: exists", evaluated)
    decoded = evaluated.known["delivery."]
    assert decoded["order"]["total"] == Decimal("12.50")
    evaluate("order.total, op: exists", evaluated)
    assert evaluated.known["delivery."] is decoded


def test_only_sources_with_a_rule_that_reads_the_payload_need_it() -> None:
    rulebook = book("""
- {id: plain, type: purchase_order, when: {field: delivery.headers.user-agent, op: exists}}
- {id: reads, type: purchase_order, sources: [pack-orders], when: {field: delivery.id, op: exists}}
- id: nested
  type: purchase_order
  sources: [lists]
  when: {any_of: lines, where: {field: $root.delivery.id, op: exists}}
""")
    event = subject().event
    needs = {name: rulebook.reads_delivery(structs.replace(event, source=name)) for name in ("lists", "other")}
    assert needs == {"lists": True, "other": False}
    assert rulebook.reads_delivery(event)
    assert not rulebook.reads_delivery(structs.replace(event, record=structs.replace(event.record, kind="customer")))


def test_explanation_marks_the_claim_of_the_sender() -> None:
    assert (
        format_condition(Condition(field="delivery.total", op="gt", value=1)) == "delivery.total > 1 (sender's claim)"
    )
    assert format_condition(Condition(field="status", op="eq", ref="delivery.status")).endswith("(sender's claim)")
    assert format_condition(Condition(field="status", op="eq", value="open")) == "status = open"
