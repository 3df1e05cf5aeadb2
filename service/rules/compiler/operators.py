"""Operators: name, supported kinds of fields, kind of the right operand, and comparator.

A comparator takes two values and returns true, false or unknown (None). Values that are absent, null or of another kind
are unknown; nothing is coerced. To add an operator, add a comparator and an entry in `OPERATORS`.
"""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, cast

from msgspec import UNSET, Struct

from service.records import Money
from service.rules.compiler.regex import full_match
from service.rules.fields import FieldKind
from service.rules.scope import Value
from service.rules.trace import Truth

Comparator = Callable[[Any, Any], Truth]

OperandKind = Literal["one", "many", "text", "pattern", "timestamp", "age", "nothing", "previous", "previous_and_one"]
"""The right operand: a literal or `ref` of the field's kind · a list of them · text · a pattern · a timestamp · a
duration · nothing · the field's previous value · the previous value and a literal."""

NUMBERS = frozenset({int, Decimal})

_FAMILIES: dict[type, str] = {int: "number", Decimal: "number", str: "text", bool: "boolean", date: "date"}
_TIMES = frozenset({"timestamp", "date"})


class Less(Struct, frozen=True):
    """An ordering operator in terms of less-than: after the `swap` of operands, `left < right` must be `expected`."""

    swap: bool
    expected: bool


class Operator(Struct, frozen=True):
    """One operator with its comparator `compare`. `less` is set for the four orderings of numbers."""

    name: str
    summary: str
    kinds: frozenset[FieldKind]
    right: OperandKind
    compare: Comparator
    less: Less | None = None


class LiteralSet(Struct, frozen=True):
    """The literals of `in`, each with its family, so that `true` and 1, or EUR and USD, are different."""

    values: frozenset[tuple[str | None, Value]]
    families: frozenset[str | None]

    @classmethod
    def of(cls, literals: Sequence[Value]) -> "LiteralSet":
        """Build the set of literals."""
        values = frozenset((family(literal), literal) for literal in literals)
        return cls(values, frozenset(kind for kind, _ in values))


def family(value: Value) -> str | None:
    """Return the family of a value. Only values of one family can be compared; NaN and naive timestamps have none."""
    if type(value) is Decimal and value.is_nan():
        return None
    if type(value) is datetime:
        return "timestamp" if value.tzinfo is not None else None
    if type(value) is Money:
        return f"money in {value.currency}" if family(value.value) == "number" else None
    return _FAMILIES.get(cast("type", type(value)))


def equal(left: Value, right: Value) -> Truth:
    """Return whether both are equal values of one family. Each currency is a family."""
    if type(left) is str and type(right) is str:
        return left == right
    kind = family(left)
    return None if kind is None or kind != family(right) else left == right


def unequal(left: Value, right: Value) -> Truth:
    """Return the negation of `equal`."""
    return negate(equal(left, right))


def negate(truth: Truth) -> Truth:
    """Kleene's not: unknown stays unknown."""
    return None if truth is None else not truth


def ordering(less: Less) -> Comparator:
    """Build the comparator of an ordering of numbers, or of money in one currency."""
    swap, expected = less.swap, less.expected

    def compare(left: Value, right: Value) -> Truth:
        # Compare exact types: a bool is an int, but `true > 0` must be unknown.
        if type(left) in NUMBERS and type(right) in NUMBERS:
            try:
                return (right < left if swap else left < right) is expected
            except InvalidOperation:
                # NaN has no order.
                return None
        if type(left) is Money and type(right) is Money and left.currency == right.currency:
            return compare(left.value, right.value)
        return None

    return compare


def one_of(left: Value, right: Value) -> Truth:
    """Return whether the literals, or a list of texts, contain the value; unknown if none is of its family."""
    if type(right) is not LiteralSet:
        return contains(right, left) if isinstance(right, list | tuple) else None
    kind = family(left)
    return None if kind is None or kind not in right.families else (kind, left) in right.values


def none_of(left: Value, right: Value) -> Truth:
    """Return the negation of `one_of`."""
    return negate(one_of(left, right))


def contains(left: Value, right: Value) -> Truth:
    """Return whether a text contains a text, or a list of texts an element."""
    if type(right) is not str:
        return None
    if type(left) is list or type(left) is tuple:
        elements = cast("Sequence[Value]", left)
        # The result is unknown with an element that is not text.
        return True if right in elements else None if any(type(item) is not str for item in elements) else False
    return right in left if type(left) is str else None


def starts_with(left: Value, right: Value) -> Truth:
    """Return whether a text starts with another."""
    return left.startswith(right) if type(left) is str and type(right) is str else None


def ends_with(left: Value, right: Value) -> Truth:
    """Return whether a text ends with another."""
    return left.endswith(right) if type(left) is str and type(right) is str else None


def matches(left: Value, right: Value) -> Truth:
    """Return whether the whole text matches the pattern; unknown for a text over the limit."""
    return full_match(right, left) if type(left) is str else None


def before(left: Value, right: Value) -> Truth:
    """Return whether a timestamp or date is earlier than another of the same kind."""
    kind = family(left)
    return left < right if kind in _TIMES and kind == family(right) else None


def after(left: Value, right: Value) -> Truth:
    """Return whether a timestamp or date is later than another of the same kind."""
    return before(right, left)


def within(left: Value, right: Value) -> Truth:
    """Return whether a timestamp is between the two of `right`, inclusive. Of a date, the dates in UTC are compared."""
    if family(left) not in _TIMES:
        return None
    first, last = (right[0].date(), right[1].date()) if type(left) is date else right
    return first <= left <= last


def older_than(left: Value, right: Value) -> Truth:
    """Return whether a timestamp is earlier than the first of the two of `right`. Of a date, the dates in UTC count."""
    if family(left) not in _TIMES:
        return None
    return left < (right[0].date() if type(left) is date else right[0])


def exists(left: Value, _right: Value) -> Truth:
    """Return whether the platform sent the field, including null."""
    return left is not UNSET


def missing(left: Value, _right: Value) -> Truth:
    """Return whether the platform did not send the field."""
    return left is UNSET


def is_null(left: Value, _right: Value) -> Truth:
    """Return whether the platform sent the field as null."""
    return left is None


def changed(left: Value, right: Value) -> Truth:
    """Return whether two encoded values differ; unknown if one is absent. Null counts as a value."""
    return None if left is UNSET or right is UNSET else left != right


_NUMERIC = frozenset[FieldKind]({"number", "amount", "money", "any"})
_SINGLE = _NUMERIC | frozenset[FieldKind]({"text", "timestamp", "date", "boolean"})
_TEXT = frozenset[FieldKind]({"text", "any"})
_TIMESTAMP = frozenset[FieldKind]({"timestamp", "date"})
_EVERY = _SINGLE | frozenset[FieldKind]({"struct", "list"})

_LESS = {
    "lt": Less(swap=False, expected=True),
    "le": Less(swap=True, expected=False),
    "gt": Less(swap=True, expected=True),
    "ge": Less(swap=False, expected=False),
}


def _ordering(name: str, summary: str, right: OperandKind = "one") -> Operator:
    less = _LESS[name]
    return Operator(name, summary, _NUMERIC, right, ordering(less), less)


OPERATORS: dict[str, Operator] = {
    operator.name: operator
    for operator in (
        Operator("eq", "is equal to", _SINGLE, "one", equal),
        Operator("ne", "is not equal to", _SINGLE, "one", unequal),
        _ordering("lt", "is less than"),
        _ordering("le", "is at most"),
        _ordering("gt", "is more than"),
        _ordering("ge", "is at least"),
        Operator("in", "is one of", _SINGLE, "many", one_of),
        Operator("not_in", "is none of", _SINGLE, "many", none_of),
        Operator(
            "contains", "contains the text, or the element", _TEXT | frozenset[FieldKind]({"list"}), "text", contains
        ),
        Operator("starts_with", "begins with", _TEXT, "text", starts_with),
        Operator("ends_with", "ends with", _TEXT, "text", ends_with),
        Operator("matches", "matches the whole pattern", _TEXT, "pattern", matches),
        Operator("exists", "was sent, including null", _EVERY, "nothing", exists),
        Operator("missing", "was not sent", _EVERY, "nothing", missing),
        Operator("is_null", "was sent as null", _EVERY, "nothing", is_null),
        Operator("before", "is earlier than", _TIMESTAMP, "timestamp", before),
        Operator("after", "is later than", _TIMESTAMP, "timestamp", after),
        Operator("within", "is at most this far before or after now", _TIMESTAMP, "age", within),
        Operator("older_than", "is longer ago than", _TIMESTAMP, "age", older_than),
        Operator("changed", "differs from the last decided state", _EVERY, "previous", changed),
        Operator("changed_from", "has changed from this value", _SINGLE, "previous_and_one", changed),
        Operator("changed_to", "has changed to this value", _SINGLE, "previous_and_one", changed),
        Operator("increased", "is more than in the last decided state", _NUMERIC, "previous", ordering(_LESS["gt"])),
        Operator("decreased", "is less than in the last decided state", _NUMERIC, "previous", ordering(_LESS["lt"])),
    )
}
