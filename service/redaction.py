"""What must not be said: secrets and personal data are taken out of a log line's fields here. Pure and on by default.

Fields are judged by name, at any depth; text is searched for e-mail addresses and for passwords inside URLs, since
libraries put both into error messages. Values that are no plain data are named by their type, never by their `repr`.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import PurePath
from types import NoneType
from typing import Any, cast

import msgspec

from service.events import JsonValue

REDACTED = "[redacted]"
ELLIPSIS = "…"

REDACTED_NAMES = frozenset(
    """
    apikey birthday body city company cookies credentials dob firstname fullname headers iban lastname name names notes
    params payload postcode raw recipient street surname username zip zipcode
    """.split()  # noqa: SIM905 - a list of words reads best as words
)
"""Whole names, in snake_case."""

REDACTED_SUFFIXES = frozenset(
    """
    access_key address address_line addresses api_key authorization birth_date birthdate body company_name
    contact_name cookie customer_name date_of_birth display_name email emails family_name first_name full_name
    given_name last_name mail middle_name mobile mobile_number passphrase password passwords phone phone_number
    phones postal_code post_code private_key query_string secret secrets signature signatures telephone
    telephone_number token tokens user_name vat_number zip_code
    """.split()  # noqa: SIM905 - likewise
)
"""Last words: `path_token`, `X-Signature` and `billingFirstName` are hidden, `body_bytes` is not."""

ENDING_WORDS_MAX = 3
DEPTH_MAX = 6
NAMES_REMEMBERED_MAX = 4_096
NAME_CHARACTERS_MAX = 256
"""A longer name is judged by its end."""

_SCALARS = frozenset({str, int, float, bool, NoneType})
_WORD_ENDS = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_PERSONAL_TEXT = re.compile(
    r"(?<=://)[^/\s\"@]{1,256}(?=@)"  # user:password of a URL
    r"|(?<!\])[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,255}"  # an e-mail address
)
_VALUES = re.compile(
    r"""(?P<open>['"`])(?:\\.|(?!(?P=open)).){1,4000}(?P<close>(?P=open))"""  # quoted
    r"""|\+?\d[\d .()/-]{5,40}\w*""",  # a phone number, a card, a date of birth
    re.DOTALL,
)


class _Verdicts(dict[str, bool]):
    """Whether a name hides its value, remembered, since each line asks it of every field."""

    def __missing__(self, name: str) -> bool:
        words = _words(name)
        endings = ("_".join(words[-count:]) for count in range(1, ENDING_WORDS_MAX + 1))
        hidden = "_".join(words) in REDACTED_NAMES or not REDACTED_SUFFIXES.isdisjoint(endings)
        # Names come from outside, too: a sender's JSON has as many as it likes.
        if len(self) < NAMES_REMEMBERED_MAX:
            self[name] = hidden
        return hidden


def _words(name: str) -> list[str]:
    """Take a name apart, however its words are joined (`addressLine1`, `X-Phone`), without a number at its end."""
    return [word.lower() for word in _WORD_ENDS.split(name[-NAME_CHARACTERS_MAX:].rstrip("0123456789_")) if word]


_hides = _Verdicts()


def redact(fields: dict[str, Any]) -> None:
    """Replace, in place, what the names of `fields` hide, and turn nested values into redacted plain data."""
    # Nearly no line has anything to hide, and both questions are answered without a step of Python per field.
    if any(map(_hides.__getitem__, fields)):
        for name in [name for name in fields if _hides[name]]:
            fields[name] = REDACTED
    if not _SCALARS.issuperset(map(type, fields.values())):
        for name, value in fields.items():
            fields[name] = to_plain(value)


def to_plain(value: object, depth: int = 0) -> JsonValue:
    """Turn any value into JSON data with hidden names redacted at every level; never raises, never calls `repr`."""
    if type(value) in _SCALARS:
        return value
    if isinstance(value, bytes | bytearray):
        return f"[{len(value)} bytes]"
    if isinstance(value, str | Decimal | PurePath):
        return str(value)
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {value}"
    return _plain_inside(value, depth) if depth < DEPTH_MAX else "[too deep]"


def scrub(value: JsonValue) -> JsonValue:
    """Take e-mail addresses, and user and password of URLs, out of every text in `value`."""
    if isinstance(value, str):
        return _PERSONAL_TEXT.sub(REDACTED, value)
    if isinstance(value, dict):
        return {name: scrub(item) for name, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [scrub(item) for item in cast("list[Any]", value)]
    return value


def mask_values(text: str) -> str:
    """Take out of a text that others wrote what may be a value: whatever is quoted, in brackets, or a long number."""
    return _VALUES.sub(lambda found: (found["open"] or "") + ELLIPSIS + (found["close"] or ""), text)


def _plain_inside(value: object, depth: int) -> JsonValue:
    if isinstance(value, Mapping):
        pairs = cast("Mapping[Any, Any]", value).items()
        named = ((str(name), item) for name, item in pairs)
        return {name: REDACTED if _hides[name] else to_plain(item, depth + 1) for name, item in named}
    if isinstance(value, Sequence | set | frozenset):
        return [to_plain(item, depth + 1) for item in cast("Sequence[Any]", value)]
    try:
        builtin = msgspec.to_builtins(value, builtin_types=(bytes, Decimal), str_keys=True)
    except (TypeError, ValueError, msgspec.MsgspecError):
        return f"<{type(value).__name__}>"
    return to_plain(builtin, depth + 1)
