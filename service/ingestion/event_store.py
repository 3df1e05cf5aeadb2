"""Interface of a store that ingests events."""

from collections.abc import Awaitable, Sequence
from typing import Protocol

from service.store import Arrival, QueueSample, Receipt, Refused


class EventStore(Protocol):
    """Store that ingests events, open or not."""

    def ingest_all(self, arrivals: Sequence[Arrival], /) -> Awaitable[list[Receipt]]:
        """Store the events of one delivery, all or none."""
        ...

    def check(self) -> Awaitable[None]:
        """Return if an event can be stored durably now, raise if not."""
        ...

    def keep_refused(self, refused: Sequence[Refused], /) -> Awaitable[int]:
        """Put rejected deliveries of one source into quarantine; return how many older ones were removed."""
        ...

    def sample(self) -> Awaitable[QueueSample]:
        """Count the pending events."""
        ...
