"""Columns of lists: a search in a column has the result of a search by calls, for all lists."""

from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from service.records import Line
from service.rules.scope import Scope
from tests.service.rules.rule_samples import NOW, compile_tree, order, subject

NUMBERS = st.one_of(
    st.integers(-2, 3), st.sampled_from([Decimal("0.5"), Decimal("2.0"), Decimal("NaN"), Decimal("sNaN"), None, UNSET])
)
TEXTS = st.sampled_from(["a", "b", "", None, UNSET])
LINES = st.lists(
    st.builds(Line, quantity_ordered=NUMBERS, quantity_received=NUMBERS, product_code=TEXTS), max_size=4
).map(tuple)
WHERE: list[dict[str, Any]] = [
    *(
        {"field": "quantity_ordered", "op": op, "value": value}
        for op in ("lt", "le", "gt", "ge")
        for value in (0, "0.5")
    ),
    *({"field": "quantity_ordered", "op": op, "ref": "quantity_received"} for op in ("lt", "ge")),
    *({"field": "product_code", "op": op, "value": "a"} for op in ("eq", "ne")),
    *({"field": "product_code", "op": op, "value": ["a", ""]} for op in ("in", "not_in")),
]
PAIRS = [
    (compile_tree({kind: "lines", "where": where}), compile_tree({kind: "lines", "where": {"all": [where]}}))
    for kind in ("any_of", "all_of", "none_of")
    for where in WHERE
]
"""Each condition, and the same inside `all`, which no column can evaluate."""


@settings(max_examples=50)
@given(LINES)
def test_a_column_gives_the_result_of_the_loop(lines: tuple[Line, ...]) -> None:
    evaluated = subject(order(lines=lines))
    for fast, slow in PAIRS:
        scope = Scope.of(evaluated, NOW)
        assert fast.run(scope, scope, None) is slow.run(scope, scope, None)


def test_a_column_is_read_once_for_all_rules() -> None:
    evaluated = subject(order(lines=(Line(product_code="a"),)))
    scope = Scope.of(evaluated, NOW)
    for text, expected in (("a", True), ("b", False)):
        node = {"any_of": "lines", "where": {"field": "product_code", "op": "eq", "value": text}}
        assert compile_tree(node).run(scope, scope, None) is expected
    assert [value for key, value in evaluated.known.items() if "product_code" in key] == [frozenset({"a"})]
