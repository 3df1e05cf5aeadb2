"""What becomes of a refused delivery behind the answer's back: into quarantine, if its source has room for it.

Handing one over is a step in memory that never waits; a task of its own writes them, a few at a time, turn by turn
through the sources. What one source may hand over is bounded in rate, in number and in bytes, so that a flood at its
address costs neither the others' place nor the events' time at the store.
"""

import asyncio
import time
from collections import deque

from service.errors import Rejection, WaybillError
from service.events import Delivery, new_event_id
from service.ingestion.event_store import EventStore
from service.ingress.limits.token_bucket import TokenBuckets
from service.log import get_logger
from service.metrics.families import QUARANTINED
from service.settings import Settings
from service.store import QuarantinedDelivery
from service.store.management.quarantine import QUARANTINED_VERSION

QUARANTINED_CODES = frozenset({
    "not_verified", "stale_timestamp", "malformed_payload", "unsupported_media_type", "payload_too_large",
    "unrecognized_event", "request_timeout",
    "internal",
})  # fmt: skip
"""What a person can mend: the other refusals are over by themselves, or are no delivery to a source."""

DROPPED_HEADERS = frozenset({
    "accept", "accept-encoding", "accept-language", "connection", "content-encoding", "content-length", "cookie",
    "expect", "forwarded", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "via",
})  # fmt: skip
"""Never needed to verify or read: they are of the way, not of what was sent."""

BURST_SECONDS = 60
QUEUE_MAX = 32
WAITING_BYTES_MAX = 2_097_152
"""What one source may have waiting to be written."""

BATCH_MAX = 8
WRITE_TIMEOUT_SECONDS = 5.0
CLOSE_SECONDS_MAX = 2.0


class QuarantineWriter:
    """Takes refused deliveries by `enqueue` and writes them to the store; `close` at the end."""

    def __init__(self, settings: Settings, store: EventStore) -> None:
        self._on = settings.quarantine_deliveries_max > 0 and settings.quarantine_bytes_max > 0
        self._bytes_max = settings.quarantine_bytes_max
        self._store = store
        self._rates = TokenBuckets(settings.quarantine_per_minute_max / 60, BURST_SECONDS)
        self._waiting: dict[str, deque[QuarantinedDelivery]] = {}
        self._waiting_bytes: dict[str, int] = {}
        self._writer: asyncio.Task[None] | None = None
        self._log = get_logger().bind()

    def enqueue(self, delivery: Delivery, refusal: Rejection, *, whole: bool) -> bool:
        """Take it if it may be kept, and say so; writes nothing yet."""
        source, size = delivery.source, len(delivery.body)
        held = self._waiting_bytes.get(source, 0)
        queue = self._waiting.setdefault(source, deque())
        if not self._on or refusal.code not in QUARANTINED_CODES or size > self._bytes_max:
            return False
        # A body above the bound is let in where nothing else waits, or its like would never be kept.
        if len(queue) >= QUEUE_MAX or held + size > max(WAITING_BYTES_MAX, size):
            return False
        # Last, since it takes a token: what is not kept anyway costs none.
        if self._rates.acquire(source, time.monotonic()):
            return False
        queue.append(_quarantined(delivery, refusal, whole=whole))
        self._waiting_bytes[source] = held + size
        if self._writer is None or self._writer.done():
            self._writer = asyncio.get_running_loop().create_task(self._write_all())
        return True

    async def close(self) -> None:
        """Let what waits be written, for a moment."""
        if self._writer is not None:
            await asyncio.wait([self._writer], timeout=CLOSE_SECONDS_MAX)
            self._writer.cancel()

    async def _write_all(self) -> None:
        while batch := self._next():
            try:
                async with asyncio.timeout(WRITE_TIMEOUT_SECONDS):
                    gone = await self._store.quarantine_deliveries(batch)
            except (WaybillError, TimeoutError) as error:
                # Dropped, not tried again: the store is in trouble, and events come first.
                kind = error.kind if isinstance(error, WaybillError) else "store_unavailable"
                QUARANTINED.inc((batch[0].source, "failed"), len(batch))
                self._log.warning("quarantine.failed", error_kind=kind, deliveries=len(batch))
            else:
                QUARANTINED.inc((batch[0].source, "kept"), len(batch))
                QUARANTINED.inc((batch[0].source, "dropped"), gone)
                if gone:
                    self._log.warning("quarantine.full", source_name=batch[0].source, deliveries_dropped=gone)

    def _next(self) -> list[QuarantinedDelivery]:
        """Give the next few of one source; the source goes to the end of the turn."""
        for source in list(self._waiting):
            queue = self._waiting.pop(source)
            if queue:
                batch = [queue.popleft() for _ in range(min(BATCH_MAX, len(queue)))]
                self._waiting[source] = queue
                self._waiting_bytes[source] -= sum(len(each.body) for each in batch)
                return batch
        return []


def _quarantined(delivery: Delivery, refusal: Rejection, *, whole: bool) -> QuarantinedDelivery:
    headers = {name: value for name, value in delivery.headers.items() if name not in DROPPED_HEADERS}
    return QuarantinedDelivery(
        QUARANTINED_VERSION,
        new_event_id(),
        delivery.source,
        refusal.code,
        refusal.status,
        delivery.received_at,
        headers,
        delivery.body,
        delivery.path_token,
        whole,
    )
