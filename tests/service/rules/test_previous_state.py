"""Comparisons with the previous state, checked against a naive evaluation of both records.

The rulebook only has the stored fields of the earlier record. The naive evaluation has the whole record, and must have
the same result.
"""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import UNSET, Struct

from service.actions import load_actions
from service.records import Line, Money, PurchaseOrder, Supplier
from service.rules import Rulebook
from service.rules.compiler.operators import negate
from service.rules.trace import Truth
from tests.examples import examples
from tests.service.rules.compiler.test_conditions import kleene_and, kleene_or, naive_compare, naive_literal, naive_read
from tests.service.rules.rule_samples import NOW, subject

ACTIONS = load_actions()
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

TEXTS, NUMBERS, AMOUNTS = ["status", "reference"], ["quantity_ordered", "lines_count"], ["total.value"]
PERSONAL, MOMENTS, WHOLE = ["supplier.name"], ["created_at"], ["lines", "supplier"]

COMPARING = {"lt", "le", "gt", "ge", "eq", "ne", "increased", "decreased"}

LITERALS: dict[str, st.SearchStrategy[Any]] = {
    "status": st.sampled_from(["a", "b", ""]), "reference": st.sampled_from(["a", "b", ""]),
    "supplier.name": st.sampled_from(["a", "b"]),
    "quantity_ordered": st.sampled_from([0, 5, "5.0", "2.50"]), "lines_count": st.sampled_from([0, 1, "2.0"]),
    "total.value": st.sampled_from([5, "2.5", "12.500"]),
    "created_at": st.sampled_from(["2026-01-01T12:00:00Z", "2026-01-01T13:00:00+01:00", "2026-01-02T00:00:00Z"]),
}  # fmt: skip


def leaf(field: str) -> st.SearchStrategy[Any]:
    """Strategy for all comparisons of a field with its previous value."""
    if field in WHOLE:
        return st.just({"field": field, "op": "changed"})
    choices = [
        st.just({"field": field, "op": "changed"}),
        st.fixed_dictionaries(
            {"field": st.just(field), "op": st.sampled_from(["changed_from", "changed_to"]), "value": LITERALS[field]}
        ),
    ]
    if field in NUMBERS + AMOUNTS:
        choices.append(st.sampled_from([{"field": field, "op": op} for op in ("increased", "decreased")]))
        orderings = st.sampled_from(["lt", "le", "gt", "ge", "eq", "ne"])
        one = {"field": st.just(field), "op": orderings, "ref": st.just(f"previous.{field}")}
        choices.append(st.fixed_dictionaries(one))
    if field not in PERSONAL:
        choices.extend(st.just({"field": f"previous.{field}", "op": op}) for op in ("exists", "missing", "is_null"))
    if field in TEXTS + NUMBERS:
        was = {"field": st.just(f"previous.{field}"), "op": st.sampled_from(["eq", "ne"]), "value": LITERALS[field]}
        choices.append(st.fixed_dictionaries(was))
    return st.one_of(choices)


leaves = st.sampled_from(TEXTS + NUMBERS + AMOUNTS + PERSONAL + MOMENTS + WHOLE).flatmap(leaf)
several = st.lists(leaves | leaves.map(lambda one: {"not": one}), min_size=1, max_size=3)
trees = leaves | several.map(lambda each: {"all": each}) | several.map(lambda each: {"any": each})

invalid = st.sampled_from([UNSET, None, True, 2.5])
texts = st.sampled_from(["a", "b", "", "a" * 300, 7]) | invalid
numbers = st.sampled_from([0, 1, 5, Decimal("5.00"), Decimal("2.5")]) | invalid
money = st.builds(Money, st.sampled_from([Decimal(1), Decimal("2.50")]), st.sampled_from(["EUR", "USD"])) | invalid
moments = st.sampled_from([NOON, NOON.astimezone(timezone(timedelta(hours=5))), NOON + timedelta(seconds=1)]) | invalid
records = st.builds(
    PurchaseOrder,
    id=st.just("1"),
    status=texts,
    reference=texts,
    supplier=st.builds(Supplier, name=texts) | invalid,
    created_at=moments,
    lines=st.lists(st.builds(Line, price=money, quantity_ordered=numbers), max_size=2).map(tuple) | invalid,
)


def naive(tree: Any, now: Any, before: Any) -> Truth:
    if "all" in tree:
        return kleene_and(*[naive(child, now, before) for child in tree["all"]])
    if "any" in tree:
        return kleene_or(*[naive(child, now, before) for child in tree["any"]])
    if "not" in tree:
        return negate(naive(tree["not"], now, before))
    return naive_leaf(tree, now, before)


def naive_leaf(tree: Any, now: Any, before: Any) -> Truth:
    op, path = tree["op"], tree["field"].removeprefix("previous.")
    # Amounts of two records are compared with their currencies.
    whole = path.removesuffix(".value") if op in COMPARING else path
    was, value = naive_read(whole, before, before), naive_read(whole, now, now)
    if tree["field"].startswith("previous."):
        value = naive_read(path, before, before)
        if op in {"exists", "missing", "is_null"}:
            return {"exists": value is not UNSET, "missing": value is UNSET, "is_null": value is None}[op]
        if isinstance(value, str) and len(value) > 256:
            return None  # only its digest is stored
        return naive_compare(op, value, naive_literal(tree["value"], text=path in TEXTS))
    if op in {"increased", "decreased"}:
        return naive_compare("gt" if op == "increased" else "lt", value, was)
    if "ref" in tree:
        return naive_compare(op, value, was)
    return naive_change(tree, value, was)


def naive_change(tree: Any, value: Any, was: Any) -> Truth:
    if value is UNSET or was is UNSET:
        return None
    if same(value, was):
        return False
    if tree["op"] == "changed":
        return True
    literal = naive_literal(tree["value"], text=tree["field"] in TEXTS + PERSONAL + MOMENTS)
    if tree["field"] in MOMENTS:
        literal = datetime.fromisoformat(literal)
    return same(was if tree["op"] == "changed_from" else value, literal)


def same(left: Any, right: Any) -> Any:
    """Return whether values and kinds are equal. Whole and decimal numbers are one kind, also in structs and lists."""
    kinds: set[Any] = {type(left), type(right)}
    if len(kinds) == 1 and isinstance(left, Struct):
        return all(same(getattr(left, name), getattr(right, name)) for name in left.__struct_fields__)
    if kinds == {tuple}:
        return len(left) == len(right) and all(same(one, other) for one, other in zip(left, right, strict=True))
    return left == right if len(kinds) == 1 or kinds == {int, Decimal} else False


def priced(value: str, currency: str) -> PurchaseOrder:
    return PurchaseOrder(id="1", lines=(Line(price=Money(Decimal(value), currency), quantity_ordered=1),))


@settings(max_examples=examples(500))
@example({"field": "total.value", "op": "increased"}, priced("2", "USD"), priced("1", "EUR"))
@example({"field": "total.value", "op": "increased"}, priced("2", "EUR"), priced("1", "EUR"))
@example({"field": "lines", "op": "changed"}, priced("2.5", "EUR"), priced("2.50", "EUR"))
@example({"field": "lines", "op": "changed"}, priced("2.5", "EUR"), priced("2.5", "USD"))
@example({"field": "total.value", "op": "decreased"}, priced("2", "EUR"), None)
@given(tree=trees, now=records, before=records | st.none())
def test_rulebook_agrees_with_naive_evaluation_of_both_states(
    tree: Any, now: PurchaseOrder, before: PurchaseOrder | None
) -> None:
    rule = {"id": "r", "type": "purchase_order", "when": tree}
    book = Rulebook.load(msgspec.json.encode({"format": 1, "file_rules": [rule]}), ACTIONS)
    previous = None if before is None else book.previous_fields(subject(before))
    stored = msgspec.msgpack.decode(msgspec.msgpack.encode(previous))
    (verdict,) = book.evaluate(subject(now, previous=stored), NOW).verdicts
    expected = {True: "matched", False: "unmatched", None: "unknown"}[naive(tree, now, before)]
    assert verdict.result == expected, (verdict, stored)
