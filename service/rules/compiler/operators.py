"""The operators: for each its name, the kinds of field it takes, what stands on its right, and how it decides.

A decision takes two values and gives true, false or unknown (None); a value that is absent, null or of another kind
gives unknown, never a coerced answer. Adding an operator is one function and one line in `OPERATORS`.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
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
"""What stands right: a literal or `ref` of the field's kind · a list of them · text · a pattern · a moment · a
duration · nothing · the field's own previous value · that and a literal."""

NUMBERS = frozenset({int, Decimal})

_FAMILIES: dict[type, str] = {int: "number", Decimal: "number", str: "text", bool: "boolean"}


class Less(Struct, frozen=True):
    """An ordering operator told as `less`: swap the sides first, then `left < right` has to be `expected`."""

    swap: bool
    expected: bool


class Operator(Struct, frozen=True):
    """One operator; `decide` for those whose right side is a value, `less` for the four orderings of numbers."""

    name: str
    summary: str
    kinds: frozenset[FieldKind]
    right: OperandKind
    decide: Comparator
    less: Less | None = None


class LiteralSet(Struct, frozen=True):
    """The literals of `in`, each with its family, so that `true` and 1, or EUR and USD, stay apart."""

    values: frozenset[tuple[str | None, Value]]
    families: frozenset[str | None]

    @classmethod
    def of(cls, literals: Sequence[Value]) -> "LiteralSet":
        """Gather literals."""
        values = frozenset((family(literal), literal) for literal in literals)
        return cls(values, frozenset(kind for kind, _ in values))


def family(value: Value) -> str | None:
    """Which values compare with each other; None for those that compare with nothing, as NaN or a naive moment."""
    if type(value) is Decimal and value.is_nan():
        return None
    if type(value) is datetime:
        return "timestamp" if value.tzinfo is not None else None
    if type(value) is Money:
        return f"money in {value.currency}" if family(value.value) == "number" else None
    return _FAMILIES.get(cast("type", type(value)))


def equal(left: Value, right: Value) -> Truth:
    """Whether both are the same value of one family; two currencies are two families."""
    if type(left) is str and type(right) is str:
        return left == right
    kind = family(left)
    return None if kind is None or kind != family(right) else left == right


def unequal(left: Value, right: Value) -> Truth:
    """The opposite of `equal`."""
    return negate(equal(left, right))


def negate(truth: Truth) -> Truth:
    """Kleene's not."""
    return None if truth is None else not truth


def ordering(less: Less) -> Comparator:
    """Make the decision of an ordering of numbers, or of money in one currency."""
    swap, expected = less.swap, less.expected

    def decide(left: Value, right: Value) -> Truth:
        # By the exact type, since a bool is an int, and `true > 0` is to be unknown.
        if type(left) in NUMBERS and type(right) in NUMBERS:
            try:
                return (right < left if swap else left < right) is expected
            except InvalidOperation:
                # NaN has no order.
                return None
        if type(left) is Money and type(right) is Money and left.currency == right.currency:
            return decide(left.value, right.value)
        return None

    return decide


def one_of(left: Value, right: Value) -> Truth:
    """Whether the choices, or a list of texts, hold the value; unknown where none of them is of its family."""
    if type(right) is not LiteralSet:
        return contains(right, left) if isinstance(right, list | tuple) else None
    kind = family(left)
    return None if kind is None or kind not in right.families else (kind, left) in right.values


def none_of(left: Value, right: Value) -> Truth:
    """The opposite of `one_of`."""
    return negate(one_of(left, right))


def contains(left: Value, right: Value) -> Truth:
    """Whether a text has a part, or a list of texts an element."""
    if type(right) is not str:
        return None
    if type(left) is list or type(left) is tuple:
        elements = cast("Sequence[Value]", left)
        # An element that is no text could be the very one that is asked for.
        return True if right in elements else None if any(type(item) is not str for item in elements) else False
    return right in left if type(left) is str else None


def starts_with(left: Value, right: Value) -> Truth:
    """Whether a text begins so."""
    return left.startswith(right) if type(left) is str and type(right) is str else None


def ends_with(left: Value, right: Value) -> Truth:
    """Whether a text ends so."""
    return left.endswith(right) if type(left) is str and type(right) is str else None


def matches(left: Value, right: Value) -> Truth:
    """Whether the whole text is as the pattern says; a text beyond the bound is unknown."""
    return full_match(right, left) if type(left) is str else None


def before(left: Value, right: Value) -> Truth:
    """Whether a moment is earlier than another."""
    if family(left) != "timestamp" or family(right) != "timestamp":
        return None
    return left < right


def after(left: Value, right: Value) -> Truth:
    """Whether a moment is later than another."""
    return before(right, left)


def within(left: Value, right: Value) -> Truth:
    """Whether a moment lies between the two of `right`, both included."""
    return right[0] <= left <= right[1] if family(left) == "timestamp" else None


def older_than(left: Value, right: Value) -> Truth:
    """Whether a moment is earlier than the first of the two of `right`."""
    return left < right[0] if family(left) == "timestamp" else None


def exists(left: Value, _right: Value) -> Truth:
    """Whether the platform sent the field, be it null."""
    return left is not UNSET


def missing(left: Value, _right: Value) -> Truth:
    """Whether the platform did not send the field."""
    return left is UNSET


def is_null(left: Value, _right: Value) -> Truth:
    """Whether the platform sent the field as null."""
    return left is None


def changed(left: Value, right: Value) -> Truth:
    """Whether two remembered values differ; unknown where either is absent. Null is a value here."""
    return None if left is UNSET or right is UNSET else left != right


_NUMERIC = frozenset[FieldKind]({"number", "amount", "money", "any"})
_SINGLE = _NUMERIC | frozenset[FieldKind]({"text", "timestamp", "boolean"})
_TEXT = frozenset[FieldKind]({"text", "any"})
_MOMENT = frozenset[FieldKind]({"timestamp"})
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
        Operator("contains", "has the part, or the element", _TEXT | frozenset[FieldKind]({"list"}), "text", contains),
        Operator("starts_with", "begins with", _TEXT, "text", starts_with),
        Operator("ends_with", "ends with", _TEXT, "text", ends_with),
        Operator("matches", "is as a whole like the pattern", _TEXT, "pattern", matches),
        Operator("exists", "was sent, be it null", _EVERY, "nothing", exists),
        Operator("missing", "was not sent", _EVERY, "nothing", missing),
        Operator("is_null", "was sent as null", _EVERY, "nothing", is_null),
        Operator("before", "is earlier than", _MOMENT, "timestamp", before),
        Operator("after", "is later than", _MOMENT, "timestamp", after),
        Operator("within", "is no further from now than, before or after", _MOMENT, "age", within),
        Operator("older_than", "lies longer ago than", _MOMENT, "age", older_than),
        Operator("changed", "differs from the last decided state", _EVERY, "previous", changed),
        Operator("changed_from", "was this and no longer is", _SINGLE, "previous_and_one", changed),
        Operator("changed_to", "is this and was not", _SINGLE, "previous_and_one", changed),
        Operator("increased", "is more than in the last decided state", _NUMERIC, "previous", ordering(_LESS["gt"])),
        Operator("decreased", "is less than in the last decided state", _NUMERIC, "previous", ordering(_LESS["lt"])),
    )
}
