"""All operators on supported, unsupported and missing values."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET, Struct

from service.errors import ConfigError
from service.records import Customer, Money, PurchaseOrder
from service.rules.compiler.literals import read_literal
from service.rules.compiler.operators import OPERATORS
from service.rules.fields import describe_fields
from service.rules.previous_state import encode_previous
from tests.service.rules.rule_samples import NOW, compile_tree, customer, line, order, subject, truth

NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001 - the value under test
MISSING, NULL, WRONG = UNSET, None, 5

TEXT = [
    ("eq", "received", True), ("eq", "open", False), ("ne", "open", True), ("ne", "received", False),
    ("in", ["open", "received"], True), ("in", ["open"], False), ("not_in", ["open"], True),
    ("not_in", ["received"], False), ("contains", "ceiv", True), ("contains", "x", False),
    ("starts_with", "rec", True), ("starts_with", "ec", False), ("ends_with", "ved", True), ("ends_with", "ve", False),
    ("matches", "rec.*", True), ("matches", "rec", False),
]  # fmt: skip

NUMBERS = [
    ("eq", 3, True), ("eq", "3.0", True), ("eq", 4, False), ("ne", 4, True), ("lt", 4, True), ("lt", 3, False),
    ("le", 3, True), ("le", "2.9", False), ("gt", 2, True), ("gt", 3, False), ("ge", 3, True), ("ge", 4, False),
    ("in", [1, "3"], True), ("in", [1, 2], False), ("not_in", [1, 2], True),
]  # fmt: skip


@pytest.mark.parametrize(("op", "value", "expected"), TEXT)
def test_text_operators(op: str, value: Any, expected: bool) -> None:  # noqa: FBT001
    assert truth({"field": "status", "op": op, "value": value}) is expected


@pytest.mark.parametrize(("op", "value", "expected"), NUMBERS)
@pytest.mark.parametrize("number", [3, Decimal("3.00")])
def test_number_operators(op: str, value: Any, expected: bool, number: Any) -> None:  # noqa: FBT001
    evaluated = subject(order(lines=(line(number, 0),)))
    assert truth({"field": "quantity_ordered", "op": op, "value": value}, evaluated) is expected
    element = {"any_of": "lines", "where": {"field": "quantity_ordered", "op": op, "value": value}}
    assert truth(element, evaluated) is expected


@pytest.mark.parametrize("status", [MISSING, NULL, WRONG])
@pytest.mark.parametrize(("op", "value"), sorted({(op, str(value)) for op, value, _ in TEXT if type(value) is str}))
def test_missing_or_wrong_text_is_unknown(op: str, value: str, status: Any) -> None:
    assert truth({"field": "status", "op": op, "value": value}, subject(order(status=status))) is None


@pytest.mark.parametrize("invalid", [MISSING, NULL, "3", True, 3.0, Decimal("NaN"), Decimal("sNaN")])
@pytest.mark.parametrize("op", ["eq", "ne", "lt", "le", "gt", "ge"])
def test_missing_or_wrong_number_is_unknown(op: str, invalid: Any) -> None:
    element = {"any_of": "lines", "where": {"field": "quantity_received", "op": op, "value": 3}}
    assert truth(element, subject(order(lines=(line(3, invalid),)))) is None


def test_money_is_compared_in_one_currency_only() -> None:
    evaluated = subject(order(lines=(line(1, 1, "100.01"),)))
    assert truth({"field": "total", "op": "gt", "value": {"value": "100.00", "currency": "EUR"}}, evaluated) is True
    assert truth({"field": "total", "op": "gt", "value": {"value": "100.00", "currency": "USD"}}, evaluated) is None
    assert truth({"field": "total", "op": "eq", "value": {"value": "100.010", "currency": "EUR"}}, evaluated) is True
    assert truth({"field": "total", "op": "in", "value": [{"value": "1", "currency": "USD"}]}, evaluated) is None
    assert truth({"field": "total", "op": "in", "value": [{"value": "100.01", "currency": "EUR"}]}, evaluated) is True


def test_amounts_in_two_currencies_are_not_compared() -> None:
    tree = {"any_of": "lines", "where": {"field": "price.value", "op": "lt", "ref": "$root.total.value"}}
    dollars = order(lines=(line(2, 2, "5", "USD"), line(2, 2, "5", "USD")))
    assert truth(tree, subject(dollars)) is True
    assert truth({"any_of": "lines", "where": {"field": "price.value", "op": "lt", "ref": "total.value"}}) is True
    mixed = order(lines=(line(2, 2, "5", "USD"), line(2, 2, "9", "EUR")))
    assert truth(tree, subject(mixed)) is None


def test_money_without_a_number_is_unknown() -> None:
    broken: Any = Money("100", "EUR")  # type: ignore[arg-type]
    tree = {"field": "balance", "op": "eq", "value": {"value": 100, "currency": "EUR"}}
    assert truth(tree, subject(customer(balance=broken))) is None
    assert truth(tree | {"op": "gt"}, subject(customer(balance=broken))) is None


@pytest.mark.parametrize(
    ("op", "operand", "expected"),
    [
        ("before", {"value": "2026-02-02T00:00:00Z"}, True),
        ("before", {"value": "2026-02-01T00:00:00Z"}, False),
        ("after", {"value": "2026-01-31T23:00:00+02:00"}, True),
        ("after", {"ref": "updated_at"}, None),
        ("before", {"ref": "created_at"}, False),
        ("within", {"value": "28d"}, True),
        ("within", {"value": "27d"}, False),
        ("older_than", {"value": "27d"}, True),
        ("older_than", {"value": "48h"}, True),
        ("older_than", {"value": "5w"}, False),
        ("eq", {"value": "2026-02-01T01:00:00+01:00"}, True),
        ("in", {"value": ["2026-02-01T00:00:00Z"]}, True),
    ],
)
def test_timestamp_operators(op: str, operand: Any, expected: Any) -> None:
    assert truth({"field": "created_at", "op": op, **operand}, now=datetime(2026, 3, 1, tzinfo=UTC)) is expected


def test_within_includes_past_and_future() -> None:
    evaluated = subject(order(created_at=NOW + timedelta(hours=1)))
    assert truth({"field": "created_at", "op": "within", "value": "1h"}, evaluated) is True
    assert truth({"field": "created_at", "op": "within", "value": "59m"}, evaluated) is False
    assert truth({"field": "created_at", "op": "older_than", "value": "0s"}, evaluated) is False


@pytest.mark.parametrize("timestamp", [MISSING, NULL, NAIVE, "2026-01-01T00:00:00Z"])
@pytest.mark.parametrize("op", ["before", "after", "within", "older_than", "eq"])
def test_missing_or_naive_timestamp_is_unknown(op: str, timestamp: Any) -> None:
    value = "1h" if op in {"within", "older_than"} else "2026-01-01T00:00:00Z"
    assert truth({"field": "created_at", "op": op, "value": value}, subject(order(created_at=timestamp))) is None


@pytest.mark.parametrize(
    ("value", "found"),
    [(MISSING, "missing"), (NULL, "is_null"), ("open", None)],
)
def test_presence_is_never_unknown(value: Any, found: str | None) -> None:
    evaluated = subject(order(status=value))
    results = {op: truth({"field": "status", "op": op}, evaluated) for op in ("exists", "missing", "is_null")}
    assert results == {"exists": value is not UNSET, "missing": found == "missing", "is_null": found == "is_null"}


def test_field_of_an_absent_parent_is_missing() -> None:
    for supplier in (UNSET, None):
        assert truth({"field": "supplier.name", "op": "missing"}, subject(order(supplier=supplier))) is True


def test_contains_and_in_support_lists_of_text() -> None:
    evaluated = subject(customer(type="vip"))
    assert truth({"field": "tags", "op": "contains", "value": "vip"}, evaluated) is True
    assert truth({"field": "tags", "op": "contains", "value": "new"}, evaluated) is False
    assert truth({"field": "type", "op": "in", "ref": "tags"}, evaluated) is True
    assert truth({"field": "type", "op": "not_in", "ref": "tags"}, evaluated) is False
    assert truth({"any_of": "tags", "where": {"field": "$item", "op": "starts_with", "value": "v"}}, evaluated) is True
    invalid = subject(customer(tags=("a", 5)))
    assert truth({"field": "tags", "op": "contains", "value": "b"}, invalid) is None
    assert truth({"field": "tags", "op": "contains", "value": "a"}, invalid) is True


RAW = {"n": 5, "price": Decimal("9.90"), "flag": True, "text": "5", "nothing": None, "items": [{"q": 1}, {"q": 3}, {}]}


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({"field": "raw.n", "op": "gt", "value": 4}, True),
        ({"field": "raw.text", "op": "gt", "value": 4}, None),
        ({"field": "raw.text", "op": "eq", "value": 5}, None),
        ({"field": "raw.text", "op": "eq", "value": "5"}, True),
        ({"field": "raw.flag", "op": "eq", "value": True}, True),
        ({"field": "raw.flag", "op": "eq", "value": 1}, None),
        ({"field": "raw.flag", "op": "in", "value": [1, 0]}, None),
        ({"field": "raw.n", "op": "in", "value": [True, 5]}, True),
        ({"field": "raw.price", "op": "lt", "value": 9.95}, True),
        ({"field": "raw.nothing", "op": "is_null"}, True),
        ({"field": "raw.gone.deeper", "op": "missing"}, True),
        ({"field": "raw.items.1.q", "op": "eq", "value": 3}, True),
        ({"field": "raw.items.9.q", "op": "exists"}, False),
        ({"field": "raw.n.q", "op": "exists"}, False),
        ({"field": "raw.items.first", "op": "exists"}, False),
        ({"any_of": "raw.items", "where": {"field": "q", "op": "gt", "value": 2}}, True),
        ({"all_of": "raw.items", "where": {"field": "q", "op": "gt", "value": 0}}, None),
        ({"any_of": "raw.n", "where": {"field": "q", "op": "gt", "value": 0}}, None),
        ({"field": "raw.n", "op": "gt", "ref": "lines_count"}, True),
        ({"field": "event.source", "op": "eq", "value": "pack-orders"}, True),
        ({"field": "event.record.platform", "op": "eq", "value": "pack"}, True),
    ],
)
def test_raw_and_event_are_compared_without_coercion(tree: Any, expected: Any) -> None:
    assert truth(tree, subject(raw=RAW)) is expected


@pytest.mark.parametrize(
    ("op", "value", "before", "after", "expected"),
    [
        ("changed", None, "open", "received", True),
        ("changed", None, "open", "open", False),
        ("changed", None, None, "open", True),
        ("changed", None, "open", None, True),
        ("changed", None, UNSET, "open", None),
        ("changed", None, "open", UNSET, None),
        ("changed_from", "open", "open", "received", True),
        ("changed_from", "open", "open", "open", False),
        ("changed_from", "open", "new", "received", False),
        ("changed_from", "open", UNSET, "received", None),
        ("changed_to", "received", "open", "received", True),
        ("changed_to", "received", "received", "received", False),
        ("changed_to", "received", "open", "closed", False),
        ("changed_to", "received", UNSET, "received", None),
    ],
)
def test_changes_of_text(op: str, value: Any, before: Any, after: Any, expected: Any) -> None:
    tree = {"field": "status", "op": op} | ({"value": value} if value else {})
    previous = {} if before is UNSET else {"status": before}
    assert truth(tree, subject(order(status=after), previous=previous)) is expected


@pytest.mark.parametrize(
    ("before", "after", "increased", "decreased"),
    [("4", 5, True, False), ("5", Decimal("5.0"), False, False), ("5.5", 5, False, True), (None, 5, None, None)],
)
def test_increased_and_decreased(before: str | None, after: Any, increased: Any, decreased: Any) -> None:
    previous = {} if before is None else {"quantity_received": ["number", before]}
    evaluated = subject(order(lines=(line(9, after),)), previous=previous)
    assert truth({"field": "quantity_received", "op": "increased"}, evaluated) is increased
    assert truth({"field": "quantity_received", "op": "decreased"}, evaluated) is decreased


@pytest.mark.parametrize(("received", "expected"), [(1, True), (4, False), (None, None)])
def test_field_is_compared_with_a_derived_field_of_its_element(received: Any, expected: Any) -> None:
    where = {"field": "quantity_received", "op": "lt", "ref": "quantity_missing"}
    assert truth({"any_of": "lines", "where": where}, subject(order(lines=(line(5, received),)))) is expected


def test_describe_fields_lists_all_paths() -> None:
    fields = {path: member.kind for path, member in describe_fields(PurchaseOrder).items()}
    assert fields["lines[].price.value"] == "amount"
    assert fields["lines[].quantity_missing"] == "number"
    assert (fields["total.currency"], fields["supplier.name"], fields["created_at"]) == ("text", "text", "timestamp")
    assert describe_fields(Customer)["tags"].kind == "list"


def test_unsupported_field_type_is_rejected() -> None:
    class Unsupported(Struct):
        weight: complex

    with pytest.raises(TypeError, match="complex"):
        describe_fields(Unsupported)


def test_previous_values_can_be_compared() -> None:
    evaluated = subject(
        previous={"total": ["money", "100", "EUR"], "status": "open", "quantity_received": ["number", "1"]}
    )
    assert truth({"field": "previous.status", "op": "eq", "value": "open"}, evaluated) is True
    assert truth({"field": "total.value", "op": "gt", "ref": "previous.total.value"}, evaluated) is True
    assert truth({"field": "quantity_received", "op": "ge", "ref": "previous.quantity_received"}, evaluated) is True
    dollars = subject(previous={"total": ["money", "100", "USD"]})
    assert truth({"field": "total.value", "op": "gt", "ref": "previous.total.value"}, dollars) is None


def test_in_a_missing_list_is_unknown() -> None:
    tree = {"field": "type", "op": "in", "ref": "tags"}
    assert truth(tree, subject(customer(type="vip", tags=None))) is None


def test_boolean_literals_are_not_numbers() -> None:
    assert read_literal(True, "boolean", "value") is True  # noqa: FBT003 - the value under test
    with pytest.raises(ConfigError, match="write true or false"):
        read_literal(1, "boolean", "value")


def test_all_operators_are_documented() -> None:
    page = (Path(__file__).parents[4] / "docs/reference/rules.md").read_text()
    assert [name for name in OPERATORS if f"`{name}`" not in page] == []


def test_all_operators_are_tested_and_have_a_summary() -> None:
    tested = {op for op, *_ in [*TEXT, *NUMBERS]} | {
        "before", "after", "within", "older_than", "exists", "missing", "is_null", "changed", "changed_from",
        "changed_to", "increased", "decreased",
    }  # fmt: skip
    assert tested == set(OPERATORS)
    assert all(operator.summary for operator in OPERATORS.values())


def test_digest_exists_but_cannot_be_compared() -> None:
    evaluated = subject(previous={"reference": ["digest", "0"]})
    for op, expected in (("exists", True), ("missing", False), ("is_null", False)):
        assert truth({"field": "previous.reference", "op": op}, evaluated) is expected
    assert truth({"field": "previous.reference", "op": "eq", "value": "PO-1"}, evaluated) is None
    assert truth({"field": "reference", "op": "ne", "ref": "previous.reference"}, evaluated) is None
    assert truth({"field": "previous.reference", "op": "contains", "value": "digest"}, evaluated) is None
    assert truth({"field": "reference", "op": "changed"}, evaluated) is True


def test_timestamp_in_year_one_is_stored() -> None:
    edge = order(created_at=datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))))
    compiled = compile_tree({"field": "created_at", "op": "changed"})
    previous = {"created_at": encode_previous("created_at", edge.created_at, personal=False)}
    assert compiled.truth(subject(edge, previous=previous)) is False
    assert compiled.truth(subject(previous=previous)) is True
