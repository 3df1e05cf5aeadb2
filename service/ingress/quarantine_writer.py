"""Writes rejected deliveries to quarantine in the background, after the response was sent. Bounded per source.

`enqueue` never waits. A background task writes small batches, round-robin over the sources. Limits on rate, number
and bytes per source keep a flood of one source from displacing other sources or delaying events. Verified deliveries
of a source have limits of their own, so that requests without a valid signature do not displace them.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence

from msgspec import structs

from service.errors import Rejection, StoreUnavailable, WaybillError
from service.events import Delivery, new_event_id
from service.ingestion.event_store import EventStore
from service.ingestion.sources import QuarantinedItem
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
"""Rejections that an operator can correct. The others are temporary, or not for a configured source."""

DROPPED_HEADERS = frozenset({
    "accept", "accept-encoding", "accept-language", "connection", "content-encoding", "content-length", "cookie",
    "expect", "forwarded", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "via",
})  # fmt: skip
"""Headers of the transport, never needed to verify or parse."""

BURST_SECONDS = 60
QUEUE_MAX = 32
WAITING_BYTES_MAX = 2_097_152
"""Maximum body bytes of one source that wait to be written."""

BATCH_MAX = 8
WRITE_TIMEOUT_SECONDS = 5.0
CLOSE_SECONDS_MAX = 2.0


Share = tuple[str, bool]
"""Name of a source, and true for its verified deliveries."""


class QuarantineWriter:
    """Background writer of rejected deliveries: `enqueue` each, `close` at the end."""

    def __init__(self, settings: Settings, store: EventStore) -> None:
        self._enabled = settings.quarantine_deliveries_max > 0 and settings.quarantine_bytes_max > 0
        self._bytes_max = settings.quarantine_bytes_max
        self._store = store
        self._retry_after_seconds = settings.retry_after_seconds
        self._rates = TokenBuckets(settings.quarantine_per_minute_max / 60, BURST_SECONDS)
        self._waiting: dict[Share, deque[QuarantinedDelivery]] = {}
        self._waiting_bytes: dict[Share, int] = {}
        self._writer: asyncio.Task[None] | None = None
        self._log = get_logger().bind()

    def enqueue(self, delivery: Delivery, rejection: Rejection, *, whole: bool, verified: bool) -> bool:
        """Queue a rejected delivery for quarantine; return false if it is not to be stored."""
        share, size = (delivery.source, verified), len(delivery.body)
        waiting_bytes = self._waiting_bytes.get(share, 0)
        queue = self._waiting.setdefault(share, deque())
        if not self._enabled or rejection.code not in QUARANTINED_CODES or size > self._bytes_max:
            return False
        # A body above the limit is accepted if no other waits, or it could never be stored.
        if len(queue) >= QUEUE_MAX or waiting_bytes + size > max(WAITING_BYTES_MAX, size):
            return False
        # Last, so that a delivery rejected above takes no token.
        if self._rates.acquire(f"{delivery.source} {verified}", time.monotonic()):
            return False
        queue.append(_quarantined(delivery, rejection, whole=whole, verified=verified))
        self._waiting_bytes[share] = waiting_bytes + size
        if self._writer is None or self._writer.done():
            self._writer = asyncio.get_running_loop().create_task(self._write_all())
        return True

    async def write_items(self, delivery: Delivery, items: Sequence[QuarantinedItem]) -> None:
        """Store the rejected items of a batch before its response, because the sender will not send them again.

        Raises:
            Rejection: that of the first item, if the quarantine does not store them.
            StoreUnavailable, StoreFull: the items may not be stored. The call may be repeated.
        """
        if not self._enabled or sum(len(each.item.body) for each in items) > self._bytes_max:
            raise items[0].item.rejection
        kept = [_quarantined_item(delivery, each) for each in items]
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_SECONDS):
                for begin in range(0, len(kept), BATCH_MAX):
                    removed = await self._store.quarantine_deliveries(kept[begin : begin + BATCH_MAX])
                    self._count(delivery.source, len(kept[begin : begin + BATCH_MAX]), removed)
        except TimeoutError as error:
            reason = f"the store did not answer within {WRITE_TIMEOUT_SECONDS:g} s"
            raise StoreUnavailable(reason, self._retry_after_seconds) from error

    def _count(self, source: str, kept: int, removed: int) -> None:
        QUARANTINED.inc((source, "kept"), kept)
        QUARANTINED.inc((source, "dropped"), removed)
        if removed:
            self._log.warning("quarantine.full", source_name=source, deliveries_dropped=removed)

    async def close(self) -> None:
        """Write the queued deliveries, for at most `CLOSE_SECONDS_MAX`."""
        if self._writer is not None:
            await asyncio.wait([self._writer], timeout=CLOSE_SECONDS_MAX)
            self._writer.cancel()

    async def _write_all(self) -> None:
        while batch := self._next_batch():
            try:
                async with asyncio.timeout(WRITE_TIMEOUT_SECONDS):
                    removed = await self._store.quarantine_deliveries(batch)
            except (WaybillError, TimeoutError) as error:
                # Dropped without a retry: events have priority while the store fails.
                kind = error.kind if isinstance(error, WaybillError) else "store_unavailable"
                QUARANTINED.inc((batch[0].source, "failed"), len(batch))
                self._log.warning("quarantine.failed", error_kind=kind, deliveries=len(batch))
            else:
                self._count(batch[0].source, len(batch), removed)

    def _next_batch(self) -> list[QuarantinedDelivery]:
        """Return the next batch of one share, and move the share to the end of the order."""
        for share in list(self._waiting):
            queue = self._waiting.pop(share)
            if queue:
                batch = [queue.popleft() for _ in range(min(BATCH_MAX, len(queue)))]
                self._waiting[share] = queue
                self._waiting_bytes[share] -= sum(len(each.body) for each in batch)
                return batch
        return []


def _quarantined_item(delivery: Delivery, quarantined: QuarantinedItem) -> QuarantinedDelivery:
    item = quarantined.item
    whole = structs.replace(delivery, body=item.body)
    stored = _quarantined(whole, item.rejection, whole=True, verified=True)
    return structs.replace(stored, item=item.index, dedupe_key=quarantined.dedupe_key)


def _quarantined(delivery: Delivery, rejection: Rejection, *, whole: bool, verified: bool) -> QuarantinedDelivery:
    headers = {name: value for name, value in delivery.headers.items() if name not in DROPPED_HEADERS}
    return QuarantinedDelivery(
        QUARANTINED_VERSION,
        new_event_id(),
        delivery.source,
        rejection.code,
        rejection.status,
        delivery.received_at,
        headers,
        delivery.body,
        delivery.path_token,
        whole,
        delivery.query,
        verified,
    )
