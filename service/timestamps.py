"""Parsing of dates and times in ISO 8601. Pure."""

import re
from datetime import datetime

_TEXT = re.compile(r"[0-9W-]{7,10}(?:[Tt ][0-9].*)?", re.ASCII)
"""`datetime.fromisoformat` accepts every character between date and time. RFC 3339 allows `T` and a space."""


def parse_iso_time(text: str) -> datetime:
    """Parse a date, or a date and a time, with or without an offset.

    Raises:
        ValueError: The text is neither.
    """
    if _TEXT.fullmatch(text) is None:
        raise ValueError("not a date and time in ISO 8601")
    return datetime.fromisoformat(text)
