"""Strict parsing of untrusted JSON: limited nesting, and no duplicate keys in the objects that are parsed.

msgspec is strict about the grammar, but it uses the last of two equal keys and nests as deep as Python recurses.
Duplicate keys are a risk: two parsers that use different ones read the same verified body differently.
"""

import json
from array import array
from itertools import accumulate
from typing import Any, TypeVar

import msgspec

from service.errors import Rejection

Members = dict[str, msgspec.Raw]

_T = TypeVar("_T")
NOT_JSON = "Send a body that is JSON in UTF-8."

_members = msgspec.json.Decoder(Members)
_items = msgspec.json.Decoder(list[msgspec.Raw])
_any = msgspec.json.Decoder(msgspec.Raw)
_scalar = msgspec.json.Decoder(str | int | None)
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
"""Brackets as signed bytes: one level down, one level up."""
_NO_STEPS = bytes(byte for byte in range(256) if byte not in b"[{]}")
_NOT_OPENING = bytes(byte for byte in range(256) if byte not in b"[{")


def invalid_json(detail: str) -> Rejection:
    """Build the rejection of a body that is not valid JSON or exceeds a limit."""
    return Rejection(400, "malformed_payload", detail)


def check_body(body: bytes, depth_max: int) -> None:
    """Check that a body is UTF-8 and nests at most `depth_max` levels, before a recursive decoder parses it.

    msgspec does not check the encoding of skipped values. The decoder checks the grammar.

    Raises:
        Rejection: 400 `malformed_payload`.
    """
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError:
            raise invalid_json(NOT_JSON) from None
    # Fast path: nearly every body has fewer opening brackets than allowed levels.
    if len(body.translate(None, _NOT_OPENING)) > depth_max and _is_deeper(body, depth_max):
        raise invalid_json(f"Nest the body at most {depth_max} levels deep.")


def _is_deeper(body: bytes, depth_max: int) -> bool:
    # Every second part between quotes is the content of a string. A backslash outside a string or an unmatched closing
    # bracket is not JSON. The decoder stops there, so the count after it may be wrong.
    unescaped = body.replace(rb"\\", b"").replace(rb"\"", b"") if b"\\" in body else body
    steps = b"".join(unescaped.split(b'"')[::2]).translate(_STEPS, _NO_STEPS)
    return max(accumulate(array("b", steps)), default=0) > depth_max


def read_members(text: bytes) -> Members:
    """Parse one object into its members, each still as JSON text.

    Raises:
        Rejection: 400 `malformed_payload`: not an object, not JSON, not UTF-8, or a duplicate key.
    """
    members = _decode(_members, text)
    # Two brackets, and for each key two quotes, a colon and a comma. A duplicate key adds to the text only. So do
    # blanks, and every escaped character of a key, so that a text of this length has no duplicate key.
    size = 1 + 4 * len(members) + len("".join(members).encode())
    for value in members.values():
        size += len(bytes(value))
    if size == len(text) and members:
        return members
    # Each key of this object has two quotes, so a duplicate key adds two more, in any spelling. A quote inside a key
    # adds quotes as well, so the slow check decides.
    quotes = text.count(b'"')
    for value in members.values():
        quotes -= bytes(value).count(b'"')
    if quotes != 2 * len(members) and _has_duplicate_key(text):
        raise invalid_json("Send each key of an object once.")
    return members


def read_children(text: bytes) -> Members:
    """Parse the members of an object, or the items of an array by their index as text. Other values have no children.

    Raises:
        Rejection: 400 `malformed_payload`: not JSON, not UTF-8, or a duplicate key.
    """
    match text.lstrip(b" \t\r\n")[:1]:
        case b"{":
            return read_members(text)
        case b"[":
            return {str(index): item for index, item in enumerate(_decode(_items, text))}
        case _:
            _decode(_any, text)
            return {}


def read_items(text: bytes) -> list[bytes] | None:
    """Parse an array into its items, each still as JSON text. Return None for any other value.

    Raises:
        Rejection: 400 `malformed_payload`: not JSON, or not UTF-8.
    """
    if text.lstrip(b" \t\r\n")[:1] != b"[":
        _decode(_any, text)
        return None
    return [bytes(item) for item in _decode(_items, text)]


def read_scalar(text: bytes) -> str | int | None:
    """Parse text or a whole number. Return None for any other value, such as true, 1.5 or an object.

    Raises:
        Rejection: 400 `malformed_payload`: not JSON, or not UTF-8.
    """
    try:
        return _scalar.decode(text)
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise invalid_json(NOT_JSON) from None


def _decode(decoder: msgspec.json.Decoder[_T], text: bytes) -> _T:
    try:
        return decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise invalid_json(NOT_JSON) from None


def _has_duplicate_key(text: bytes) -> bool:
    """Return whether the outermost object of valid JSON text has a duplicate key."""
    keys: list[str] = []

    def store(pairs: list[tuple[str, Any]]) -> None:
        keys[:] = [key for key, _ in pairs]  # inner objects end first: the last call is the outermost object

    json.loads(text, object_pairs_hook=store, parse_int=str, parse_float=str)
    return len(set(keys)) != len(keys)
