"""What the platforms' own envelopes have in common: bytes to a thin struct, ids to text, or a refusal. Pure."""

from typing import TypeVar

import msgspec

from service.errors import Refusal

T = TypeVar("T")

ID_CHARACTERS_MAX = 255

Id = str | int | None
"""An id as senders write it."""


def decode_delivery(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Decode a body that has been verified.

    Raises:
        Refusal: 400 `unparsable`, 422 `not_an_event`.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise Refusal(422, "not_an_event", "the body has not the shape of this platform's events") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(400, "unparsable", "the body is no JSON") from error


def required_id(value: Id, what: str) -> str:
    """Give an id as text.

    Raises:
        Refusal: 422 `not_an_event`: missing, empty, too long, or with characters no id has.
    """
    text = "" if value is None else str(value)
    if not text or len(text) > ID_CHARACTERS_MAX or not text.isprintable():
        raise Refusal(422, "not_an_event", f"the event does not name its {what}")
    return text


def optional_id(value: Id) -> str | None:
    """Give an id as text, None where there is none that can serve."""
    text = "" if value is None else str(value)
    return text if 0 < len(text) <= ID_CHARACTERS_MAX else None
