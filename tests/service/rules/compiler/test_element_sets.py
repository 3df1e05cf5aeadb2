"""Sets of elements: conditions of several comparisons have the result and the evidence of a loop, for all lists."""

from collections.abc import Generator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from service.records import Line, Money
from service.rules.compiler import element_sets
from service.rules.compiler.element_index import BELOW_SETS_MAX, ElementIndex
from service.rules.evidence import Evidence
from service.rules.scope import Scope
from tests.service.rules.compiler.test_list_columns import elements_of
from tests.service.rules.rule_samples import NOW, compile_tree, line, order, subject

NUMBERS = st.one_of(
    st.integers(-2, 3),
    st.sampled_from([Decimal("0.5"), Decimal("2.0"), Decimal("-0"), Decimal("Infinity"), None, UNSET]),
    st.sampled_from([Decimal("NaN"), Decimal("sNaN"), 10**30, Decimal("1E+400")]),
)
AMOUNTS = st.sampled_from([Decimal(-1), Decimal("0.50"), Decimal(3)])
PRICES = st.one_of(st.builds(Money, AMOUNTS, st.sampled_from(["EUR", "USD"])), st.none(), st.just(UNSET))
TEXTS = st.sampled_from(["a", "b", "", None, UNSET])
LINES = st.lists(
    st.builds(Line, quantity_ordered=NUMBERS, quantity_received=NUMBERS, product_code=TEXTS, price=PRICES), max_size=6
).map(tuple)
LEAVES: list[dict[str, Any]] = [
    *(
        {"field": "quantity_ordered", "op": op, "value": value}
        for op in ("lt", "le", "gt", "ge", "eq", "ne")
        for value in (0, "0.5", 2)
    ),
    *({"field": "quantity_ordered", "op": op, "ref": "quantity_received"} for op in ("lt", "ge", "eq")),
    *({"field": "quantity_received", "op": op, "ref": "$root.quantity_missing"} for op in ("lt", "eq", "ge")),
    *({"field": "price.value", "op": op, "value": "0.5"} for op in ("lt", "ge", "eq")),
    *({"field": "price", "op": op, "value": {"value": "0.5", "currency": "EUR"}} for op in ("lt", "eq")),
    *({"field": "quantity_ordered", "op": op, "value": [1, "2"]} for op in ("in", "not_in")),
    *({"field": "product_code", "op": op, "value": "a"} for op in ("eq", "ne", "starts_with")),
    *({"field": "product_code", "op": op, "value": ["a", ""]} for op in ("in", "not_in")),
    *({"field": "product_code", "op": op} for op in ("exists", "is_null")),
    {"field": "$root.status", "op": "eq", "value": "received"},
    {"field": "$root.supplier.reference", "op": "eq", "value": "absent"},
]
TREES = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda nodes: {"all": nodes}),
        st.lists(inner, min_size=1, max_size=3).map(lambda nodes: {"any": nodes}),
        inner.map(lambda node: {"not": node}),
    ),
    max_leaves=6,
)
LISTS: list[dict[str, Any]] = [
    *({kind: "lines"} for kind in ("any_of", "all_of", "none_of")),
    *({"count": "lines", "op": op, "value": value} for op in ("ge", "eq", "lt") for value in range(4)),
]


@contextmanager
def elements_min(number: int) -> Generator[None]:
    """Use sets for lists from `number` elements on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(element_sets, "ELEMENTS_MIN", number)
        yield


@settings(max_examples=200)
@given(LINES, st.sampled_from(LISTS), TREES)
def test_sets_give_the_results_of_the_loop(lines: tuple[Line, ...], kind: dict[str, Any], tree: dict[str, Any]) -> None:
    condition = compile_tree(kind | {"where": tree})
    outcomes: list[Any] = []
    for number in (0, 1_000):
        with elements_min(number):
            scope = Scope.of(subject(order(lines=lines)), NOW)
            evidence = Evidence(100_000)
            plain = condition.run(scope, scope, None)
            assert condition.run(scope, scope, evidence) is plain
            outcomes.append((plain, elements_of(evidence)))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("count", [0, 1, BELOW_SETS_MAX, 4 * BELOW_SETS_MAX + 3])
def test_elements_below_a_number_are_found_among_any_number_of_distinct_ones(count: int) -> None:
    values = [Decimal(number * 7 % count) / 2 if number % 3 else None for number in range(count)]
    index = ElementIndex(values)
    for bound in (Decimal(-1), Decimal("0.25"), *(Decimal(step * count) / 20 for step in range(12))):
        for inclusive in (False, True):
            expected = [
                position
                for position, value in enumerate(values)
                if value is not None and (value < bound or (inclusive and value == bound))
            ]
            assert list(element_sets.indexes_of(index.below(bound, inclusive=inclusive))) == expected


def test_an_index_is_built_once_for_all_rules() -> None:
    evaluated = subject(order(lines=tuple(line(number) for number in range(element_sets.ELEMENTS_MIN))))
    scope = Scope.of(evaluated, NOW)
    for bound in (1, 2, 3):
        where = {"all": [{"field": "quantity_ordered", "op": op, "value": bound} for op in ("ge", "le")]}
        condition = compile_tree({"count": "lines", "where": where, "op": "eq", "value": 1})
        assert condition.run(scope, scope, None) is True
    assert sum(isinstance(value, ElementIndex) for value in evaluated.known.values()) == 1


@pytest.mark.parametrize("limit", [0, 1, 2])
def test_comparisons_beyond_the_limit_of_stored_sets_have_the_same_result(
    monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(element_sets, "REMEMBERED_MAX", limit)
    lines = tuple(line(number, number % 2 * 100) for number in range(element_sets.ELEMENTS_MIN))
    scope = Scope.of(subject(order(lines=lines)), NOW)
    for op, expected in (("lt", 31), ("gt", 31)):
        where = {
            "all": [
                {"field": "quantity_received", "op": op, "ref": "quantity_ordered"},
                {"field": "quantity_ordered", "op": "gt", "value": 1},
            ]
        }
        condition = compile_tree({"count": "lines", "where": where, "op": "eq", "value": expected})
        assert condition.run(scope, scope, None) is True
    assert len(scope.known["\0sets"] if limit else {}) == limit
