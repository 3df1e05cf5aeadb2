"""Which paths hold personal data, and what is shown in place of their values in traces and log messages."""

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
    """Whether a path into a platform's own answer smells of a person: `raw.customer.emailAddress` does.

    Platforms name their fields as they like, so this errs on the side of masking.
    """
    words = {word.lower() for word in _WORDS.findall(path)}
    return not words.isdisjoint(_PERSONAL_WORDS) or not words.isdisjoint(PERSONAL)


def mask(value: object, *, personal: bool) -> JsonValue:
    """Make a value fit to be shown: plain, short, and masked where personal; UNSET is shown as `(missing)`."""
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
