"""Conversion of a platform's JSON to the types of our records, field by field. Pure.

One malformed field must not make a record unreadable: an absent or malformed field becomes UNSET, null stays None. Ids
and codes become text, amounts Decimal, timestamps aware (UTC if the platform states no offset).
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, cast

from msgspec import UNSET, UnsetType

from service.records import Money, Quantity, Text, Timestamp
from service.timestamps import parse_iso_time

JsonObject = Mapping[str, Any]
"""A decoded JSON object."""

EMPTY: JsonObject = {}

EXPONENT_MAX = 64
"""Powers of ten beyond this are no quantities; written out, 1e999999999 would fill the memory."""

_NUMBERS = (str, int, Decimal)


def as_text(value: object) -> Text:
    """Convert to text: whole numbers become digits, null becomes None."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return UNSET


def as_decimal(value: object) -> Decimal | UnsetType:
    """Convert a number or decimal text to a finite number."""
    if not isinstance(value, _NUMBERS) or value is True or value is False:
        return UNSET
    try:
        number = Decimal(value)
    except InvalidOperation:
        return UNSET
    return number if number.is_finite() and -EXPONENT_MAX <= number.adjusted() <= EXPONENT_MAX else UNSET


def as_quantity(value: object) -> Quantity | UnsetType | None:
    """Convert to a quantity: whole numbers stay integers, others become Decimal."""
    return value if type(value) is int or value is None else as_decimal(value)


def as_timestamp(value: object) -> Timestamp:
    """Convert ISO 8601 text, with or without an offset."""
    if value is None:
        return None
    if not isinstance(value, str):
        return UNSET
    try:
        parsed = parse_iso_time(value)
    except ValueError:
        return UNSET
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)


def as_money(value: object, currency: object) -> Money | UnsetType:
    """Combine amount and currency; UNSET if one of them is missing."""
    amount = as_decimal(value)
    if amount is UNSET or not isinstance(currency, str) or not currency:
        return UNSET
    return Money(amount, currency if currency.isupper() else currency.upper())


def as_objects(value: object) -> Sequence[JsonObject] | UnsetType | None:
    """Return a list of objects; with any other item the list is UNSET, so that no rule decides on a part of it."""
    if not isinstance(value, list):
        return None if value is None else UNSET
    items = cast("list[Any]", value)
    return items if all(item.__class__ is dict for item in items) else UNSET


def as_tags(value: object) -> tuple[str, ...] | UnsetType | None:
    """Convert to a list of text. Null items are left out; with an item of another type the list is UNSET."""
    return as_list(value, as_text)


def as_list(value: object, convert: Callable[[object], Any]) -> tuple[Any, ...] | UnsetType | None:
    """Convert the items of a list. Null items are left out; with an item of another type the list is UNSET."""
    if not isinstance(value, list):
        return None if value is None else UNSET
    converted = [convert(item) for item in cast("list[object]", value) if item is not None]
    return UNSET if UNSET in converted else tuple(converted)


def text(node: JsonObject, key: str) -> Text:
    """Return a text field."""
    value = node.get(key, UNSET)
    return value if type(value) is str else as_text(value)


def quantity(node: JsonObject, key: str) -> Quantity | UnsetType | None:
    """Return a quantity."""
    value = node.get(key, UNSET)
    return value if type(value) is int else as_quantity(value)


def timestamp(node: JsonObject, key: str) -> Timestamp:
    """Return a timestamp."""
    return as_timestamp(node.get(key, UNSET))


def money(node: JsonObject, key: str) -> Money | UnsetType | None:
    """Return the amount of `{"value": …, "currency": …}`."""
    amount = node.get(key, UNSET)
    if amount.__class__ is dict:
        return as_money(amount.get("value"), amount.get("currency"))
    return None if amount is None else UNSET


def child(node: JsonObject, key: str) -> JsonObject | UnsetType | None:
    """Return a nested object."""
    value = node.get(key, UNSET)
    return value if value.__class__ is dict or value is None else UNSET


def nested(node: JsonObject, *keys: str) -> JsonObject:
    """Return the object at the end of a path of names, an empty one if the path ends early."""
    for key in keys:
        node = child(node, key) or EMPTY
    return node


def children(node: JsonObject, key: str) -> Sequence[JsonObject] | UnsetType | None:
    """Return a list of objects; other items are left out."""
    value = node.get(key, UNSET)
    if value is None:
        return None
    if value.__class__ is not list:
        return UNSET
    return [item for item in value if item.__class__ is dict]


def latest(*moments: Timestamp) -> datetime | None:
    """Return the latest known timestamp."""
    return max((item for item in moments if item is not None and item is not UNSET), default=None)


def record_version(modified: Timestamp) -> str | None:
    """Return a timestamp as text whose order is time order: UTC, fixed width; None if UTC has no such year."""
    if modified is None or modified is UNSET:
        return None
    try:
        universal = modified if modified.tzinfo is UTC else modified.astimezone(UTC)
        return universal.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
    except OverflowError:
        return None
