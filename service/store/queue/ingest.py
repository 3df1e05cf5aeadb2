"""Ingest: stores events and appends them to their lanes in one atomic call."""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal, NamedTuple, cast
from weakref import WeakKeyDictionary

from msgspec import Struct

from service.errors import StoreFull, StoreNotDurable, StoreUnavailable
from service.events import Event
from service.settings import Settings
from service.store.connection.batching import Batcher
from service.store.connection.client import Argument, Client
from service.store.connection.server import Server
from service.store.connection.shard_calls import ShardCall, send_together
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


class _Delivery(NamedTuple):
    client: Client
    requests: Sequence[IngestRequest]


_Results = list[IngestResult | None] | StoreUnavailable | StoreNotDurable
IngestBatchers = WeakKeyDictionary[Server, Batcher[_Delivery, _Results | None]]
"""Batches of each server."""


class Ingest:
    """Sends requests in batches to the ingest script. The shards of one server share `batchers`.

    If the call of a batch fails for this shard, its deliveries are sent in batches of their own: the repetitions of a
    shard that is unavailable delay no other.
    """

    def __init__(self, client: Client, settings: Settings, batchers: IngestBatchers) -> None:
        self._client = client
        self._settings = settings
        self._batchers = batchers
        self._server: Server | None = None
        self._batcher = self._batcher_of(client.server)
        self._alone: Batcher[_Delivery, _Results] = Batcher(partial(_send_alone, settings), settings.store_batch_max, 1)

    async def submit(self, requests: Sequence[IngestRequest]) -> list[IngestResult]:
        """Ingest the events of one delivery, all or none.

        Returns:
            The results, in the order of `requests`.

        Raises:
            StoreUnavailable: The events may not be durable; safe to repeat.
            StoreFull: The backlog or the memory is at its limit. Duplicates still get their result.
            StoreNotDurable: The server does not meet WAYBILL_DURABILITY, or the store was lost.
        """
        server = self._client.server
        if server is not self._server:  # the first call, or the shard has moved
            self._server, self._batcher = server, self._batcher_of(server)
        delivery = _Delivery(self._client, requests)
        results = await self._batcher.submit(delivery)
        if results is None:
            results = await self._alone.submit(delivery)
        if not isinstance(results, list):
            raise results
        if None in results:
            maximum, shards = self._settings.shard_events_max, self._settings.shards
            part = f" in this shard, one of {shards}" if shards > 1 else ""
            reason = f"{maximum} events are pending{part}: add workers, or raise WAYBILL_BACKLOG_EVENTS_MAX"
            raise StoreFull(reason, self._settings.retry_after_seconds)
        return cast("list[IngestResult]", results)

    def _batcher_of(self, server: Server) -> Batcher[_Delivery, _Results | None]:
        settings = self._settings
        if server not in self._batchers:
            send = partial(_send_alone if settings.shards == 1 else _send, settings)
            self._batchers[server] = Batcher(send, settings.store_batch_max, settings.store_batches_in_flight_max)
        return self._batchers[server]


async def _send(settings: Settings, batch: Sequence[_Delivery]) -> list[_Results | None]:
    """Send the deliveries of all shards. The result is None for those of a shard whose call failed."""
    by_shard: dict[Client, list[_Delivery]] = {}
    for delivery in batch:
        by_shard.setdefault(delivery.client, []).append(delivery)
    if len(by_shard) == 1 and not batch[0].client.servers.is_cluster:
        return [*await _send_alone(settings, batch)]  # a call for one shard costs less
    calls = [ShardCall(client, _arguments(settings, deliveries)) for client, deliveries in by_shard.items()]
    replies = await send_together(INGEST, calls, seconds_max=settings.ingest_timeout_seconds)
    event_ids = {
        client: reply if reply is None or isinstance(reply, StoreUnavailable | StoreNotDurable) else iter(reply)
        for client, reply in zip(by_shard, replies, strict=True)
    }
    return [_results(delivery, event_ids[delivery.client]) for delivery in batch]


async def _send_alone(settings: Settings, batch: Sequence[_Delivery]) -> list[_Results]:
    """Send the deliveries of one shard."""
    arguments, client = _arguments(settings, batch), batch[0].client
    try:
        event_ids = iter(await client.call(INGEST, arguments, seconds_max=settings.ingest_timeout_seconds))
    except (StoreUnavailable, StoreNotDurable) as error:
        return [error] * len(batch)
    return [_decode(delivery, event_ids) for delivery in batch]


def _arguments(settings: Settings, deliveries: Sequence[_Delivery]) -> list[Argument]:
    arguments: list[Argument] = [settings.shard_events_max]
    for delivery in deliveries:
        arguments.append(len(delivery.requests))
        for request in delivery.requests:
            arguments += ingest_arguments(request)
    return arguments


def _results(
    delivery: _Delivery, event_ids: Iterator[bytes] | StoreUnavailable | StoreNotDurable | None
) -> _Results | None:
    if event_ids is None or isinstance(event_ids, StoreUnavailable | StoreNotDurable):
        return event_ids
    return _decode(delivery, event_ids)


def _decode(delivery: _Delivery, event_ids: Iterator[bytes]) -> list[IngestResult | None]:
    return [_result(request, next(event_ids)) for request in delivery.requests]


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
