"""Stale reads: detection of a fetched state that is older than it should be, and the wait for a newer state.

A read is stale in three cases. The event waits for up to WAYBILL_STALE_READ_WAIT_SECONDS without using an attempt:

    missing            404, but the event is no deletion; afterwards the record counts as deleted, unless the account
                       answers 404 for all records
    before_last_state  older than the last decided state; afterwards the event ends as `stale`, without a decision
    before_event       older than the time of the event; afterwards the decision uses the state and is marked stale

Some senders stamp events with a time that no record reaches, such as the time of sending. After several waits in vain,
events of such a source wait only until a second fetch returns the same version.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal

import structlog
from msgspec import Struct

from service.errors import PermanentError
from service.events import Event
from service.platforms.api.decoding import digest_of
from service.platforms.base import FetchedRecord
from service.settings import Settings
from service.store import LastState
from service.store.queue.futile_waits import FutileWaits
from service.timestamps import parse_iso_time
from workers.processing.missing_records import MissingRecords
from workers.processing.retries import stale_read_wait_seconds

FUTILE_WAITS_AHEAD = 3
"""Waits in vain after which the event times of a source count as ahead of those of its records."""

CLOCK_TOLERANCE = timedelta(seconds=2)
"""Largest difference between the time of an event and that of its record without a stale read: clocks differ, senders
write the event after the record, and some times have whole seconds only."""

GONE_DIGEST = digest_of({})

StaleKind = Literal["missing", "before_last_state", "before_event"]


class StaleRead(Struct, frozen=True):
    """A stale read. `wait_seconds` is the time until the next fetch, 0 if the event does not wait any longer."""

    kind: StaleKind
    version: str
    wait_seconds: float

    def error(self, last: LastState) -> PermanentError:
        """Return the reason for the end of an event without a decision."""
        reason = f"the platform returned version {self.version}, older than the last decided version {last.version}"
        return PermanentError("stale_read", reason)


class StaleReadPolicy:
    """Delay before the first fetch of an event, and wait after a stale read."""

    def __init__(self, settings: Settings, fetch_delay_seconds: Mapping[str, float], futile_waits: FutileWaits) -> None:
        self._settings = settings
        self._fetch_delay_seconds = fetch_delay_seconds
        self._futile_waits = futile_waits
        self._missing_records = MissingRecords()

    def fetch_delay_seconds(self, event: Event) -> float:
        """Return the minimum age in seconds of an event before its record is fetched."""
        return self._fetch_delay_seconds.get(event.record.platform, 0.0)

    async def check(
        self, event: Event, fetched: FetchedRecord, last: LastState, stale_version: str, age_seconds: float
    ) -> StaleRead | None:
        """Return the stale read, or None if the state can be decided on.

        `stale_version` is the version of the event's previous stale read, empty for none.

        Raises:
            Deferred: the account answers 404 for all records.
            StoreUnavailable: the store does not answer.
        """
        kind, version = classify_stale_read(event, fetched, last), fetched.version or ""
        if fetched.record is not None:
            self._missing_records.confirm(event.record.platform)
        elif kind == "missing":
            self._missing_records.add(event.record)
        if kind is None:
            if stale_version and is_within_tolerance(event, fetched):
                await self._futile_waits.subtract(event.source)
            return None
        if age_seconds < 0:  # the store's clock was set back, and the wait would not end
            return StaleRead(kind, version, 0.0)
        seconds = stale_read_wait_seconds(self._settings, age_seconds)
        if kind == "missing" and not seconds:
            self._missing_records.check(event.record, age_seconds, self._settings.backoff_seconds_max)
        if kind == "before_event" and version == stale_version:
            seconds = await self._wait_again(event.source, seconds)
        return StaleRead(kind, version, seconds)

    async def _wait_again(self, source: str, seconds: float) -> float:
        """Return the wait after a second fetch of the same version, and count a wait in vain."""
        if seconds:
            return 0.0 if await self._futile_waits.count(source) >= FUTILE_WAITS_AHEAD else seconds
        if await self._futile_waits.add(source) == FUTILE_WAITS_AHEAD:
            structlog.get_logger().warning("source.times_ahead", source_name=source)
        return 0.0


def classify_stale_read(event: Event, fetched: FetchedRecord, last: LastState) -> StaleKind | None:
    """Return the kind of a stale read, or None if the state is new enough, or if the times do not tell."""
    if fetched.record is None:
        # A record that is gone already stays gone, unless it was created again.
        is_known_gone = bool(last.digest) and GONE_DIGEST.startswith(last.digest)
        is_expected = event.change == "deleted" or (is_known_gone and event.change != "created")
        return None if is_expected else "missing"
    # Versions have a fixed width in UTC, so that the order of texts is the order of times.
    if fetched.version and last.version and fetched.version < last.version:
        return "before_last_state"
    occurred, version = _parse_time(event.occurred_at), _parse_time(fetched.version)
    if occurred is None or version is None:
        return None
    return "before_event" if version + CLOCK_TOLERANCE < occurred else None


def is_within_tolerance(event: Event, fetched: FetchedRecord) -> bool:
    """Return whether the state has the time of the event: the change of the event and no later one."""
    occurred, version = _parse_time(event.occurred_at), _parse_time(fetched.version)
    return occurred is not None and version is not None and abs(version - occurred) <= CLOCK_TOLERANCE


def _parse_time(text: str | None) -> datetime | None:
    """Return a time with an offset from UTC. Without one it is not comparable."""
    try:
        time = parse_iso_time(text) if text else None
    except ValueError:
        return None
    return time if time is not None and time.tzinfo is not None else None
