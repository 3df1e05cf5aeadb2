"""Does a platform's answer lag behind the event that announced it, and how long is it waited for? Pure but for memory.

A created record that answers 404 lags, and so does a record whose version is older than the event's own moment. Either
is waited for up to a limit, which uses up no attempt; then it is decided on what there is, and called stale.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

from service.events import Event
from service.platforms.base import FetchedRecord
from service.settings import Settings
from workers.processing.retries import catch_up_seconds

FUTILE_WAITS_MAX = 3
"""So many waits in a row that ended with the same old version, and a source's moments are taken for something else."""

WHOLE_SECOND = timedelta(seconds=1)


def is_stale(event: Event, fetched: FetchedRecord) -> bool | None:
    """Whether the fetched state is provably older than the event; None where nobody can tell.

    A version in whole seconds may be up to a second younger than it says. `occurred_at` is the sender's word, and only
    comparable where it names its offset from UTC.
    """
    if fetched.record is None:
        return True if event.change == "created" else None
    occurred, version = _moment(event.occurred_at), _moment(fetched.version)
    if occurred is None or version is None:
        return None
    return version + (timedelta(0) if version.microsecond else WHOLE_SECOND) <= occurred


class StaleReadPolicy:
    """One worker's patience: how long to settle before a fetch, and to wait after one that came too early."""

    def __init__(self, settings: Settings, fetch_delay_seconds: Mapping[str, float]) -> None:
        self._settings = settings
        self._fetch_delay_seconds = fetch_delay_seconds
        self._fruitless: Counter[str] = Counter()

    def fetch_delay_seconds(self, event: Event) -> float:
        """How old an event has to be before its record is fetched."""
        return self._fetch_delay_seconds.get(event.record.platform, 0.0)

    def wait_seconds(self, event: Event, fetched: FetchedRecord, age_seconds: float) -> float:
        """How long to wait and fetch again; 0: decide.

        Where waiting has not helped of late (the sender tells when it sent, not when what changed), it is not done.
        """
        is_behind = is_stale(event, fetched)
        if is_behind is False:
            self._fruitless.pop(event.source, None)
        if not is_behind or age_seconds < 0:  # the store's clock was set back: no wait would come to its end
            return 0.0
        seconds = catch_up_seconds(self._settings, age_seconds)
        if fetched.record is None:
            return seconds
        if not seconds:
            self._fruitless[event.source] += 1
        return 0.0 if self._fruitless[event.source] >= FUTILE_WAITS_MAX else seconds


def _moment(text: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None
