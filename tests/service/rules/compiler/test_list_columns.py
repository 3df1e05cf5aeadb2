"""Columns of lists: a search in a column has the result of a search by calls, for all lists."""

from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from service.records import Line, Money
from service.rules.compiler.list_columns import Texts
from service.rules.evidence import Evidence
from service.rules.scope import Scope
from tests.service.rules.rule_samples import NOW, compile_tree, order, subject

NUMBERS = st.one_of(
    st.integers(-2, 3), st.sampled_from([Decimal("0.5"), Decimal("2.0"), Decimal("NaN"), Decimal("sNaN"), None, UNSET])
)
AMOUNTS = st.sampled_from([Decimal(-1), Decimal("0.5"), Decimal(3)])
PRICES = st.one_of(st.builds(Money, AMOUNTS, st.just("EUR")), st.none(), st.just(UNSET))
TEXTS = st.sampled_from(["a", "b", "", None, UNSET])
LINES = st.lists(
    st.builds(Line, quantity_ordered=NUMBERS, quantity_received=NUMBERS, product_code=TEXTS, price=PRICES), max_size=4
).map(tuple)
WHERE: list[dict[str, Any]] = [
    *(
        {"field": "quantity_ordered", "op": op, "value": value}
        for op in ("lt", "le", "gt", "ge")
        for value in (0, "0.5")
    ),
    *({"field": "quantity_ordered", "op": op, "ref": "quantity_received"} for op in ("lt", "ge")),
    *({"field": "price.value", "op": op, "value": "0.5"} for op in ("lt", "ge")),
    *({"field": "product_code", "op": op, "value": "a"} for op in ("eq", "ne")),
    *({"field": "product_code", "op": op, "value": ["a", ""]} for op in ("in", "not_in")),
]
PAIRS = [
    (compile_tree({kind: "lines", "where": where}), compile_tree({kind: "lines", "where": {"all": [where]}}))
    for kind in ("any_of", "all_of", "none_of")
    for where in WHERE
] + [
    (
        compile_tree({"count": "lines", "where": where, "op": op, "value": value}),
        compile_tree({"count": "lines", "where": {"all": [where]}, "op": op, "value": value}),
    )
    for op, value in (("ge", 1), ("eq", 2), ("lt", 3))
    for where in WHERE
]
"""Each condition, and the same inside `all`, which no column can evaluate."""


def elements_of(evidence: Evidence) -> list[Any]:
    """Return the elements and values of all comparisons in the evidence."""
    texts = evidence.by_rule().values()
    return [
        [item[1], item[2], item[4] if len(item) > 4 else []] for text in texts for item in msgspec.json.decode(text)
    ]


@settings(max_examples=50)
@given(LINES)
def test_a_column_gives_the_result_of_the_loop(lines: tuple[Line, ...]) -> None:
    evaluated = subject(order(lines=lines))
    for fast, slow in PAIRS:
        scope = Scope.of(evaluated, NOW)
        assert fast.run(scope, scope, None) is slow.run(scope, scope, None)
        found, expected = Evidence(100_000), Evidence(100_000)
        assert fast.run(scope, scope, found) is slow.run(scope, scope, expected)
        assert elements_of(found) == elements_of(expected)


def test_a_column_is_read_once_for_all_rules() -> None:
    evaluated = subject(order(lines=(Line(product_code="a"),)))
    scope = Scope.of(evaluated, NOW)
    for text, expected in (("a", True), ("b", False)):
        node = {"any_of": "lines", "where": {"field": "product_code", "op": "eq", "value": text}}
        assert compile_tree(node).run(scope, scope, None) is expected
    assert [value for key, value in evaluated.known.items() if "product_code" in key] == [
        Texts(frozenset({"a"}), ["a"])
    ]
