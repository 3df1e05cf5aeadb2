"""Encoding of a record's last decided state: small plain data without personal data.

Only the fields that rules compare with `previous` are stored. Texts, numbers, timestamps and money are stored as
values. Structs, lists, long texts and personal fields are stored as digests, which are enough to detect a change:
`{"status": "received", "total": ["money", "12.5", "EUR"], "email": ["digest", "9f86…"]}`.
"""

import hashlib
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import cast

import msgspec
from msgspec import UNSET, Struct

from service.records import Money
from service.rules.scope import Value

TEXT_CHARS_MAX = 256
DIGITS_MAX = 60


def encode_previous(path: str, value: Value, *, personal: bool) -> Value:
    """Encode one value as plain data. Equal values, and only those, have equal data. UNSET stays UNSET."""
    if value is None or value is UNSET or type(value) is bool:
        return value
    if not personal:
        if isinstance(value, str) and len(value) <= TEXT_CHARS_MAX:
            return value
        if isinstance(value, date) and (day := _encode_time(value)) is not None:
            return day
        if isinstance(value, Money) and (number := _number(value.value)) is not None:
            return ["money", number, value.currency]
        if (number := _number(value)) is not None:
            return ["number", number]
    return ["digest", digest(path, value)]


def _encode_time(value: date) -> Value:
    """Encode a date, or a timestamp with a time zone. Return None for a timestamp without one."""
    if not isinstance(value, datetime):
        return ["date", value.isoformat()]
    return ["moment", _format_timestamp(value)] if value.tzinfo is not None else None


class Digest(Struct, frozen=True):
    """A stored value of which only the digest is known. It exists, but cannot be compared."""

    text: str


def decode_previous(stored: Value) -> Value:
    """Decode the output of `encode_previous`. Any other data is decoded as UNSET."""
    match stored:
        case None | bool() | str():
            return stored
        case ["number", str(number)]:
            return _decimal(number)
        case ["moment" | "date" as kind, str(text)]:
            return _parse(text, datetime if kind == "moment" else date)
        case ["digest", str(text)]:
            return Digest(text)
        case ["money", str(number), str(currency)]:
            value = _decimal(number)
            return value if value is UNSET else Money(value, currency)
        case _:
            return UNSET


def digest(path: str, value: Value) -> str:
    """Return the SHA-256 in hex of the path and the value as canonical JSON."""
    plain = msgspec.to_builtins(value, builtin_types=(Decimal, datetime), enc_hook=repr)
    body = msgspec.json.encode(_canonical(plain), order="sorted")
    return hashlib.sha256(path.encode() + b"\0" + body).hexdigest()


def _canonical(value: Value) -> Value:
    """Normalize numbers and timestamps, so that 12.50 instead of 12.5 is not a change."""
    if type(value) in {int, Decimal}:
        return ["number", _number(value) or str(value)]
    if isinstance(value, datetime):
        return ["moment", _format_timestamp(value) if value.tzinfo is not None else value.isoformat()]
    if isinstance(value, dict):
        return {key: _canonical(inner) for key, inner in cast("dict[str, Value]", value).items()}
    return [_canonical(inner) for inner in cast("list[Value]", value)] if isinstance(value, list | tuple) else value


def _number(value: Value) -> str | None:
    """Normalize a number: 12.50 and 12.5 become `12.5`, 3.00 becomes `3`. Return None for any other value."""
    if type(value) is int:
        return str(value) if abs(value) < 10**DIGITS_MAX else None
    if type(value) is not Decimal or not value.is_finite() or abs(value.adjusted()) > DIGITS_MAX:
        return None
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def _format_timestamp(timestamp: datetime) -> str:
    try:
        return timestamp.astimezone(UTC).isoformat()
    except OverflowError:  # in the first or the last hours of the calendar
        return timestamp.isoformat()


def _decimal(text: str) -> Value:
    try:
        return Decimal(text)
    except InvalidOperation:
        return UNSET


def _parse(text: str, kind: type[date]) -> Value:
    try:
        return msgspec.convert(text, kind)
    except msgspec.ValidationError:
        return UNSET
