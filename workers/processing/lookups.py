"""Look-ups of an attempt: the records that rules name beside the event's own, and the retries of failed ones.

A missing record is awaited like a stale read. Another failure is retried like a failed fetch of the event's record.
"""

from collections.abc import Sequence

from service.errors import Deferred, PermanentError, TransientError
from service.events import Event, RecordRef
from service.lookups import CallError, RecordLookups
from service.platforms.base import FetchedRecord
from service.rules.lookups import NO_RECORDS, LookedUpRecord, LookupRequest
from workers.processing.attempt import Attempt
from workers.processing.dependencies import WorkerDependencies
from workers.processing.fetching import fetch_lookup
from workers.processing.retries import stale_read_wait_seconds
from workers.processing.undecided_events import UndecidedEvent


class AttemptLookups:
    """The look-ups of one attempt, which share their results for all rules. `kept` are those of earlier attempts."""

    def __init__(
        self, dependencies: WorkerDependencies, event: Event, attempt: Attempt, kept: UndecidedEvent | None = None
    ) -> None:
        self._dependencies = dependencies
        self._event = event
        self._attempt = attempt
        found, body_bytes = (kept.found, kept.lookup_bytes) if kept else (NO_RECORDS, 0)
        self._records = RecordLookups(found, body_bytes)

    @property
    def found(self) -> dict[str, LookedUpRecord]:
        """The results by lane."""
        return self._records.found

    @property
    def body_bytes(self) -> int:
        """Bytes of the responses with the looked-up records."""
        return self._records.body_bytes

    async def run(self, requests: Sequence[LookupRequest], fetched: FetchedRecord) -> None:
        """Look up records. If the attempt has to wait, they are kept with `fetched`, the record of the event.

        Raises:
            TransientError, Deferred: a look-up that is retried failed.
        """
        try:
            await self._records.run(requests, self._fetch, self._schedule_retry)
        except (TransientError, Deferred):
            self._dependencies.undecided.put(self._event.id, fetched, self._records)
            raise

    async def _fetch(self, ref: RecordRef) -> FetchedRecord:
        return await fetch_lookup(self._dependencies.platforms, self._event, ref, self._attempt.head.attempts)

    def _schedule_retry(self, result: LookedUpRecord, error: CallError | None) -> None:
        if error is None:
            age_seconds = self._attempt.age_seconds
            # A negative age means that the store's clock was set back: the wait would not end.
            waits = age_seconds >= 0
            seconds = stale_read_wait_seconds(self._dependencies.settings, age_seconds) if waits else 0.0
            if seconds:
                raise Deferred("lookup_missing", result.reason, seconds)
            return
        is_deferred = isinstance(error, Deferred)
        if not isinstance(error, PermanentError) and not self._attempt.is_exhausted(counts=not is_deferred):
            raise error
