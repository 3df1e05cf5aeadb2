"""Dates and times in ISO 8601: only the separators of RFC 3339."""

import pytest
from msgspec import UNSET

from service.management.event_filter import parse_time_filter
from service.platforms.api.coercion import as_timestamp
from service.timestamps import parse_iso_time

ACCEPTED = ["2026-01-01", "2026-01-01T10:00:00Z", "2026-01-01t10:00:00.5+02:00", "2026-01-01 10:00", "20260101T100000Z"]
REJECTED = [
    "2026-01-01\n2026",
    "2026-01-01-2026",
    "2026-01-01_10:00",
    "2026-01-01T10:00\n",
    "2026-01-01\u00a010:00",
    "2026010110:00",
    "2026-01-01T",
    "",
]


@pytest.mark.parametrize("text", ACCEPTED)
def test_time_with_a_separator_of_rfc_3339_is_read(text: str) -> None:
    assert parse_iso_time(text).year == 2026
    assert as_timestamp(text) is not UNSET


@pytest.mark.parametrize("text", REJECTED)
def test_time_with_another_separator_is_rejected(text: str) -> None:
    assert as_timestamp(text) is UNSET
    with pytest.raises(ValueError, match=r"ISO 8601|not valid"):
        parse_time_filter(text)
