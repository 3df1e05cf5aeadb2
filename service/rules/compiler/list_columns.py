"""Columns of lists: the values of one field in all elements, read once per event for all rules.

A search compares each element with a constant. The least and the greatest number of a column, or the set of its texts,
give the same result without a loop. A column with other values, such as null, is searched by the loop.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
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


class Texts(NamedTuple):
    """Texts of a column: all, and one for each element."""

    distinct: frozenset[str]
    values: Sequence[str]


Column = Bounds | Texts | None
"""Bounds of numbers, or texts; None for a column with other values."""

ColumnTest = Callable[[Column], bool | None]
"""Returns whether a column has an element with the sought result; None if only a loop can decide it."""

Tally = Sequence[int | Decimal] | Counter[str] | None
"""Sorted numbers of a column, or the number of each text; None for a column with other values."""

ColumnCount = Callable[[Scope, Sequence[Any]], int | None]
"""Returns the number of elements with a true result; None if only a loop can count them."""

FIRST_TEXTS_MAX = 8
"""Literals of a comparison up to which the first element with one of them is searched in the column."""


class ColumnSearch(NamedTuple):
    """Search of an element with the sought result, and of the index of the first one; None if only a loop finds it."""

    find: LoopSearch
    find_first: Callable[[Scope, Sequence[Any]], int | None] = lambda _scope, _elements: None


def search_column(field: Field, where: CompiledCondition, find: LoopSearch, *, sought: bool) -> ColumnSearch:
    """Return a search with the result of `find`, in a column if the list and the comparison are supported."""
    comparison, less = where.comparison, where.less
    if comparison is None or not _has_column(field, comparison):
        return ColumnSearch(find)
    if less is not None and is_supported(comparison):
        if comparison.right.attribute:
            return ColumnSearch(_remembered(field, comparison, less, find, sought=sought))
        if type(comparison.right.constant) in NUMBERS:
            test = _number_test(comparison.right.constant, less, sought=sought)
            return ColumnSearch(_in_column(field, comparison, find, test))
    texts = _texts(where, comparison)
    if texts is None:
        return ColumnSearch(find)
    is_inside = sought is (where.operator in {"eq", "in"})
    search = _in_column(field, comparison, find, _text_test(texts, is_inside=is_inside))
    if not is_inside or len(texts) > FIRST_TEXTS_MAX:
        return ColumnSearch(search)
    return ColumnSearch(search, _first_text(field, comparison, texts))


def count_column(field: Field, where: CompiledCondition) -> ColumnCount | None:
    """Return a function that counts the true elements of a list of the record. Return None if it is not supported."""
    comparison, less = where.comparison, where.less
    if comparison is None or not _has_column(field, comparison):
        return None
    key, get = f"{_key(field, comparison)}\0tally", attrgetter(str(comparison.field.attribute))
    count = _count_of(where, comparison, less)
    if count is None:
        return None

    def count_true(scope: Scope, elements: Sequence[Any]) -> int | None:
        known = scope.known
        if key not in known:
            known[key] = _tally(get, elements)
        try:
            return count(known[key])
        except InvalidOperation:
            return None

    return count_true


def _count_of(
    where: CompiledCondition, comparison: Comparison, less: Less | None
) -> Callable[[Tally], int | None] | None:
    constant, texts = comparison.right.constant, _texts(where, comparison)
    if less is not None and is_supported(comparison) and type(constant) in NUMBERS:
        return _number_count(constant, less)
    return None if texts is None else _text_count(texts, is_inside=where.operator in {"eq", "in"})


def _number_count(constant: int | Decimal, less: Less) -> Callable[[Tally], int | None]:
    def count(tally: Tally) -> int | None:
        if not isinstance(tally, list):
            return None
        found = len(tally) - bisect_right(tally, constant) if less.swap else bisect_left(tally, constant)
        return found if less.expected else len(tally) - found

    return count


def _text_count(texts: frozenset[str], *, is_inside: bool) -> Callable[[Tally], int | None]:
    def count(tally: Tally) -> int | None:
        if not isinstance(tally, Counter):
            return None
        found = sum(tally[text] for text in texts)
        return found if is_inside else tally.total() - found

    return count


def _tally(get: Callable[[Any], Any], elements: Sequence[Any]) -> Tally:
    try:
        values = list(map(get, elements))
        kinds = set(map(type, values))
        if kinds == {str}:
            return Counter(values)
        return sorted(values) if values and kinds <= NUMBERS else None
    except (AttributeError, InvalidOperation):
        return None


def _has_column(field: Field, comparison: Comparison) -> bool:
    return field.rooted and comparison.field.attribute is not None and not comparison.field.rooted


def _key(field: Field, comparison: Comparison) -> str:
    """Return the key of a column in `Scope.known`, which is no name of a derived field."""
    return f"\0{field.path}\0{comparison.field.attribute}"


def _first_text(
    field: Field, comparison: Comparison, texts: frozenset[str]
) -> Callable[[Scope, Sequence[Any]], int | None]:
    key = _key(field, comparison)

    def find_first(scope: Scope, _elements: Sequence[Any]) -> int | None:
        column = scope.known.get(key)
        return min(map(column.values.index, texts & column.distinct)) if isinstance(column, Texts) else None

    return find_first


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
    key, get = _key(field, comparison), attrgetter(str(comparison.field.attribute))

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
            return Texts(frozenset(values), values)
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
        if not isinstance(column, Texts):
            return None
        return not texts.isdisjoint(column.distinct) if is_inside else not column.distinct <= texts

    return test
