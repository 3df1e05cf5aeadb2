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
UNDECIDED_BYTES_MAX = 8 * 1024 * 1024
"""Bytes of the responses of all kept records of a worker. Beyond it the oldest are dropped."""
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
    """Records of the events of this worker that wait for a look-up, oldest first."""

    def __init__(self) -> None:
        self._events: OrderedDict[str, UndecidedEvent] = OrderedDict()
        self._bytes = 0

    def take(self, event_id: str) -> UndecidedEvent | None:
        """Remove and return the records of an event; None if they are not kept, or too old."""
        kept = self._events.pop(event_id, None)
        if kept is None:
            return None
        self._bytes -= kept.body_bytes
        return kept if time.monotonic() < kept.expires_at else None

    def put(self, event_id: str, fetched: FetchedRecord, lookups: RecordLookups) -> None:
        """Keep the records of an event, and drop the oldest ones beyond the limits."""
        found = {lane: each for lane, each in lookups.found.items() if each.record is not None}
        self.take(event_id)
        kept = UndecidedEvent(fetched, found, lookups.body_bytes, time.monotonic() + UNDECIDED_SECONDS_MAX)
        self._events[event_id] = kept
        self._bytes += kept.body_bytes
        while self._bytes > UNDECIDED_BYTES_MAX or len(self._events) > UNDECIDED_EVENTS_MAX:
            self.take(next(iter(self._events)))
