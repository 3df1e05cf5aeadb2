"""Look-ups of an attempt: the records that rules name beside the event's own, and the retries of failed ones.

A missing record is awaited like a stale read. Another failure is retried like a failed fetch of the event's record.
"""

from collections.abc import Mapping

from service.errors import Deferred, PermanentError
from service.events import Event, RecordRef
from service.lookups import CallError, RecordLookups
from service.platforms.base import FetchedRecord, Platform
from service.rules.lookups import LookedUpRecord
from service.settings import Settings
from workers.processing.attempt import Attempt
from workers.processing.fetching import fetch_lookup
from workers.processing.retries import stale_read_wait_seconds


def attempt_lookups(
    platforms: Mapping[str, Platform], settings: Settings, event: Event, attempt: Attempt
) -> RecordLookups:
    """Return the look-ups of an attempt, which share the results for all rules."""

    async def fetch(ref: RecordRef) -> FetchedRecord:
        return await fetch_lookup(platforms, event, ref, attempt.head.attempts)

    def schedule_retry(result: LookedUpRecord, error: CallError | None) -> None:
        if error is None:
            age_seconds = attempt.age_seconds
            # A negative age means that the store's clock was set back: the wait would not end.
            seconds = stale_read_wait_seconds(settings, age_seconds) if age_seconds >= 0 else 0.0
            if seconds:
                raise Deferred("lookup_missing", result.reason, seconds)
        elif not isinstance(error, PermanentError) and not attempt.is_exhausted(counts=not isinstance(error, Deferred)):
            raise error

    return RecordLookups(fetch, schedule_retry)
