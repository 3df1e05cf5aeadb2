"""Columns of lists: the values of one field in all elements, read once per event for all rules.

A search compares each element with a constant. The least and the greatest number of a column, or the set of its texts,
give the same result without a loop. A column with other values, such as null, is searched by the loop.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from operator import attrgetter
from typing import Any, NamedTuple, cast

from service.rules.compiler.conditions import CompiledCondition
from service.rules.compiler.list_loops import LoopSearch, is_supported
from service.rules.compiler.operands import Comparison
from service.rules.compiler.operators import NUMBERS, Less, LiteralSet
from service.rules.fields import Field
from service.rules.scope import Scope
from service.rules.trace import Truth


class Bounds(NamedTuple):
    """Least and greatest number of a column."""

    least: int | Decimal
    greatest: int | Decimal


Column = Bounds | frozenset[str] | None
"""Bounds of numbers, or all texts; None for a column with other values."""

ColumnTest = Callable[[Column], bool | None]
"""Returns whether a column has an element with the sought result; None if only a loop can decide it."""


def search_column(field: Field, where: CompiledCondition, find: LoopSearch, *, sought: bool) -> LoopSearch | None:
    """Return a search with the result of `find`, for a list of the record. Return None if it is not supported."""
    comparison, less = where.comparison, where.less
    if comparison is None or not field.rooted or comparison.field.attribute is None or comparison.field.rooted:
        return None
    if less is not None and is_supported(comparison):
        if comparison.right.attribute:
            return _remembered(field, comparison, less, find, sought=sought)
        if type(comparison.right.constant) in NUMBERS:
            return _in_column(field, comparison, find, _number_test(comparison.right.constant, less, sought=sought))
    texts = _texts(where, comparison)
    if texts is None:
        return None
    return _in_column(field, comparison, find, _text_test(texts, is_inside=sought is (where.operator in {"eq", "in"})))


def _remembered(field: Field, comparison: Comparison, less: Less, find: LoopSearch, *, sought: bool) -> LoopSearch:
    """Compare two fields of the elements once for all rules."""
    order = f"{less.swap}{less.expected is sought}"
    key = f"\0{field.path}\0{comparison.field.attribute}\0{comparison.right.attribute}\0{order}"

    def remembered(scope: Scope, elements: Sequence[Any]) -> Truth:
        known = scope.known
        if key not in known:
            known[key] = find(scope, elements)
        return known[key]

    return remembered


def _in_column(field: Field, comparison: Comparison, find: LoopSearch, test: ColumnTest) -> LoopSearch:
    key, get = f"\0{field.path}\0{comparison.field.attribute}", attrgetter(str(comparison.field.attribute))

    def search(scope: Scope, elements: Sequence[Any]) -> Truth:
        known = scope.known
        if key not in known:
            known[key] = _column(get, elements)
        result = test(known[key])
        return find(scope, elements) if result is None else result

    return search


def _column(get: Callable[[Any], Any], elements: Sequence[Any]) -> Column:
    try:
        values = list(map(get, elements))
        kinds = set(map(type, values))
        if kinds == {str}:
            return frozenset(values)
        return Bounds(min(values), max(values)) if values and kinds <= NUMBERS else None
    except (AttributeError, InvalidOperation):
        return None


def _number_test(constant: int | Decimal, less: Less, *, sought: bool) -> ColumnTest:
    """Build the test of an ordering; numbers that cannot be compared, such as NaN, are left to the loop."""
    is_plain = less.expected is sought

    def test(column: Column) -> bool | None:
        if not isinstance(column, Bounds):
            return None
        try:
            if less.swap:
                found = constant < (column.greatest if is_plain else column.least)
            else:
                found = (column.least if is_plain else column.greatest) < constant
        except InvalidOperation:
            return None
        return found is is_plain

    return test


def _texts(where: CompiledCondition, comparison: Comparison) -> frozenset[str] | None:
    """Return the texts that a comparison is with; None for another comparison."""
    constant = comparison.right.constant
    if comparison.right.read is not None or comparison.field.kind != "text":
        return None
    if where.operator in {"eq", "ne"} and isinstance(constant, str):
        return frozenset({constant})
    if (
        where.operator in {"in", "not_in"}
        and isinstance(constant, LiteralSet)
        and all(type(value) is str for _, value in constant.values)
    ):
        return cast("frozenset[str]", frozenset(value for _, value in constant.values))
    return None


def _text_test(texts: frozenset[str], *, is_inside: bool) -> ColumnTest:
    """Build the test whether a column has a text inside or outside of `texts`."""

    def test(column: Column) -> bool | None:
        if not isinstance(column, frozenset):
            return None
        return not texts.isdisjoint(column) if is_inside else not column <= texts

    return test
