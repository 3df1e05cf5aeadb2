"""Signed headers: event id and timestamp. Their format is checked before they are used."""

from collections.abc import Mapping

from service.errors import Rejection
from service.signatures.scheme import NotVerified

ID_CHARACTERS_MAX = 256
PARTS_MAX = 20
"""Maximum number of parts of a header that are read: one timestamp and the signatures."""
TIMESTAMP_DIGITS_MAX = 12
"""Seconds since the epoch have ten digits until the year 2286."""


def read_id(headers: Mapping[str, str], header: str) -> str:
    """Return the event id in `header`.

    Raises:
        NotVerified: The id is missing, too long, or has characters other than visible ASCII.
    """
    text = headers.get(header, "")
    if text and len(text) <= ID_CHARACTERS_MAX and text.isascii() and text.isprintable():
        return text
    raise NotVerified(
        f"Missing or malformed event id in {header}. Send 1 to {ID_CHARACTERS_MAX} visible ASCII characters."
    )


def read_timestamp(headers: Mapping[str, str], header: str, prefix: str = "") -> str:
    """Return the timestamp in `header` as digits: whole seconds since the epoch.

    With a `prefix`, the timestamp is the part of the header, split by commas, that starts with it.

    Raises:
        NotVerified: The timestamp is missing, negative, fractional or too long.
    """
    text = headers.get(header, "")
    if prefix:
        text = _only_part(text, prefix)
    if text and len(text) <= TIMESTAMP_DIGITS_MAX and text.isascii() and text.isdigit():
        return text
    raise NotVerified(
        f"Missing or malformed timestamp in {header}. "
        f"Send whole seconds since 1970, at most {TIMESTAMP_DIGITS_MAX} digits."
    )


def _only_part(text: str, prefix: str) -> str:
    """Return the text after `prefix`; empty if two parts start with it, because parsers would select different ones."""
    parts = [part.strip() for part in text.split(",", PARTS_MAX)]
    found = [part[len(prefix) :] for part in parts if part.startswith(prefix)]
    return found[0] if len(found) == 1 else ""


def check_fresh(timestamp: str, received_at: float, tolerance_seconds: int) -> None:
    """Check the difference between a timestamp and the time of receipt. A tolerance of 0 disables the check.

    Raises:
        Rejection: 401 `stale_timestamp`.
    """
    if tolerance_seconds and abs(received_at - int(timestamp)) > tolerance_seconds:
        detail = (
            f"The timestamp differs from the receiver's clock by more than {tolerance_seconds} seconds. "
            "Check the sender's clock and sign again."
        )
        raise Rejection(401, "stale_timestamp", detail)
