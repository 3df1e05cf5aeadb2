"""Casts of untyped values: `as: decimal`, `as: money` or `as: moment` at a comparison.

A value that cannot be cast stays as it is. The comparison is then unknown, and its trace shows the value.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import cast

from msgspec import Struct, structs

from service.errors import ConfigError
from service.rules.compiler.literals import is_number, kind_name, read_literal
from service.rules.fields import Field, FieldKind, FieldReader
from service.rules.scope import Value
from service.rules.syntax import Cast
from service.timestamps import parse_iso_time

SECONDS_MAX = 10**11
"""A larger number of a moment is in milliseconds; in seconds it would be a year after 5000."""

Convert = Callable[[Value], Value]


class _Target(Struct, frozen=True):
    """Kind of the result, the kinds of fields that can be cast, and the conversion."""

    kind: FieldKind
    sources: frozenset[FieldKind]
    convert: Convert


def cast_field(field: Field, name: Cast, at: str) -> Field:
    """Return the field with cast values; the field itself if it has the kind already.

    Raises:
        ConfigError: the field cannot be cast.
    """
    target = _TARGETS[name]
    if field.kind == target.kind:
        return field
    if field.kind not in target.sources:
        kinds = ", ".join([*sorted(target.sources - {"any"}), "untyped"])
        reason = f"{field.path} is {kind_name(field.kind)} and cannot be cast to {name}"
        raise ConfigError(at, reason, f"remove as, or use a field of kind {kinds}")
    return structs.replace(field, kind=target.kind, read=_reader(field.read, target.convert), attribute=None)


def _reader(read: FieldReader, convert: Convert) -> FieldReader:
    def read_cast(source: Value) -> Value:
        return convert(read(source))

    return read_cast


def _decimal(value: Value) -> Value:
    return Decimal(value) if isinstance(value, str) and is_number(value) else value


def _money(value: Value) -> Value:
    """Convert `{"value": "9.95", "currency": "EUR"}`; the value may be a number."""
    members = _members(value)
    number, currency = members.get("value"), members.get("currency")
    if type(number) not in {int, Decimal, str} or not isinstance(currency, str):
        return value
    try:
        return read_literal({"value": str(number), "currency": currency.upper()}, "money", "")
    except ConfigError:
        return value


def _members(value: object) -> dict[str, Value]:
    return cast("dict[str, Value]", value) if isinstance(value, dict) else {}


def _moment(value: Value) -> Value:
    """Convert ISO 8601 text, in UTC if it has no offset, or the seconds or milliseconds since 1970."""
    try:
        if isinstance(value, str):
            moment = parse_iso_time(value)
            return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        if type(value) in {int, Decimal}:
            seconds = value if abs(value) < SECONDS_MAX else value / 1_000
            return datetime.fromtimestamp(float(seconds), UTC)
    except (ValueError, OverflowError, OSError, ArithmeticError):
        return value
    return value


_TARGETS: dict[Cast, _Target] = {
    "decimal": _Target("number", frozenset({"any", "text"}), _decimal),
    "money": _Target("money", frozenset({"any"}), _money),
    "moment": _Target("timestamp", frozenset({"any", "text", "number"}), _moment),
}
