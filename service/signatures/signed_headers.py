"""The id and the timestamp that stand in headers beside a signature.

Both are judged as text first: what has the wrong form is refused before any arithmetic or hashing sees it.
"""

from collections.abc import Mapping

from service.errors import Refusal
from service.signatures.scheme import not_verified

ID_CHARACTERS_MAX = 256
TIMESTAMP_DIGITS_MAX = 12
"""Seconds since the epoch have ten digits until the year 2286."""


def read_id(headers: Mapping[str, str], header: str) -> str:
    """Give the event id in `header`: visible ASCII, bounded.

    Raises:
        Refusal: 401, it is missing or anything else.
    """
    text = headers.get(header, "")
    if text and len(text) <= ID_CHARACTERS_MAX and text.isascii() and text.isprintable():
        return text
    raise not_verified(f"Send the event's id in {header}: 1 to {ID_CHARACTERS_MAX} visible ASCII characters.")


def read_timestamp(headers: Mapping[str, str], header: str) -> str:
    """Give the timestamp in `header` as its digits, whole seconds since the epoch.

    Raises:
        Refusal: 401, it is missing, signed, fractional, too long, or not in ASCII digits.
    """
    text = headers.get(header, "")
    if text and len(text) <= TIMESTAMP_DIGITS_MAX and text.isascii() and text.isdigit():
        return text
    raise not_verified(f"Send the time in {header} as whole seconds since 1970, at most {TIMESTAMP_DIGITS_MAX} digits.")


def check_fresh(timestamp: str, received_at: float, tolerance_seconds: int) -> None:
    """See that a timestamp is neither too old nor too far ahead; a tolerance of 0 lets every one pass.

    Raises:
        Refusal: 401 `stale_timestamp`.
    """
    if tolerance_seconds and abs(received_at - int(timestamp)) > tolerance_seconds:
        detail = (
            f"The timestamp is more than {tolerance_seconds} seconds away from our clock; sign again, or set yours."
        )
        raise Refusal(401, "stale_timestamp", detail)
