"""Masking of personal data in traces and log messages, by the path of a field."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

import msgspec
from msgspec import UNSET, Struct

from service.events import JsonValue
from service.plurals import count_noun
from service.records import PERSONAL, Money
from service.rules.limits import ACTUAL_CHARS_MAX

MASK = "***"

_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_PERSONAL_WORDS = frozenset(
    {
        "email",
        "mail",
        "phone",
        "mobile",
        "name",
        "street",
        "address",
        "city",
        "zip",
        "postal",
        "postcode",
        "vat",
        "iban",
    }
)


def personal_path(path: str) -> bool:
    """Return whether a path into a platform's response probably contains personal data.

    An example is `raw.customer.emailAddress`. The names of platforms vary, so in case of doubt the value is masked.
    """
    words = {word.lower() for word in _WORDS.findall(path)}
    return not words.isdisjoint(_PERSONAL_WORDS) or not words.isdisjoint(PERSONAL)


def mask(value: object, *, personal: bool) -> JsonValue:
    """Convert a value for output: plain, short, and masked if personal. UNSET becomes `(missing)`."""
    if value is UNSET:
        return "(missing)"
    if value is None or isinstance(value, bool):
        return value
    return MASK if personal else _short(value)


def _short(value: object) -> int | str:
    match value:
        case int() if -(2**63) <= value < 2**63:
            return value
        case datetime():
            text = msgspec.to_builtins(value)
        case Money():
            text = f"{value.value} {value.currency}"
        case Struct() | Mapping():
            text = "(present)"
        case list() | tuple() | frozenset():
            text = f"({count_noun(len(cast('list[Any]', value)), 'element')})"
        case _:
            text = str(value)
    return text[:ACTUAL_CHARS_MAX]
