"""Stale reads: detection of a fetched state that is older than its event, and the wait for a newer state.

A read is stale if a created record answers 404, or if the version of the record is older than the time of the event.
The event waits up to a maximum without using an attempt. Then the decision uses the fetched state and is marked stale.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

from service.events import Event
from service.platforms.base import FetchedRecord
from service.settings import Settings
from workers.processing.retries import stale_read_wait_seconds

FUTILE_WAITS_MAX = 3
"""Consecutive waits without a newer version, after which the event times of a source are ignored."""

WHOLE_SECOND = timedelta(seconds=1)


def is_stale(event: Event, fetched: FetchedRecord) -> bool | None:
    """Return whether the fetched state is certainly older than the event, or None if the times do not decide it.

    A version in whole seconds may be up to one second newer than its text. `occurred_at` comes from the sender and is
    comparable only with an offset from UTC.
    """
    if fetched.record is None:
        return True if event.change == "created" else None
    occurred, version = _parse_time(event.occurred_at), _parse_time(fetched.version)
    if occurred is None or version is None:
        return None
    return version + (timedelta(0) if version.microsecond else WHOLE_SECOND) <= occurred


class StaleReadPolicy:
    """Delay before the first fetch of an event, and wait after a stale read. Per worker."""

    def __init__(self, settings: Settings, fetch_delay_seconds: Mapping[str, float]) -> None:
        self._settings = settings
        self._fetch_delay_seconds = fetch_delay_seconds
        self._futile_waits: Counter[str] = Counter()

    def fetch_delay_seconds(self, event: Event) -> float:
        """Return the minimum age in seconds of an event before its record is fetched."""
        return self._fetch_delay_seconds.get(event.record.platform, 0.0)

    def wait_seconds(self, event: Event, fetched: FetchedRecord, age_seconds: float) -> float:
        """Return the seconds until the next fetch, or 0 to decide now.

        After `FUTILE_WAITS_MAX` waits in vain the source does not wait: its times are times of sending, not of changes.
        """
        stale = is_stale(event, fetched)
        if stale is False:
            self._futile_waits.pop(event.source, None)
        if not stale or age_seconds < 0:  # a negative age: the store's clock was set back, and the wait would not end
            return 0.0
        seconds = stale_read_wait_seconds(self._settings, age_seconds)
        if fetched.record is None:
            return seconds
        if not seconds:
            self._futile_waits[event.source] += 1
        return 0.0 if self._futile_waits[event.source] >= FUTILE_WAITS_MAX else seconds


def _parse_time(text: str | None) -> datetime | None:
    try:
        time = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return time if time is not None and time.tzinfo is not None else None
