"""Parsing of the literals in `value`, by the kind of the field that they are compared with.

Nothing is coerced. Money and other numbers are integers or quoted decimal text, because YAML parses a number with a
decimal point as a float and loses digits. Timestamps are text with an offset. The operator for null is `is_null`.
"""

import math
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import cast

import msgspec

from service.errors import ConfigError
from service.records import Money
from service.rules.fields import FieldKind
from service.rules.limits import LITERALS_MAX
from service.rules.scope import Value

_NUMBER = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?", re.ASCII)
_NUMBER_OF_ANY_LENGTH = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_DURATION = re.compile(r"([0-9]{1,6})([smhdw])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}

DURATION_MAX = timedelta(days=3_650)

_FIXES: dict[FieldKind, str] = {
    "text": "write text, in quotes if it looks like a number",
    "number": 'write a whole number, or a decimal in quotes: "12.5"',
    "amount": 'write a whole number, or a decimal in quotes: "100.00"',
    "money": 'write {value: "100.00", currency: EUR}',
    "timestamp": 'write a timestamp with its offset, in quotes: "2026-01-31T12:00:00Z"',
    "date": 'write a date in quotes: "2026-01-31"',
    "boolean": "write true or false",
    "any": "write text, a number, true or false",
}


def kind_name(kind: FieldKind) -> str:
    """Return the name of a kind with its article."""
    return {"amount": "an amount", "any": "a plain value"}.get(kind, f"a {kind}")


def is_number(text: str) -> bool:
    """Return whether a text is a decimal number of at most 30 digits on each side of the point."""
    return _NUMBER.fullmatch(text) is not None


def _is_too_long(value: Value) -> bool:
    return isinstance(value, int | str) and _NUMBER_OF_ANY_LENGTH.fullmatch(str(value)) is not None


def format_literal(value: Value) -> str:
    """Format the first 40 characters of a value for an error. Text is in quotes."""
    if isinstance(value, str):
        return repr(value[:40])
    return str(value).lower() if isinstance(value, bool) else str(value)[:40]


def read_literal(value: Value, kind: FieldKind, at: str) -> Value:
    """Parse the literal for a field that is neither a list nor a struct.

    Raises:
        ConfigError: the value is of another kind.
    """
    if value is None:
        raise ConfigError(at, "null cannot be compared", "use op: is_null")
    literal = _READERS[kind](value)
    if literal is None and kind in {"number", "amount"} and _is_too_long(value):
        fix = "write a whole number up to 18 digits, or in quotes up to 30 digits on each side of the point"
        raise ConfigError(at, f"{format_literal(value)} has too many digits", fix)
    if literal is None:
        raise ConfigError(at, f"{format_literal(value)} is not {kind_name(kind)}", _FIXES[kind])
    return literal


def read_literals(value: Value, kind: FieldKind, at: str) -> list[Value]:
    """Parse the literals for `in` and `not_in`. All are of one kind, and money is in one currency.

    Raises:
        ConfigError: the value is not a list, too long, or contains a literal of another kind.
    """
    if not isinstance(value, list | tuple) or not value:
        raise ConfigError(at, "a list is required", "write [one, two]")
    items = cast("list[Value]", value)
    if len(items) > LITERALS_MAX:
        raise ConfigError(at, f"{len(items)} values, at most {LITERALS_MAX} are allowed", "split the rule")
    found = [read_literal(item, kind, f"{at}[{index}]") for index, item in enumerate(items)]
    if kind == "money" and len({item.currency for item in found}) > 1:
        raise ConfigError(at, "amounts in two currencies cannot be compared", "write one rule per currency")
    return found


def read_duration(value: Value, at: str) -> timedelta:
    """Parse a duration such as `90s`, `15m`, `48h`, `7d` or `2w`.

    Raises:
        ConfigError: the value is not a duration, or is too long.
    """
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ConfigError(at, f"{format_literal(value)} is not a duration", "write a number and s, m, h, d or w: 48h")
    duration = timedelta(seconds=int(found[1]) * _SECONDS[found[2]])
    if duration > DURATION_MAX:
        raise ConfigError(at, f"{value} is too long", f"write at most {DURATION_MAX.days}d")
    return duration


def _text(value: Value) -> str | None:
    return value if isinstance(value, str) else None


def _boolean(value: Value) -> bool | None:
    return value if isinstance(value, bool) else None


def _any(value: Value) -> Value:
    if isinstance(value, float):
        return Decimal(repr(value)) if math.isfinite(value) else None
    return value if isinstance(value, str | bool) else _number(value)


def _number(value: Value) -> int | Decimal | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) < 2**63 else None
    return Decimal(value) if isinstance(value, str) and is_number(value) else None


def _timestamp(value: Value) -> datetime | None:
    try:
        timestamp = msgspec.convert(value, datetime) if isinstance(value, str) else None
    except msgspec.ValidationError:
        return None
    return timestamp if timestamp is not None and timestamp.tzinfo is not None else None


def _date(value: Value) -> date | None:
    try:
        return msgspec.convert(value, date) if isinstance(value, str) else None
    except msgspec.ValidationError:
        return None


def _money(value: Value) -> Money | None:
    if not isinstance(value, Mapping):
        return None
    members = cast("Mapping[str, Value]", value)
    if set(members) != {"value", "currency"}:
        return None
    number, currency = _number(members["value"]), members["currency"]
    if number is None or not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        return None
    return Money(Decimal(number), currency)


_READERS: dict[FieldKind, Callable[[Value], Value]] = {
    "text": _text,
    "number": _number,
    "amount": _number,
    "boolean": _boolean,
    "timestamp": _timestamp,
    "date": _date,
    "money": _money,
    "any": _any,
}
