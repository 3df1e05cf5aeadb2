"""Timestamps of signed deliveries: seconds, milliseconds or dates, and the check of their tolerance."""

import re
from datetime import UTC, datetime
from typing import Literal

from service.errors import Rejection
from service.signatures.scheme import NotVerified
from service.timestamps import parse_iso_time

TimestampFormat = Literal["seconds", "milliseconds", "date"]
"""Format of a timestamp. A `date` is ISO 8601 with a time zone, or an HTTP date (RFC 9110, 5.6.7)."""

SECONDS_DIGITS_MAX = 12
"""Seconds since the epoch have ten digits until the year 2286."""
MILLISECONDS_DIGITS_MAX = 15
DATE_CHARACTERS_MAX = 40

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_HTTP_DATE = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (\d\d) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT", re.ASCII
)
_EXPECTED = {
    "seconds": f"whole seconds since 1970, at most {SECONDS_DIGITS_MAX} digits",
    "milliseconds": f"whole milliseconds since 1970, at most {MILLISECONDS_DIGITS_MAX} digits",
    "date": "a date in ISO 8601 with a time zone, or an HTTP date",
}


def parse_timestamp(text: str, written: TimestampFormat, at: str) -> float:
    """Return the seconds since the epoch. `at` is the place of the timestamp, for error messages.

    Raises:
        NotVerified: The timestamp is missing, or not in the format.
    """
    if text and text.isascii():
        if written == "seconds":
            if text.isdigit() and len(text) <= SECONDS_DIGITS_MAX:
                return int(text)
        elif written == "milliseconds":
            if len(text) <= MILLISECONDS_DIGITS_MAX and text.isdigit():
                return int(text) / 1000
        elif len(text) <= DATE_CHARACTERS_MAX:
            seconds = _parse_date(text)
            if seconds is not None:
                return seconds
    raise NotVerified(f"Missing or malformed timestamp in {at}. Send {_EXPECTED[written]}.")


def write_timestamp(seconds: float, written: TimestampFormat) -> str:
    """Return a timestamp as a sender writes it."""
    if written == "date":
        return datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z")
    return str(int(seconds * 1000) if written == "milliseconds" else int(seconds))


def check_fresh(timestamp: float, received_at: float, tolerance_seconds: int) -> None:
    """Check the difference between a timestamp and the time of receipt. A tolerance of 0 disables the check.

    Raises:
        Rejection: 401 `stale_timestamp`.
    """
    if tolerance_seconds and abs(received_at - timestamp) > tolerance_seconds:
        detail = (
            f"The timestamp differs from the receiver's clock by more than {tolerance_seconds} seconds. "
            "Check the sender's clock and sign again."
        )
        raise Rejection(401, "stale_timestamp", detail)


def _parse_date(text: str) -> float | None:
    match = _HTTP_DATE.fullmatch(text)
    try:
        if match is None:
            moment = parse_iso_time(text)
            return moment.timestamp() if moment.tzinfo is not None else None
        day, month, year, *clock = match.groups()
        numbers = [int(part) for part in clock]
        return datetime(int(year), _MONTHS.index(month) + 1, int(day), *numbers, tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return None
