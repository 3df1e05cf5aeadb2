"""Interface of a store that ingests events."""

from collections.abc import Awaitable, Collection, Sequence
from typing import Protocol

from service.store import IngestRequest, IngestResult, QuarantinedDelivery, QueueStats


class EventStore(Protocol):
    """Store that ingests events, open or not."""

    def ingest_all(self, requests: Sequence[IngestRequest], /) -> Awaitable[list[IngestResult]]:
        """Store the events of one delivery, all or none."""
        ...

    def check(self) -> Awaitable[Collection[str] | None]:
        """Raise if no event can be stored durably now. Return the shards that accept none."""
        ...

    def quarantine_deliveries(self, deliveries: Sequence[QuarantinedDelivery], /) -> Awaitable[int]:
        """Put rejected deliveries of one source into quarantine; return how many older ones were removed."""
        ...

    def record_untrusted_proxy(self, peer: str, /) -> Awaitable[None]:
        """Store the address of a proxy that WAYBILL_TRUSTED_PROXIES does not name."""
        ...

    def samples(self) -> Awaitable[Sequence[QueueStats | None]]:
        """Return the queue statistics of each shard, None for a shard whose store did not answer."""
        ...

    def open_circuits(self) -> Awaitable[dict[str, float]]:
        """Return the seconds until the next probe of each circuit with recent failures; 0: closed."""
        ...
