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

REDACTED = "[redacted]"
ELLIPSIS = "…"

HIDDEN_NAMES = frozenset(
    """
    access_key api_key apikey birthday body city company cookies credentials customer_name date_of_birth display_name
    family_name first_name full_name given_name headers iban last_name middle_name name names notes params payload
    postcode private_key query_string raw recipient street surname vat_number zip zip_code zipcode
    """.split()  # noqa: SIM905 - a list of words reads best as words
)
"""Whole names, in snake_case."""

HIDDEN_ENDINGS = frozenset(
    """
    address addresses authorization birthdate body cookie email emails mail mobile passphrase password passwords phone
    phones secret secrets signature signatures telephone token tokens
    """.split()  # noqa: SIM905 - likewise
)
"""Last words: `path_token` and `X-Signature` are hidden, `body_bytes` is not."""

DEPTH_MAX = 6
NAMES_REMEMBERED_MAX = 4_096

_SCALARS = frozenset({str, int, float, bool, NoneType})
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
        words = name.lower().replace("-", "_").replace(".", "_").strip("_")
        hidden = words in HIDDEN_NAMES or words.rsplit("_", 1)[-1] in HIDDEN_ENDINGS
        if len(self) < NAMES_REMEMBERED_MAX:
            self[name] = hidden
        return hidden


_hides = _Verdicts()


def redact(fields: dict[str, Any]) -> None:
    """Replace, in place, what the names of `fields` hide, and turn nested values into redacted plain data."""
    if any(map(_hides.__getitem__, fields)):
        for name in [name for name in fields if _hides[name]]:
            fields[name] = REDACTED
    if not _SCALARS.issuperset(map(type, fields.values())):
        for name, value in fields.items():
            fields[name] = plain(value)


def plain(value: Any, depth: int = 0) -> Any:  # noqa: ANN401 - whatever a caller logged
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


def scrub(value: Any) -> Any:  # noqa: ANN401 - plain data in, plain data out
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


def _plain_inside(value: Any, depth: int) -> Any:  # noqa: ANN401 - see plain
    if isinstance(value, Mapping):
        pairs = cast("Mapping[Any, Any]", value).items()
        named = ((str(name), item) for name, item in pairs)
        return {name: REDACTED if _hides[name] else plain(item, depth + 1) for name, item in named}
    if isinstance(value, Sequence | set | frozenset):
        return [plain(item, depth + 1) for item in cast("Sequence[Any]", value)]
    try:
        builtin = msgspec.to_builtins(value, builtin_types=(bytes, Decimal), str_keys=True)
    except (TypeError, ValueError, msgspec.MsgspecError):
        return f"<{type(value).__name__}>"
    return plain(builtin, depth + 1)
