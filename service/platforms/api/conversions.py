"""Conversions of the values that a field map reads: by the type of the field, and the options of its pointer. Pure.

A value of another type becomes UNSET, as in `service.platforms.api.coercion`.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from types import UnionType
from typing import Any, cast, get_args, get_origin
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import UNSET, Struct, UnsetType

from service.config.record_maps import FieldPointer
from service.platforms.api.coercion import as_decimal, as_list, as_money, as_quantity, as_text, as_timestamp
from service.records import Money
from service.timestamps import parse_iso_time

Convert = Callable[[object], Any]

DATE_ENDS = frozenset({"", "T", "t", " "})
"""The character after a date, at the beginning of a moment."""
SECONDS_MAX = 253_402_300_799
"""The last second of the year 9999."""


class ElementType(Struct, frozen=True):
    """Type of a field, or of the elements of a list."""

    types: frozenset[Any]
    is_list: bool = False

    @classmethod
    def of(cls, annotation: object) -> "ElementType":
        """Return the type of a field without None and UNSET."""
        parts = [part for part in _members(annotation) if part not in {type(None), UnsetType}]
        if len(parts) == 1 and get_origin(parts[0]) is tuple:
            return cls(frozenset(_members(get_args(parts[0])[0])), is_list=True)
        return cls(frozenset(parts))

    @property
    def has_numbers(self) -> bool:
        """Whether the values are numbers or amounts."""
        return bool(self.types & {int, Decimal, Money})

    @property
    def is_moment(self) -> bool:
        """Whether the values are timestamps."""
        return datetime in self.types


class Conversions(Struct, frozen=True):
    """Conversion of one value, and of a list of values with the currency of amounts without one."""

    one: Convert
    many: Callable[[object, object], Any]


def struct_of(kind: ElementType) -> type[Struct] | None:
    """Return the struct of a nested object or of the elements of a list."""
    return next((part for part in kind.types if isinstance(part, type) and issubclass(part, Struct)), None)


def check_options(kind: ElementType, options: FieldPointer) -> Iterator[tuple[str, str, str]]:
    """Yield the mistakes in the options of a field: the option, the reason and the fix."""
    is_moment = kind.is_moment
    expected = {"decimal": not kind.has_numbers or Money in kind.types, "money": Money not in kind.types}
    if options.as_ is not None and expected.get(options.as_, not is_moment):
        yield "as", f"{options.as_} is not the type of the field", "remove it, or declare the field with that type"
    if options.scale is not None and not kind.has_numbers:
        yield "scale", "is for integer, decimal and money", "remove it"
    if options.timezone is not None:
        if not is_moment:
            yield "timezone", "is for moments", "remove it"
        elif _zone(options.timezone) is None:
            yield "timezone", f"there is no time zone {options.timezone!r}", "write a name such as Europe/Oslo"
    if options.currency is not None and (Money not in kind.types or kind.is_list):
        yield "currency", "is for money", "remove it"
    if options.default is not UNSET:
        yield from _check_default(kind, options)


def _check_default(kind: ElementType, options: FieldPointer) -> Iterator[tuple[str, str, str]]:
    inner = struct_of(kind)
    if kind.is_list or inner not in {None, Money}:
        yield "default", "is for single values", "remove it"
    elif inner is Money:
        if as_decimal(options.default) is UNSET:
            yield "default", f"{options.default!r} is not an amount", 'write a number in quotes: "0.00"'
    elif build_conversion(kind, options).one(options.default) is UNSET:
        yield "default", f"{options.default!r} is not of the field's type", "write a value of that type"


def build_conversion(kind: ElementType, options: FieldPointer) -> Conversions:
    """Build the conversion of a field that is not an object."""
    if Money in kind.types:
        return Conversions(
            lambda _value: UNSET, lambda found, currency: as_list(found, lambda each: _money(each, currency))
        )
    one = _scaling(_base(kind, options), options.scale)
    return Conversions(one, lambda found, _currency: as_list(found, one))


def _scaling(convert: Convert, scale: int | None) -> Convert:
    return convert if scale is None else lambda value: convert(scaled(value, scale))


def scaled(value: object, scale: int | None) -> object:
    """Divide a number by a power of ten; any other value stays."""
    if scale is None:
        return value
    number = as_decimal(value)
    return value if number is UNSET else number.scaleb(1 - len(str(scale)))


def _base(kind: ElementType, options: FieldPointer) -> Convert:
    if kind.is_moment:
        return _moments(options)
    for types, convert in _CONVERSIONS:
        if kind.types == types:
            return convert
    raise TypeError(f"no conversion to {kind.types}")


def _moments(options: FieldPointer) -> Convert:
    if options.as_ in {"epoch_s", "epoch_ms"}:
        divisor = 1 if options.as_ == "epoch_s" else 1_000
        return lambda value: _from_epoch(value, divisor)
    zone = _zone(options.timezone) if options.timezone else None
    return as_timestamp if zone is None else lambda value: _in_zone(value, zone)


def _from_epoch(value: object, divisor: int) -> datetime | UnsetType | None:
    if value is None:
        return None
    number = as_decimal(value)
    if number is UNSET or not 0 <= number / divisor <= SECONDS_MAX:
        return UNSET
    return datetime.fromtimestamp(float(number / divisor), UTC)


def _in_zone(value: object, zone: tzinfo) -> datetime | UnsetType | None:
    if not isinstance(value, str):
        return as_timestamp(value)
    try:
        moment = parse_iso_time(value)
    except ValueError:
        return UNSET
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def _integer(value: object) -> int | UnsetType | None:
    number = as_quantity(value)
    if number is None or number is UNSET or isinstance(number, int):
        return UNSET if isinstance(number, bool) else number
    return int(number) if number == number.to_integral_value() else UNSET


def _boolean(value: object) -> bool | UnsetType | None:
    return value if value is None or isinstance(value, bool) else UNSET


def _date(value: object) -> date | UnsetType | None:
    """Convert `2026-01-31`, also at the beginning of a moment."""
    if not isinstance(value, str) or value[10:11] not in DATE_ENDS:
        return None if value is None else UNSET
    try:
        return date.fromisoformat(value[:10])
    except ValueError:
        return UNSET


def _money(value: object, currency: object) -> Money | UnsetType:
    if not isinstance(value, dict):
        return as_money(value, currency)
    members = cast("dict[str, object]", value)
    return as_money(members.get("value"), members.get("currency", currency))


def _members(annotation: object) -> tuple[Any, ...]:
    return get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)


_CONVERSIONS: tuple[tuple[frozenset[Any], Convert], ...] = (
    (frozenset({str}), as_text),
    (frozenset({int, Decimal}), as_quantity),
    (frozenset({int}), _integer),
    (frozenset({bool}), _boolean),
    (frozenset({date}), _date),
)
