"""Redaction: removes secrets and personal data from log lines and other output. Pure.

Fields are redacted by name, at any depth. In text, e-mail addresses and passwords in URLs are redacted, because
libraries put both into error messages. Objects are replaced by their type name, never by their `repr`.
"""

import hashlib
import re
from collections.abc import Collection, Mapping, MutableMapping, Sequence
from decimal import Decimal
from pathlib import PurePath
from types import NoneType
from typing import Any, cast

import msgspec
from msgspec import Struct

from service.events import JsonValue

REDACTED = "[redacted]"
ELLIPSIS = "…"

CONTAINER_NAMES = frozenset({"body", "headers", "params", "payload", "raw"})
"""Names of whole bodies and parameters. Log lines have none of them."""

_PERSONAL_NAMES = frozenset(
    """
    birthday city company dob firstname fullname house_number iban lastname name names notes postcode recipient street
    surname username zip zipcode
    """.split()  # noqa: SIM905 - a list of words reads best as words
)
"""Names in snake_case."""

_PERSONAL_SUFFIXES = frozenset(
    """
    address address_line addresses birth_date birthdate company_name contact_name customer_name date_of_birth
    display_name email emails family_name first_name full_name given_name last_name mail middle_name mobile
    mobile_number phone phone_number phones postal_code post_code telephone telephone_number user_name vat_number
    zip_code
    """.split()  # noqa: SIM905 - as above
)
"""Last words: `billingFirstName` is personal."""

_SECRET_NAMES = frozenset({"apikey", "cookies", "credentials"})

_SECRET_SUFFIXES = frozenset(
    """
    access_key api_key authorization cookie passphrase password passwords private_key query_string secret secrets
    signature signatures token tokens
    """.split()  # noqa: SIM905 - as above
)
"""Last words: `path_token` and `X-Signature` are secret, `token_bytes` is not."""

REDACTED_NAMES = _SECRET_NAMES | _PERSONAL_NAMES | CONTAINER_NAMES
REDACTED_SUFFIXES = _SECRET_SUFFIXES | _PERSONAL_SUFFIXES | {"body"}
"""Names that are redacted in log lines."""

ENDING_WORDS_MAX = 3
DEPTH_MAX = 6
RESPONSE_DEPTH_MAX = 32
NAMES_CACHED_MAX = 4_096
NAME_CHARACTERS_MAX = 256
"""Only the last characters of a longer name are checked."""

_SCALARS = frozenset({str, int, float, bool, NoneType})
_WORD_ENDS = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_PERSONAL_TEXT = re.compile(
    r"(?<=://)[^/\s\"@]{1,256}(?=@)"  # user:password of a URL
    r"|(?<!\])[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,255}"  # an e-mail address
)
_PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}", re.ASCII)
"""Ids that are written as they are: without spaces, `@`, `+` and letters beyond ASCII."""

_VALUES = re.compile(
    r"""(?P<open>['"`])(?:\\.|(?!(?P=open)).){1,4000}(?P<close>(?P=open))"""  # quoted
    r"""|\+?\d[\d .()/-]{5,40}\w*""",  # a phone number, a card, a date of birth
    re.DOTALL,
)


class _Ids(Struct):
    are_digests: bool = False


_ids = _Ids()


def log_ids_as_digests(*, enabled: bool) -> None:
    """Write all ids of other systems as digests, or only those that can be personal data."""
    _ids.are_digests = enabled


def loggable_id(text: str) -> str:
    """Return an id of another system for a log line.

    Args:
        text: The id as its system writes it.

    Returns:
        The id, or `sha256:` and 16 digits of its digest if it can be a full name, an address or a phone number.
        Always the digest after `log_ids_as_digests`.
    """
    return _digest(text) if _ids.are_digests else loggable_name(text)


def loggable_name(text: str) -> str:
    """Return a name that a sender chose, such as an event type, for a log line: as an id, without the setting."""
    return text if _PLAIN_ID.fullmatch(text) else _digest(text)


def _digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


class NameCheck(dict[str, bool]):
    """Cache: whether a name is one of `names`, or ends with one of `suffixes`. Every line looks up all its fields.

    `text_names` are redacted if their value is text, and not if it is an object or a list.
    """

    def __init__(
        self, names: frozenset[str], suffixes: frozenset[str], text_names: frozenset[str] = frozenset()
    ) -> None:
        super().__init__()
        self.text_names = text_names
        self._names, self._suffixes = names, suffixes
        last_words = {name.rpartition("_")[2] for name in names | suffixes | text_names}
        # Words that contain another one need no check of their own.
        self._hints = [word for word in last_words if not any(other in word for other in last_words - {word})]

    def may_occur(self, text: str) -> bool:
        """Return whether text may contain a redacted name. A quick check for the usual text, which has none."""
        if "\\u" in text or "%" in text:  # escaped names
            return True
        lower = text.lower()
        return any(hint in lower for hint in self._hints)

    def __missing__(self, name: str) -> bool:
        words = _words(name)
        endings = ("_".join(words[-count:]) for count in range(1, ENDING_WORDS_MAX + 1))
        is_redacted = "_".join(words) in self._names or not self._suffixes.isdisjoint(endings)
        # Bounded: names can come from the JSON of senders.
        if len(self) < NAMES_CACHED_MAX:
            self[name] = is_redacted
        return is_redacted


def _words(name: str) -> list[str]:
    """Return the words of a name in any style (`addressLine1`, `X-Phone`), without a trailing number."""
    return [word.lower() for word in _WORD_ENDS.split(name[-NAME_CHARACTERS_MAX:].rstrip("0123456789_")) if word]


IS_SECRET = NameCheck(_SECRET_NAMES, _SECRET_SUFFIXES)
"""Names of secrets."""
IS_SECRET_OR_PERSONAL = NameCheck(
    _SECRET_NAMES | _PERSONAL_NAMES, _SECRET_SUFFIXES | _PERSONAL_SUFFIXES, CONTAINER_NAMES
)
"""Names of secrets and of personal data."""
_is_redacted = NameCheck(REDACTED_NAMES, REDACTED_SUFFIXES)


_plain_names: set[str] = set()
"""Names of earlier lines that are not redacted."""


def redact(fields: MutableMapping[str, Any]) -> None:
    """Redact `fields` in place by name, and convert nested values to redacted plain data."""
    # Most lines have nothing to redact. Both checks run in C.
    if not _plain_names.issuperset(fields):
        redacted = {name for name in fields if _is_redacted[name]}
        for name in redacted:
            fields[name] = REDACTED
        if len(_plain_names) < NAMES_CACHED_MAX:
            _plain_names.update(fields.keys() - redacted)
    if not _SCALARS.issuperset(map(type, fields.values())):
        for name, value in fields.items():
            fields[name] = to_plain(value)


def to_plain(value: object, depth: int = 0) -> JsonValue:
    """Return any value as JSON data, redacted by name at every level. Never raises, and never calls `repr`."""
    if type(value) in _SCALARS:
        return value
    if isinstance(value, bytes | bytearray):
        return f"[{len(value)} bytes]"
    if isinstance(value, str | Decimal | PurePath):
        return str(value)
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {value}"
    return _plain_inside(value, depth) if depth < DEPTH_MAX else "[too deep]"


def redact_response(value: JsonValue, shown: Collection[str], parent: str = "", depth: int = 0) -> JsonValue:
    """Return a response of a platform, redacted by name at every level and without personal text.

    Args:
        value: Decoded JSON.
        shown: Names that are not redacted: `name` everywhere, `product.name` only in an object of this name.
        parent: The name of the object that contains the value.
        depth: The number of levels above the value.

    Returns:
        The redacted copy.
    """
    if depth > RESPONSE_DEPTH_MAX:
        return "[too deep]"
    if isinstance(value, dict):
        members = cast("dict[str, JsonValue]", value)
        return {
            name: REDACTED
            if _is_redacted[name] and name not in shown and f"{parent}.{name}" not in shown
            else redact_response(item, shown, name, depth + 1)
            for name, item in members.items()
        }
    if isinstance(value, list):
        return [redact_response(item, shown, parent, depth + 1) for item in cast("list[JsonValue]", value)]
    return scrub(value)


def scrub(value: JsonValue) -> JsonValue:
    """Return `value` without e-mail addresses, and without user and password of URLs, in all its text."""
    if isinstance(value, str):
        return _PERSONAL_TEXT.sub(REDACTED, value)
    if isinstance(value, dict):
        return {name: scrub(item) for name, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [scrub(item) for item in cast("list[Any]", value)]
    return value


def mask_values(text: str) -> str:
    """Return text of a library without possible values: quoted text and long numbers."""
    return _VALUES.sub(lambda match: (match["open"] or "") + ELLIPSIS + (match["close"] or ""), text)


def _plain_inside(value: object, depth: int) -> JsonValue:
    if isinstance(value, Mapping):
        pairs = cast("Mapping[Any, Any]", value).items()
        named = ((str(name), item) for name, item in pairs)
        return {name: REDACTED if _is_redacted[name] else to_plain(item, depth + 1) for name, item in named}
    if isinstance(value, Sequence | set | frozenset):
        return [to_plain(item, depth + 1) for item in cast("Sequence[Any]", value)]
    try:
        builtin = msgspec.to_builtins(value, builtin_types=(bytes, Decimal), str_keys=True)
    except (TypeError, ValueError, msgspec.MsgspecError):
        return f"<{type(value).__name__}>"
    return to_plain(builtin, depth + 1)
