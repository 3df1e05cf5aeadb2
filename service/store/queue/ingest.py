"""Ingest: stores events and appends them to their lanes in one atomic call."""

import re
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
    """Event to ingest, with its dedupe key and dedupe window, which must exceed the time of the sender's retries.

    `content` is a digest of its content, to compare duplicates; empty for events that are not compared.
    """

    event: Event
    dedupe_key: str
    window_ms: int
    content: bytes = b""


class IngestResult(Struct, frozen=True):
    """Result of a request: `queued`, or `duplicate` with the id of the first event.

    `differs` is true for a duplicate whose content is not that of the first event.
    """

    status: Literal["queued", "duplicate"]
    event_id: str
    differs: bool = False


_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)

LANE_FUNCTION, EFFECTS_FUNCTION = "process_lane", "finish_effects"


class Ingest:
    """Sends requests in batches to the ingest script."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._backlog_events_max = settings.backlog_events_max
        self._seconds_max = settings.ingest_timeout_seconds
        self._retry_after_seconds = settings.retry_after_seconds
        self._batcher = Batcher(self._send, settings.store_batch_max, settings.store_batches_in_flight_max)

    async def submit(self, requests: Sequence[IngestRequest]) -> list[IngestResult]:
        """Ingest the events of one delivery, all or none.

        Returns:
            The results, in the order of `requests`.

        Raises:
            StoreUnavailable: The events may not be durable; safe to repeat.
            StoreFull: The backlog or the memory is at its limit. Duplicates still get their result.
        """
        results = await self._batcher.submit(requests)
        if any(result is None for result in results):
            reason = f"{self._backlog_events_max} events are pending: add workers, or raise WAYBILL_BACKLOG_EVENTS_MAX"
            raise StoreFull(reason, self._retry_after_seconds)
        return cast("list[IngestResult]", results)

    async def _send(self, batch: Sequence[Sequence[IngestRequest]]) -> list[list[IngestResult | None]]:
        arguments: list[Argument] = [self._backlog_events_max]
        for requests in batch:
            arguments.append(len(requests))
            for request in requests:
                arguments += ingest_arguments(request)
        event_ids: list[bytes] = await self._client.call(INGEST, arguments, seconds_max=self._seconds_max)
        remaining = iter(event_ids)
        return [[_result(request, next(remaining)) for request in requests] for requests in batch]


def pack_holder(event_id: str, content: bytes) -> bytes:
    """Return the value of a dedupe key: the id in 16 bytes and a digest. Ids of another form have no digest."""
    return b"\0" + bytes.fromhex(event_id) + content if _ID.fullmatch(event_id) else event_id.encode()


def unpack_holder(value: bytes) -> str:
    """Return the event id in the value of a dedupe key."""
    return value[1:17].hex() if value.startswith(b"\0") else value.decode()


def ingest_arguments(request: IngestRequest) -> tuple[Argument, ...]:
    """Return the arguments of the scripts: the 7 of an event in ingest.lua.

    The job has no arguments, because its id names the lane. This saves memory for each record.
    """
    event = request.event
    lane = event.record.lane
    return (
        event.id,
        f"{event.source}:{request.dedupe_key}",
        request.window_ms,
        lane,
        encode_event(event),
        encode_job(LANE_FUNCTION, ()),
        pack_holder(event.id, request.content),
    )


def _result(request: IngestRequest, event_id: bytes) -> IngestResult | None:
    text = event_id.decode()
    if not text:
        return None  # the backlog is at its limit
    holder, differs, _ = text.partition(":")
    return IngestResult("queued" if holder == request.event.id else "duplicate", holder, bool(differs))
