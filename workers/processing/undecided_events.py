"""Records of events that wait for a look-up, kept in the memory of a worker for the next attempt.

Otherwise an event with more look-ups than the limit of an account admits at once would start anew for ever.
"""

import time
from collections import OrderedDict
from collections.abc import Mapping

from msgspec import Struct

from service.lookups import RecordLookups
from service.platforms.base import FetchedRecord
from service.rules.lookups import LookedUpRecord

UNDECIDED_SECONDS_MAX = 600.0
"""Age of a kept record. An older one is fetched again."""
UNDECIDED_EVENTS_MAX = 10_000


class UndecidedEvent(Struct, frozen=True):
    """The records of an event that waits for a look-up: its own, and those that were found."""

    fetched: FetchedRecord
    found: Mapping[str, LookedUpRecord]
    lookup_bytes: int
    expires_at: float

    @property
    def body_bytes(self) -> int:
        """Bytes of all responses."""
        return self.fetched.body_bytes + self.lookup_bytes


class UndecidedEvents:
    """Records of the events of this worker that wait for a look-up, oldest first.

    `bytes_max` limits the responses of all kept records. The largest event must fit, else it is fetched anew for ever.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._events: OrderedDict[str, UndecidedEvent] = OrderedDict()
        self._bytes = 0

    def take(self, event_id: str) -> UndecidedEvent | None:
        """Remove and return the records of an event; None if they are not kept. Expired ones of all are dropped."""
        now = time.monotonic()
        while self._events and next(iter(self._events.values())).expires_at <= now:
            self._remove(next(iter(self._events)))
        return self._remove(event_id)

    def put(self, event_id: str, fetched: FetchedRecord, lookups: RecordLookups) -> None:
        """Keep the records of an event, unless they alone exceed the limit. Drop the oldest ones beyond the limits."""
        found = {lane: each for lane, each in lookups.found.items() if each.record is not None}
        self.take(event_id)
        kept = UndecidedEvent(fetched, found, lookups.body_bytes, time.monotonic() + UNDECIDED_SECONDS_MAX)
        if kept.body_bytes > self._bytes_max:
            return
        self._events[event_id] = kept
        self._bytes += kept.body_bytes
        while self._bytes > self._bytes_max or len(self._events) > UNDECIDED_EVENTS_MAX:
            self._remove(next(iter(self._events)))

    def _remove(self, event_id: str) -> UndecidedEvent | None:
        kept = self._events.pop(event_id, None)
        if kept is not None:
            self._bytes -= kept.body_bytes
        return kept
