"""Strict reading of JSON from strangers: bounded depth, no object with one key twice, only where somebody looks.

msgspec is strict about the grammar but takes the last of two equal keys, and nests as deep as Python recurses. Two
parsers that pick different ones of two keys are how a verified body comes to mean something else further on.
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


def invalid_json(detail: str) -> Rejection:
    """Make the refusal of a body that is no JSON we would read."""
    return Rejection(400, "malformed_payload", detail)


def check_body(body: bytes, depth_max: int) -> None:
    """See that a body is UTF-8 and nests no deeper than `depth_max`, before a recursive decoder meets it.

    msgspec does not look at the encoding of what it skips. The grammar is left to whoever decodes.

    Raises:
        Rejection: 400 `malformed_payload`.
    """
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError:
            raise invalid_json(NOT_JSON) from None
    # Nearly every body has too few brackets to nest that deep, wherever they stand.
    if body.count(b"{") + body.count(b"[") > depth_max and _deeper(body, depth_max):
        raise invalid_json(f"Nest the body at most {depth_max} levels deep.")


def _deeper(body: bytes, depth_max: int) -> bool:
    # Every second piece between quotes is text inside a string. Neither a backslash outside a string nor a bracket too
    # many is JSON, and the decoder stops there, so nothing behind it needs to be counted right.
    unescaped = body.replace(rb"\\", b"").replace(rb"\"", b"") if b"\\" in body else body
    steps = b"".join(unescaped.split(b'"')[::2]).translate(_STEPS, _NO_STEPS)
    return max(accumulate(array("b", steps)), default=0) > depth_max


def read_members(text: bytes) -> Members:
    """Read one object as its members, each still as its JSON text.

    Raises:
        Rejection: 400 `malformed_payload`: not an object, not JSON, not UTF-8, or a key stands twice.
    """
    members = _decode(_members, text)
    # Quotes of this object's own level are two per key. A key that stands twice is one member with four of them,
    # however it is spelled; only a quote inside a key looks the same, and is told apart by the slow way.
    quotes = text.count(b'"')
    for value in members.values():
        quotes -= bytes(value).count(b'"')
    if quotes != 2 * len(members) and _repeats(text):
        raise invalid_json("Send each key of an object once.")
    return members


def read_children(text: bytes) -> Members:
    """Read an object's members, or an array's items under their positions as text; anything else has no children.

    Raises:
        Rejection: 400 `malformed_payload`, as read_members.
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
    """Read an array as its items, each still as its JSON text; None for anything else. Raises as read_members does."""
    if text.lstrip(b" \t\r\n")[:1] != b"[":
        _decode(_any, text)
        return None
    return [bytes(item) for item in _decode(_items, text)]


def read_scalar(text: bytes) -> str | int | None:
    """Read text or a whole number; None for any other value, as true, 1.5 or an object. Raises as read_members does."""
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


def _repeats(text: bytes) -> bool:
    """Tell whether the outermost object of valid JSON text has a key twice."""
    outermost: list[str] = []

    def keep(pairs: list[tuple[str, Any]]) -> None:
        outermost[:] = [key for key, _ in pairs]  # objects end inside out: the last call is the outermost

    json.loads(text, object_pairs_hook=keep, parse_int=str, parse_float=str)
    return len(set(outermost)) != len(outermost)
