"""Casts of untyped values by `as`: amounts and moments anywhere in a response can be compared."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from msgspec import UNSET

from service.errors import ConfigError
from service.rules import Trace
from tests.service.rules.rule_samples import NOW, book, compile_tree, order, subject, truth

RAW: dict[str, Any] = {
    "text": "12.50",
    "number": Decimal("12.5"),
    "whole": 12,
    "date": "2026-02-01",
    "at": "2026-02-01T10:00:00+02:00",
    "epoch": 1_770_000_000,
    "epoch_ms": 1_770_000_000_500,
    "cost": {"value": "9.95", "currency": "eur"},
    "price": {"value": Decimal("19.9"), "currency": "EUR"},
    "dollars": {"value": 5, "currency": "USD"},
    "events": [{"occurred_at": "2026-01-01T00:00:00Z"}, {"occurred_at": "2026-02-28T00:00:00Z"}],
    "null": None,
    "flag": True,
    "word": "soon",
    "big": "1e999999999",
}


def node(field: str, op: str, value: Any = UNSET, *, cast: str, **more: Any) -> dict[str, Any]:
    return {"field": field, "op": op, "as": cast} | ({} if value is UNSET else {"value": value}) | more


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        (node("raw.text", "gt", "12.4", cast="decimal"), True),
        (node("raw.text", "eq", "12.5", cast="decimal"), True),
        (node("raw.text", "in", ["12.5", 3], cast="decimal"), True),
        (node("raw.number", "lt", 12, cast="decimal"), False),
        (node("raw.whole", "lt", cast="decimal", ref="raw.text"), True),
        (node("lines_count", "lt", cast="decimal", ref="raw.text"), True),
        (node("raw.cost", "lt", cast="money", ref="raw.price"), True),
        (node("raw.cost", "eq", {"value": "9.950", "currency": "EUR"}, cast="money"), True),
        (node("total", "gt", cast="money", ref="raw.cost"), True),
        (node("raw.at", "before", "2026-02-01T08:00:01Z", cast="moment"), True),
        (node("raw.at", "eq", "2026-02-01T08:00:00Z", cast="moment"), True),
        (node("raw.date", "older_than", "28d", cast="moment"), True),
        (node("raw.epoch", "after", "2026-02-02T02:39:59Z", cast="moment"), True),
        (node("raw.epoch_ms", "after", cast="moment", ref="raw.epoch"), True),
        (node("raw.date", "after", cast="moment", ref="created_at"), False),
        (node("created_at", "within", "30d", cast="moment"), True),
        ({"any_of": "raw.events", "where": node("occurred_at", "older_than", "30d", cast="moment")}, True),
        ({"all_of": "raw.events", "where": node("occurred_at", "older_than", "30d", cast="moment")}, False),
    ],
)
def test_a_cast_value_is_compared(tree: dict[str, Any], expected: bool) -> None:  # noqa: FBT001
    assert truth(tree, subject(order(), RAW)) is expected


@pytest.mark.parametrize("field", ["null", "nothing", "flag", "word", "events", "big"])
@pytest.mark.parametrize(
    ("op", "value", "cast"),
    [
        ("gt", 1, "decimal"),
        ("older_than", "1d", "moment"),
        ("gt", {"value": 1, "currency": "EUR"}, "money"),
    ],
)
def test_a_value_that_cannot_be_cast_is_unknown(field: str, op: str, value: Any, cast: str) -> None:
    assert truth(node(f"raw.{field}", op, value, cast=cast), subject(order(), RAW)) is None


def test_amounts_in_two_currencies_are_not_compared() -> None:
    assert truth(node("raw.cost", "lt", cast="money", ref="raw.dollars"), subject(order(), RAW)) is None


@pytest.mark.parametrize("number", [10**30, -(10**30), Decimal("1e300"), Decimal("NaN"), Decimal("-Infinity")])
def test_a_number_outside_the_calendar_is_unknown(number: Any) -> None:
    assert truth(node("raw.n", "older_than", "1d", cast="moment"), subject(order(), {"n": number})) is None


def test_the_trace_shows_a_value_that_cannot_be_cast() -> None:
    trace = Trace()
    compile_tree(node("raw.word", "older_than", "1d", cast="moment")).truth(subject(order(), RAW), NOW, trace)
    assert [step.actual for step in trace.steps] == ["soon"]


def test_a_cast_value_is_compared_with_its_previous_value() -> None:
    rules = "- {id: a, type: purchase_order, when: {field: raw.text, op: increased, as: decimal}}\n"
    rules += "- {id: b, type: purchase_order, when: {field: raw.text, op: changed}}"
    rulebook = book(rules)
    previous = rulebook.previous_fields(subject(order(), RAW))
    assert previous == {"raw.text:decimal": ["number", "12.5"], "raw.text": "12.50"}
    for text, verdicts in (("13", ["matched", "matched"]), ("9.5", ["unmatched", "matched"])):
        now = rulebook.evaluate(subject(order(), RAW | {"text": text}, previous), datetime(2026, 3, 1, tzinfo=UTC))
        assert [verdict.result for verdict in now.verdicts] == verdicts


@pytest.mark.parametrize(
    ("tree", "at", "reason"),
    [
        (node("lines", "exists", cast="moment"), "as", "lines is a list and cannot be cast to moment"),
        (node("raw.a", "lt", cast="money", ref="reference"), "ref", "reference is a text and cannot be cast to money"),
        (node("raw.a", "contains", "x", cast="decimal"), "op", "contains does not work on raw.a, a number"),
        (node("raw.a", "gt", "soon", cast="decimal"), "value", "'soon' is not a number"),
        (node("raw.a", "before", "2026-01-01", cast="moment"), "value", "'2026-01-01' is not a timestamp"),
        ({"all": [node("raw.a", "exists", cast="decimal")], "as": "decimal"}, "as", "does not belong to all"),
        ({"field": "raw.a", "op": "older_than", "value": "1d"}, "op", "older_than does not work on raw.a"),
    ],
)
def test_an_invalid_cast_is_rejected(tree: dict[str, Any], at: str, reason: str) -> None:
    with pytest.raises(ConfigError) as raised:
        compile_tree(tree)
    assert raised.value.path == f"rules[0].when.{at}"
    assert reason in raised.value.reason
    if at == "op" and "as" not in tree:
        assert raised.value.fix.startswith("add as: moment")
