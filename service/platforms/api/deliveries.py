"""Parsing of the platforms' own envelopes: bytes to a small struct, ids to text, or a rejection. Pure."""

from typing import TypeVar

import msgspec

from service.errors import Rejection

T = TypeVar("T")

ID_CHARACTERS_MAX = 255

RawId = str | int | None
"""An id as senders write it."""


def decode_delivery(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Decode a verified body.

    Returns:
        The decoded struct.

    Raises:
        Rejection: 400 `malformed_payload`, 422 `unrecognized_event`.
        _misshapen: The 422, for a body of a wrong shape.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _misshapen(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Rejection(400, "malformed_payload", "The body is no JSON.") from error


def required_id(value: RawId, place: str) -> str:
    """Return the id at `place`, a JSON pointer, as text.

    Raises:
        Rejection: 422 `unrecognized_event`: missing, empty, too long, or with forbidden characters.
    """
    text = optional_id(value)
    if text is None:
        detail = f"Name what the event is about at {place}, in 1 to {ID_CHARACTERS_MAX} printable characters."
        raise Rejection(422, "unrecognized_event", detail)
    return text


def optional_id(value: RawId) -> str | None:
    """Return an id as text, None if there is no valid one."""
    text = "" if value is None else str(value)
    return text if 0 < len(text) <= ID_CHARACTERS_MAX and text.isprintable() else None


def _misshapen(error: msgspec.ValidationError) -> Rejection:
    """Return the rejection of a body of a wrong shape. msgspec names types and fields, never a value."""
    reason, _, path = str(error).partition(" - at `$")
    place = path.removesuffix("`").replace(".", "/") or "the whole"
    return Rejection(
        422, "unrecognized_event", f"The body has not the shape of this platform's events, at {place}: {reason}."
    )
