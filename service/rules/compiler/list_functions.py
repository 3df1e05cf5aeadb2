"""Functions of lists: length, join, sum, min, max and map. A list has at most `ELEMENTS_MAX` elements."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal, DecimalException, Inexact
from typing import Any, cast

from msgspec import UNSET

from service.records import Money
from service.rules.compiler.function_values import CONTEXT, FunctionError, check_number, check_text, format_number
from service.rules.fields import FieldKind
from service.rules.limits import ELEMENTS_MAX, TEXT_BYTES_MAX
from service.rules.scope import Value

LISTS = frozenset({"join", "sum", "min", "max", "map"})
"""Functions whose cost grows with the list."""

Reader = Callable[[Value], Value]

_EXACT = CONTEXT.copy()
_EXACT.traps[Inexact] = True


def _elements(value: Value) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise FunctionError("is not a list")
    elements = cast("Sequence[Any]", value)
    if len(elements) > ELEMENTS_MAX:
        raise FunctionError(f"has more than {ELEMENTS_MAX} elements")
    return elements


def apply_length(value: Value) -> int:
    """Return the number of characters of a text, or of elements of a list.

    Raises:
        FunctionError: the value is neither.
    """
    if isinstance(value, str | list | tuple):
        return len(cast("Sequence[Any]", value))
    raise FunctionError("is neither a text nor a list")


def apply_join(separator: str, read: Reader) -> Callable[[Value], str]:
    """Return a function that joins the texts or numbers of a list, without absent ones."""

    def join(value: Value) -> str:
        found = [each for element in _elements(value) if (each := read(element)) is not None and each is not UNSET]
        text = separator.join([_text(each) for each in found])
        if len(text.encode()) > TEXT_BYTES_MAX:
            raise FunctionError(f"gives a text longer than {TEXT_BYTES_MAX} bytes")
        return text

    return join


def _text(value: Value) -> str:
    return check_text(value) if isinstance(value, str) else format_number(value)


def apply_map(readers: Mapping[str, Reader]) -> Callable[[Value], list[Any]]:
    """Return a function that maps each element to an object."""

    def map_elements(value: Value) -> list[Any]:
        return [{name: _plain(read(element)) for name, read in readers.items()} for element in _elements(value)]

    return map_elements


def _plain(value: Value) -> Value:
    return None if value is UNSET else value


def apply_reduce(name: str, read: Reader, kind: FieldKind) -> Callable[[Value], Value]:
    """Return the function `sum`, `min` or `max` of a list. If one value is absent, the result is absent."""
    check = _CHECKS[kind]

    def reduce(value: Value) -> Value:
        values = [read(element) for element in _elements(value)]
        if any(each is None or each is UNSET for each in values):
            return UNSET
        for each in values:
            check(each)
        if not values:
            return 0 if name == "sum" and kind == "number" else UNSET
        if kind != "money":
            return _reduce(name, values)
        if len({each.currency for each in values}) > 1:
            raise FunctionError("has amounts of several currencies")
        return Money(Decimal(_reduce(name, [each.value for each in values])), values[0].currency)

    return reduce


def _reduce(name: str, values: Sequence[Any]) -> Any:  # noqa: ANN401 - of the type of the values
    if name != "sum":
        return min(values) if name == "min" else max(values)
    if all(type(value) is int for value in values):
        return sum(values)
    total = Decimal(0)
    try:
        for value in values:
            total = _EXACT.add(total, value)
    except DecimalException:
        raise FunctionError("has a sum of too many digits") from None
    return total


def _check_money(value: Value) -> None:
    if type(value) is not Money:
        raise FunctionError("has a value that is not money")
    check_number(value.value)


def _check_date(value: Value) -> None:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise FunctionError("has a value that is not a date")


def _check_timestamp(value: Value) -> None:
    if type(value) is not datetime or value.tzinfo is None:
        raise FunctionError("has a value that is not a timestamp")


_CHECKS: Mapping[FieldKind, Callable[[Value], object]] = {
    "number": check_number, "money": _check_money, "date": _check_date, "timestamp": _check_timestamp,
}  # fmt: skip
