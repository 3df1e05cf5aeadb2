"""Kleene logic, quantifiers, and the compiled closures checked against a naive interpreter."""

from collections.abc import Callable
from decimal import Decimal
from itertools import product
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from service.records import Line, Money, PurchaseOrder, Supplier
from service.rules import Trace
from service.rules.compiler.operators import negate
from service.rules.trace import Truth
from tests.service.rules.rule_samples import NOW, compile_tree, line, order, subject, truth

TRUE = {"field": "status", "op": "eq", "value": "received"}
FALSE = {"field": "status", "op": "eq", "value": "open"}
UNKNOWN = {"field": "supplier.reference", "op": "eq", "value": "x"}
NODES: dict[bool | None, Any] = {True: TRUE, False: FALSE, None: UNKNOWN}
VALUES = (True, False, None)


def kleene_and(*truths: Truth) -> Truth:
    return False if False in truths else None if None in truths else True


def kleene_or(*truths: Truth) -> Truth:
    return True if True in truths else None if None in truths else False


@pytest.mark.parametrize(("left", "right"), list(product(VALUES, VALUES)))
def test_all_and_any_follow_the_truth_tables(left: Truth, right: Truth) -> None:
    assert truth({"all": [NODES[left], NODES[right]]}) is kleene_and(left, right)
    assert truth({"any": [NODES[left], NODES[right]]}) is kleene_or(left, right)


@pytest.mark.parametrize("value", VALUES)
def test_not_follows_the_truth_table(value: Truth) -> None:
    assert truth({"not": NODES[value]}) is negate(value)
    assert truth({"not": {"not": NODES[value]}}) is value


SHORT = {"field": "quantity_received", "op": "lt", "ref": "quantity_ordered"}
FULL, LESS, NULL = line(5, 5), line(5, 4), line(5, None)


@pytest.mark.parametrize(
    ("lines", "any_of", "all_of", "none_of"),
    [
        ((), False, False, True),
        ((FULL,), False, False, True),
        ((LESS,), True, True, False),
        ((NULL,), None, None, None),
        ((FULL, LESS), True, False, False),
        ((NULL, LESS), True, None, False),
        ((NULL, FULL), None, False, None),
        (UNSET, None, None, None),
        (None, None, None, None),
        ((None, LESS), True, None, False),
        ("text", None, None, None),
    ],
)
@pytest.mark.parametrize("where", [SHORT, {"all": [SHORT]}])
def test_quantifiers_combine_element_results(lines: Any, any_of: Any, all_of: Any, none_of: Any, where: Any) -> None:
    evaluated = subject(order(lines=lines))
    results = [truth({word: "lines", "where": where}, evaluated) for word in ("any_of", "all_of", "none_of")]
    assert results == [any_of, all_of, none_of]


def test_all_of_an_empty_list_is_true_only_with_min_zero() -> None:
    empty = subject(order(lines=()))
    assert truth({"all_of": "lines", "where": SHORT, "min": 0}, empty) is True
    assert truth({"all_of": "lines", "where": SHORT, "min": 1}, empty) is False
    assert truth({"all_of": "lines", "where": SHORT, "min": 2}, subject(order(lines=(LESS,)))) is False


@pytest.mark.parametrize(
    ("op", "value", "expected"),
    [
        ("eq", 0, False), ("eq", 1, None), ("eq", 2, None), ("eq", 3, False), ("ne", 3, True), ("ne", 1, None),
        ("ge", 1, True), ("ge", 2, None), ("ge", 3, False), ("gt", 0, True), ("le", 2, True), ("lt", 1, False),
    ],
)  # fmt: skip
def test_count_is_known_if_unknown_elements_cannot_change_it(op: str, value: int, expected: Truth) -> None:
    evaluated = subject(order(lines=(LESS, NULL, FULL)))
    assert truth({"count": "lines", "where": SHORT, "op": op, "value": value}, evaluated) is expected


def test_count_without_condition_counts_all_elements() -> None:
    assert truth({"count": "lines", "op": "eq", "value": 2}) is True
    assert truth({"count": "lines", "op": "gt", "value": 0}, subject(order(lines=None))) is None


def test_elements_refer_to_the_record_with_root_and_lists_nest_twice() -> None:
    raw = {"boxes": [{"items": [{"n": 1}]}, {"items": [{"n": 9}, {}]}, {}]}
    nested = {"any_of": "raw.boxes", "where": {"any_of": "items", "where": {"field": "n", "op": "gt", "value": 8}}}
    assert truth(nested, subject(raw=raw)) is True
    code = {"field": "product_code", "op": "eq", "ref": "$root.reference"}
    assert truth({"any_of": "lines", "where": code}, subject(order(reference="B-2"))) is True
    outer = {"any_of": "lines", "where": {"any_of": "$root.raw.boxes", "where": {"field": "items", "op": "missing"}}}
    assert truth(outer, subject(raw=raw)) is True


def test_list_over_the_limit_is_unknown() -> None:
    tree = {"any_of": "raw.items", "where": {"field": "$item", "op": "eq", "value": 1}}
    assert truth(tree, subject(raw={"items": [1] * 10_000})) is True
    assert truth(tree, subject(raw={"items": [1] * 10_001})) is None
    nested = {"any_of": "raw.items", "where": tree | {"any_of": "$item"}}
    assert truth(nested, subject(raw={"items": [[0] * 100, [1] * 101]})) is None


# --- The naive interpreter: plain recursion over the tree, without compilation and short circuits. ---


def naive(tree: Any, root: Any, current: Any) -> Truth:  # noqa: PLR0911 - one return a kind of node
    (word,) = set(tree) & {"all", "any", "not", "any_of", "all_of", "none_of", "count", "field"}
    if word == "all":
        return kleene_and(*[naive(child, root, current) for child in tree["all"]])
    if word == "any":
        return kleene_or(*[naive(child, root, current) for child in tree["any"]])
    if word == "not":
        return negate(naive(tree["not"], root, current))
    if word == "field":
        return naive_leaf(tree, root, current)
    found = naive_read(tree[word], root, current)
    if not isinstance(found, tuple):
        return None
    results = [naive(tree["where"], root, element) for element in cast("tuple[Any, ...]", found)]
    if word == "all_of" and not results:
        return False
    if word == "count":
        numbers = range(results.count(True), results.count(True) + results.count(None) + 1)
        outcomes = {naive_compare(tree["op"], number, tree["value"]) for number in numbers}
        return outcomes.pop() if len(outcomes) == 1 else None
    result = kleene_and(*results) if word == "all_of" else kleene_or(*results)
    return negate(result) if word == "none_of" else result


def naive_read(path: str, root: Any, current: Any) -> Any:
    value = root if path.startswith("$root.") else current
    try:
        for name in path.removeprefix("$root.").split("."):
            value = getattr(value, name)
    except (AttributeError, TypeError, ArithmeticError):
        return UNSET
    return value


def naive_leaf(tree: Any, root: Any, current: Any) -> Truth:
    left, op = naive_read(tree["field"], root, current), tree["op"]
    if op in {"exists", "missing", "is_null"}:
        return {"exists": left is not UNSET, "missing": left is UNSET, "is_null": left is None}[op]
    if "ref" not in tree:
        return naive_compare(op, left, naive_literal(tree["value"], text=tree["field"] in TEXTS))
    if tree["field"].endswith(".value"):  # amounts are compared with their currencies
        left = naive_read(tree["field"].removesuffix(".value"), root, current)
        return naive_compare(op, left, naive_read(tree["ref"].removesuffix(".value"), root, current))
    return naive_compare(op, left, naive_read(tree["ref"], root, current))


def naive_literal(value: Any, *, text: bool) -> Any:
    if isinstance(value, list):
        return [naive_literal(item, text=text) for item in cast("list[Any]", value)]
    return Decimal(value) if isinstance(value, str) and not text else value


def naive_texts(op: str, left: Any, right: str) -> Truth:
    if left == ():  # the strategies generate no other list
        return False if op == "contains" else None
    names: dict[str, Callable[[], bool]] = {
        "eq": lambda: left == right, "ne": lambda: left != right, "contains": lambda: right in left,
        "starts_with": lambda: left.startswith(right), "ends_with": lambda: left.endswith(right),
    }  # fmt: skip
    return names[op]() if op in names else None


def naive_compare(op: str, left: Any, right: Any) -> Truth:
    if op in {"in", "not_in"}:
        result = kleene_or(*[naive_compare("eq", left, item) for item in right])
        return result if op == "in" else negate(result)
    if {type(left), type(right)} == {Money}:
        return naive_compare(op, left.value, right.value) if left.currency == right.currency else None
    if type(right) is str and type(left) in {str, tuple}:
        return naive_texts(op, left, right)
    if {type(left), type(right)} == {bool}:
        return {"eq": left is right, "ne": left is not right}.get(op)
    if any(type(value) not in {int, Decimal} or value != value for value in (left, right)):  # noqa: PLR0124 - NaN
        return None
    return {
        "eq": left == right, "ne": left != right, "lt": left < right, "le": left <= right, "gt": left > right,
        "ge": left >= right,
    }.get(op)  # fmt: skip


TEXTS = ["status", "reference", "supplier.name", "product_code", "$root.status", "total.currency", "price.currency"]
ROOT_TEXTS = ["status", "reference", "supplier.name", "total.currency"]
ROOT_NUMBERS = ["quantity_missing", "quantity_ordered", "lines_count"]
ROOT_AMOUNTS = ["total.value"]
LINE_TEXTS = ["product_code", "$root.status", "price.currency"]
LINE_NUMBERS = ["quantity_ordered", "quantity_received", "quantity_missing", "$root.quantity_missing"]
LINE_AMOUNTS = ["price.value", "total.value", "$root.total.value"]
ORDERINGS = ["eq", "ne", "lt", "le", "gt", "ge"]

names = st.sampled_from(["a", "ab", "b", "EUR", ""])
literals = st.sampled_from([0, 1, 5, "5.0", "2.5"])


def number_leaves(fields: list[str]) -> st.SearchStrategy[Any]:
    one = {"field": st.sampled_from(fields), "op": st.sampled_from(ORDERINGS)}
    return (
        st.fixed_dictionaries(one | {"value": literals})
        | st.fixed_dictionaries(one | {"ref": st.sampled_from(fields)})
        | st.fixed_dictionaries(
            {"field": one["field"], "op": st.sampled_from(["in", "not_in"]), "value": st.lists(literals, min_size=1)}
        )
    )


def text_leaves(fields: list[str]) -> st.SearchStrategy[Any]:
    ops = st.sampled_from(["eq", "ne", "contains", "starts_with", "ends_with"])
    one = {"field": st.sampled_from(fields), "op": ops}
    presence = {"field": one["field"], "op": st.sampled_from(["exists", "missing", "is_null"])}
    right = st.fixed_dictionaries(one | {"value": names}) | st.fixed_dictionaries(one | {"ref": one["field"]})
    return right | st.fixed_dictionaries(presence)


def leaves(texts: list[str], numbers: list[str], amounts: list[str]) -> st.SearchStrategy[Any]:
    return text_leaves(texts) | number_leaves(numbers) | number_leaves(amounts)


def nested(base: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def grow(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        several = st.lists(children, min_size=1, max_size=3)
        return (
            several.map(lambda each: {"all": each})
            | several.map(lambda each: {"any": each})
            | children.map(lambda child: {"not": child})
        )

    return st.recursive(base, grow, max_leaves=4)


elements = nested(leaves(LINE_TEXTS, LINE_NUMBERS, LINE_AMOUNTS))
lists = st.sampled_from(["any_of", "all_of", "none_of"]).flatmap(
    lambda word: st.fixed_dictionaries({word: st.just("lines"), "where": elements})
)
counts = st.fixed_dictionaries(
    {"count": st.just("lines"), "where": elements, "op": st.sampled_from(ORDERINGS), "value": st.integers(0, 3)}
)
trees = nested(leaves(ROOT_TEXTS, ROOT_NUMBERS, ROOT_AMOUNTS) | lists | counts)

invalid = st.sampled_from([UNSET, None, "x", True, 2.5, ()])
texts = names | invalid | st.just(7)
numbers = st.sampled_from([0, 1, 5, Decimal(5), Decimal("2.5"), Decimal("NaN")]) | invalid
money = st.builds(Money, st.sampled_from([Decimal(1), Decimal("2.5")]), st.sampled_from(["EUR", "USD"])) | invalid
lines = st.builds(Line, product_code=texts, price=money, quantity_ordered=numbers, quantity_received=numbers)
records = st.builds(
    PurchaseOrder,
    id=st.just("1"),
    reference=texts,
    status=texts,
    supplier=st.builds(Supplier, name=texts) | invalid,
    lines=st.lists(lines | st.none(), max_size=4).map(tuple) | invalid,
)


@given(tree=trees, record=records)
def test_closures_agree_with_the_naive_interpreter(tree: Any, record: PurchaseOrder) -> None:
    compiled = compile_tree(tree)
    expected = naive(tree, record, record)
    assert compiled.truth(subject(record)) is expected
    trace = Trace()
    assert compiled.truth(subject(record), NOW, trace) is expected
    assert trace.steps[-1].result is expected
