"""The id and the timestamp that stand in headers beside a signature.

Both are judged as text first: what has the wrong form is refused before any arithmetic or hashing sees it.
"""

from collections.abc import Mapping

from service.errors import Rejection
from service.signatures.scheme import not_verified

ID_CHARACTERS_MAX = 256
PARTS_MAX = 20
"""Into how many parts a header is split: the timestamp, and as many signatures as are looked at."""
TIMESTAMP_DIGITS_MAX = 12
"""Seconds since the epoch have ten digits until the year 2286."""


def read_id(headers: Mapping[str, str], header: str) -> str:
    """Give the event id in `header`: visible ASCII, bounded.

    Raises:
        Rejection: 401, it is missing or anything else.
    """
    text = headers.get(header, "")
    if text and len(text) <= ID_CHARACTERS_MAX and text.isascii() and text.isprintable():
        return text
    raise not_verified(f"Send the event's id in {header}: 1 to {ID_CHARACTERS_MAX} visible ASCII characters.")


def read_timestamp(headers: Mapping[str, str], header: str, prefix: str = "") -> str:
    """Give the timestamp in `header` as its digits, whole seconds since the epoch.

    With a `prefix` it is the one part of the header, split by commas, that begins with it.

    Raises:
        Rejection: 401, it is missing, signed, fractional, too long, or not in ASCII digits.
    """
    text = headers.get(header, "")
    if prefix:
        text = _only_part(text, prefix)
    if text and len(text) <= TIMESTAMP_DIGITS_MAX and text.isascii() and text.isdigit():
        return text
    raise not_verified(f"Send the time in {header} as whole seconds since 1970, at most {TIMESTAMP_DIGITS_MAX} digits.")


def _only_part(text: str, prefix: str) -> str:
    """Give what follows `prefix`; nothing if two parts begin with it, since parsers would disagree on which counts."""
    parts = [part.strip() for part in text.split(",", PARTS_MAX)]
    found = [part[len(prefix) :] for part in parts if part.startswith(prefix)]
    return found[0] if len(found) == 1 else ""


def check_fresh(timestamp: str, received_at: float, tolerance_seconds: int) -> None:
    """See that a timestamp is neither too old nor too far ahead; a tolerance of 0 lets every one pass.

    Raises:
        Rejection: 401 `stale_timestamp`.
    """
    if tolerance_seconds and abs(received_at - int(timestamp)) > tolerance_seconds:
        detail = (
            f"The timestamp is more than {tolerance_seconds} seconds away from our clock; sign again, or set yours."
        )
        raise Rejection(401, "stale_timestamp", detail)
