"""Taking events in: the one call behind every 202."""

from collections.abc import Sequence
from typing import Literal, cast

from msgspec import Struct

from service.errors import StoreFull
from service.events import Event
from service.settings import Settings
from service.store.connection.batching import Batcher
from service.store.connection.client import Argument, Client
from service.store.queue.arq_jobs import encode_job
from service.store.queue.serialization import encode_event
from service.store.scripts import INGEST


class IngestRequest(Struct, frozen=True):
    """An event with its key's digest and how long that claims: `window_ms` outlives the sender's retries."""

    event: Event
    claim: str
    window_ms: int


class IngestResult(Struct, frozen=True):
    """What became of an arrival: taken in, or known already under the first one's id."""

    status: Literal["queued", "duplicate"]
    event_id: str


LANE_FUNCTION, EFFECTS_FUNCTION = "process_lane", "finish_effects"


class Ingest:
    """Batches arrivals into the ingest script."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._backlog_events_max = settings.backlog_events_max
        self._seconds_max = settings.ingest_timeout_seconds
        self._retry_after_seconds = settings.retry_after_seconds
        self._batcher = Batcher(self._send, settings.store_batch_max, settings.store_batches_in_flight_max)

    async def submit(self, arrivals: Sequence[IngestRequest]) -> list[IngestResult]:
        """Take in the arrivals of one delivery, all or none; give their receipts in order.

        Raises:
            StoreUnavailable: not known to be safe; the sender must send again, which is harmless.
            StoreFull: the backlog or the memory is at its limit; what is known already is still answered.
        """
        receipts = await self._batcher.submit(arrivals)
        if any(receipt is None for receipt in receipts):
            raise StoreFull(f"{self._backlog_events_max} events are waiting", self._retry_after_seconds)
        return cast("list[IngestResult]", receipts)

    async def _send(self, batch: Sequence[Sequence[IngestRequest]]) -> list[list[IngestResult | None]]:
        arguments: list[Argument] = [self._backlog_events_max]
        for arrivals in batch:
            arguments.append(len(arrivals))
            for arrival in arrivals:
                arguments += ingest_arguments(arrival)
        holders: list[bytes] = await self._client.call(INGEST, arguments, seconds_max=self._seconds_max)
        remaining = iter(holders)
        return [[_receipt(arrival, next(remaining)) for arrival in arrivals] for arrivals in batch]


def ingest_arguments(arrival: IngestRequest) -> tuple[Argument, ...]:
    """Write an arrival as the scripts take it: id, claim, window_ms, lane, delivery, job payload.

    The payload has no arguments: what such a job is for stands in its id, and each byte is there once a record.
    """
    event = arrival.event
    lane = event.record.lane
    return (
        event.id,
        f"{event.source}:{arrival.claim}",
        arrival.window_ms,
        lane,
        encode_event(event),
        encode_job(LANE_FUNCTION, ()),
    )


def _receipt(arrival: IngestRequest, holder: bytes) -> IngestResult | None:
    text = holder.decode()
    if not text:
        return None  # the backlog was full
    return IngestResult("queued" if text == arrival.event.id else "duplicate", text)
