"""Last decided state of a record, serialized. Pure; decide.lua writes the same format.

Line 1: digest, line 2: version, line 3: change types decided on this state, one letter each, then to the end the fields
that rules read through `previous`, in msgpack. Digests are in base64 instead of hex, and versions without separators,
since every record has one.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

EncodedLastState = bytes | Sequence[bytes] | None
"""Stored value; None if there is none, a list with the name of the type if it is not a string."""

_decode_fields = msgspec.msgpack.Decoder(dict[str, Any]).decode
_HEX_DIGITS, _SHORT_CHARACTERS = 32, 22
_match_version = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)\.(\d{6})Z", re.ASCII).fullmatch
_match_short_version = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d{6})?", re.ASCII).fullmatch
SHORT_TYPES = {"created": "c", "updated": "u", "deleted": "d", "changed": "x"}
_LONG_TYPES = {short: name for name, short in SHORT_TYPES.items()}


class LastState(Struct, frozen=True):
    """Last decided state of a record. `types` are the change types decided on it."""

    digest: str = ""
    version: str = ""
    fields: bytes = b""
    types: tuple[str, ...] = ()


def short_digest(digest: str) -> str:
    """Return a 128-bit hex digest as 22 characters of base64, and any other text unchanged."""
    if len(digest) != _HEX_DIGITS:
        return digest
    return b64encode(bytes.fromhex(digest)).decode()[:_SHORT_CHARACTERS]


def short_version(version: str) -> str:
    """Return a version in 14 or 20 digits. Their order is that of the versions, since only a fraction of 0 is omitted.

    Any other text is returned in one line; such a text of 14 or 20 digits is decoded as a time.
    """
    match = _match_version(version)
    return "".join(match.groups()).removesuffix("000000") if match else version.replace("\n", " ")


def long_version(short: str) -> str:
    """Return the version that `short_version` shortened."""
    if not (match := _match_short_version(short)):
        return short
    year, month, day, hour, minute, second, fraction = match.groups("000000")
    return f"{year}-{month}-{day}T{hour}:{minute}:{second}.{fraction}Z"


def _long_digest(short: bytes) -> str:
    return b64decode(short + b"==").hex() if len(short) == _SHORT_CHARACTERS else short.decode()


def decode_last_state(encoded: EncodedLastState) -> LastState:
    """Return the decoded state; an empty one for a record without a decision.

    Raises:
        ValueError: It is not a state of this version.
    """
    if encoded is None:
        return LastState()
    try:
        if not isinstance(encoded, bytes):
            raise ValueError(f"it is a {encoded[0].decode()}, not a string")  # noqa: TRY004 - a value, not an argument
        digest, version, types, fields = encoded.split(b"\n", 3)
        if fields:
            _decode_fields(fields)
        long_types = tuple(_LONG_TYPES[letter] for letter in types.decode())
    except RecursionError:
        raise ValueError("its fields are nested too deeply") from None
    except KeyError as error:
        raise ValueError(f"{error} is no change type") from None
    return LastState(_long_digest(digest), long_version(version.decode()), fields, long_types)
