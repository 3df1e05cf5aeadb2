"""Shards: the stored data in a fixed number of parts (WAYBILL_SHARDS). The lane of a record is in one of them.

All keys of a shard have the same text in braces, its hash tag: `{wb:07:st}:open` with the prefix `wb:`. On one server
all shards are there. A cluster distributes them over its servers, and can move them. The number cannot change after the
first start. The first shard also holds what concerns all records: rulebook, limits, tokens, polls and quarantine.
"""

import asyncio
import zlib
from collections.abc import Mapping, Sequence
from functools import partial

from msgspec import structs

from service.errors import StoreUnavailable
from service.settings import Settings
from service.store.connection.client import WAITAOF_TIMEOUT_MS
from service.store.connection.installation import require_number
from service.store.management.memory_usage import KeyUsage, sum_usage
from service.store.management.quarantine import QuarantinedDelivery
from service.store.management.queue_stats import QueueStats
from service.store.platforms.parking import ParkedJobs
from service.store.platforms.polls import RecordStatus
from service.store.queue.ingest import IngestRequest, IngestResult
from service.store.server_calls import (
    call_each_server,
    check_server,
    group_by_server,
    read_parked,
    require_all,
    sample_server,
)
from service.store.store import Store

CHECK_SECONDS_MAX = 1.5
"""Longest check of one of several servers, so that one that hangs does not delay the result for the others."""

REPLICA_CHECK_MARGIN_SECONDS = 0.5
"""With durability `replica`, time of a check beside its wait for a replica. A replica that lags less is no failure."""

TAG_END = ":st"
"""End of each hash tag. With octal numbers before these three characters, the slots of 2, 4, 8, 16 or 32 shards are
evenly spaced for every key prefix. With 16 shards, each sixteenth of the slots has one."""

SAMPLE_SECONDS_MAX = 1.5
"""Limit on the statistics of one store, so that the others are still reported."""


def shard_of(lane: str, shards: int) -> int:
    """Return the index of a lane's shard. Stored data depend on it: never change it."""
    return zlib.crc32(lane.encode()) % shards


def shard_name(index: int) -> str:
    """Return the name of a shard: its index as two octal digits."""
    return f"{index:02o}"


def shard_settings(settings: Settings, index: int) -> Settings:
    """Return the settings of one shard: its keys have the key prefix and its name in braces."""
    return structs.replace(settings, key_prefix=f"{{{settings.key_prefix}{shard_name(index)}{TAG_END}}}:")


class Shards:
    """All shards. A server that fails rejects only the records of its shards."""

    def __init__(self, stores: Sequence[Store]) -> None:
        self.stores = stores

    @property
    def settings(self) -> Settings:
        """Settings of the process."""
        return self.home.settings

    @property
    def home(self) -> Store:
        """The first shard. It holds what concerns all records."""
        return self.stores[0]

    def of(self, lane: str) -> Store:
        """Return the shard of a lane."""
        return self.stores[shard_of(lane, len(self.stores))]

    @property
    def check_seconds_max(self) -> float:
        """Longest check of one of several servers."""
        if self.settings.durability != "replica":
            return CHECK_SECONDS_MAX
        return WAITAOF_TIMEOUT_MS / 1000 + REPLICA_CHECK_MARGIN_SECONDS

    async def ingest_all(self, requests: Sequence[IngestRequest]) -> list[IngestResult]:
        """Ingest the events of one delivery.

        Atomic if all records are in one shard. Otherwise the failure of one shard makes the sender retry the delivery;
        the events that were ingested before are duplicates then.

        Returns:
            The results, in the order of `requests`.

        Raises:
            StoreUnavailable: The server of one of the shards does not answer.
            StoreFull: The memory of a server, or the backlog, is at its limit.
            StoreNotDurable: One of the servers does not meet WAYBILL_DURABILITY.
        """
        if len(requests) == 1:
            return await self.of(requests[0].event.record.lane).ingest_all(requests)
        results: dict[int, IngestResult] = {}
        by_shard: dict[int, list[int]] = {}
        for index, request in enumerate(requests):
            by_shard.setdefault(shard_of(request.event.record.lane, len(self.stores)), []).append(index)
        # In the same iteration of the event loop, so that the shards of one server share a round trip.
        calls = (self.stores[shard].ingest_all([requests[at] for at in part]) for shard, part in by_shard.items())
        for part, ingested in zip(by_shard.values(), await asyncio.gather(*calls, return_exceptions=True), strict=True):
            if isinstance(ingested, BaseException):
                raise ingested
            results.update(zip(part, ingested, strict=True))
        return [results[index] for index in range(len(requests))]

    async def flush_arrivals(self) -> None:
        """Add the counts of arrivals to the store.

        Raises:
            StoreUnavailable: The store does not answer. The counts are added by the next call.
        """
        await self.home.flush_arrivals()

    async def check(self, *, is_worker: bool = False, seconds_max: float | None = None) -> dict[str, str]:
        """Check that at least one shard accepts durable writes, and that every server that answers is durable.

        The check covers the commands of ingest, and with `is_worker` those of a worker. With several servers, that of
        each has the limit `seconds_max`, by default `check_seconds_max`.

        Returns:
            The names of the shards that accept no durable writes now, with the reasons.

        Raises:
            StoreUnavailable: No server answers; the error of the first shard.
            StoreFull: No server accepts writes; the error of the first shard.
            StoreNotDurable: One of the servers does not meet WAYBILL_DURABILITY.
            ConfigError: The store has another number of shards.
        """
        results = await call_each_server(
            self.stores, partial(check_server, is_worker=is_worker), seconds_max or self.check_seconds_max
        )
        failed = {store: error for store, error in results.items() if isinstance(error, Exception)}
        # An unavailable server rejects only its own records. A server that is not durable could lose events.
        serious = [error for error in failed.values() if not isinstance(error, StoreUnavailable)]
        if serious or len(failed) == len(self.stores):
            raise (serious or list(failed.values()))[0]
        return {store.name: str(error) for store, error in failed.items()}

    async def sample(self) -> QueueStats:
        """Return the queue statistics of all shards: sums, but the maximum of ages and percentages.

        Workers are those of the shard with the fewest, since a worker can be bound to shards.

        Raises:
            StoreUnavailable: The server of one of the shards does not answer.
            StoreNotDurable: One of the servers does not meet WAYBILL_DURABILITY.
        """
        results = await call_each_server(self.stores, sample_server, self.settings.store_timeout_seconds)
        stats = require_all(results)
        maxima = {"oldest_age_ms", "oldest_due_ms", "parked_age_ms", "memory_percent"}
        names = QueueStats.__struct_fields__
        combined = {name: (max if name in maxima else sum)(getattr(each, name) for each in stats) for name in names}
        return QueueStats(**combined | {"workers": min(each.workers for each in stats)})

    async def samples(self) -> Sequence[QueueStats | None]:
        """Return the queue statistics of each shard, None for one that did not answer or is not durable."""
        results = await call_each_server(self.stores, sample_server, SAMPLE_SECONDS_MAX)
        return [None if isinstance(result, Exception) else result for result in results.values()]

    async def parked_jobs(self) -> Mapping[Store, Mapping[str, ParkedJobs]]:
        """Return the accounts with parked jobs of each shard.

        Raises:
            StoreUnavailable: The server of one of the shards does not answer.
            StoreNotDurable: One of the servers does not meet WAYBILL_DURABILITY.
        """
        results = await call_each_server(self.stores, read_parked, self.settings.store_timeout_seconds)
        return dict(zip(self.stores, require_all(results), strict=True))

    async def open_circuits(self) -> dict[str, float]:
        """Return the seconds until the next probe of each circuit.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        return await self.home.open_circuits()

    async def clock_difference_seconds(self) -> float:
        """Return the largest difference between the clock of a server and the clock of this process, in seconds.

        Raises:
            StoreUnavailable: One of the servers does not answer.
        """
        differences = (store.clock_difference_seconds() for store, *_ in group_by_server(self.stores))
        return max(await asyncio.gather(*differences), key=abs)

    async def quarantine_deliveries(self, deliveries: Sequence[QuarantinedDelivery]) -> int:
        """Store rejected deliveries.

        Returns:
            The number of older deliveries that were removed.

        Raises:
            StoreUnavailable: The deliveries may not be stored.
            StoreFull: The memory is within 10 percentage points of its limit; events take precedence.
        """
        return await self.home.quarantine_deliveries(deliveries)

    async def record_untrusted_proxy(self, peer: str) -> None:
        """Store the address of a proxy that WAYBILL_TRUSTED_PROXIES does not name.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        await self.home.record_untrusted_proxy(peer)

    async def memory_by_kind(self) -> list[KeyUsage]:
        """Return the memory of all kinds of keys, largest first.

        Raises:
            StoreUnavailable: The server of one of the shards does not answer.
        """
        # Without a cluster, one scan finds the keys of all shards.
        stores = self.stores if self.home.client.servers.is_cluster else self.stores[:1]
        return sum_usage([usage for store in stores for usage in await store.memory_usage.by_kind()])

    async def record_statuses(self, lanes: Sequence[str]) -> list[RecordStatus]:
        """Return the status of records, by the names of their lanes.

        Raises:
            StoreUnavailable: The server of one of the shards does not answer.
        """
        by_shard: dict[int, list[str]] = {}
        for lane in lanes:
            by_shard.setdefault(shard_of(lane, len(self.stores)), []).append(lane)
        calls = (self.stores[shard].polls.record_statuses(part) for shard, part in by_shard.items())
        found: dict[str, RecordStatus] = {}
        for part, statuses in zip(by_shard.values(), await asyncio.gather(*calls), strict=True):
            found.update(zip(part, statuses, strict=True))
        return [found[lane] for lane in lanes]

    async def require_number(self) -> None:
        """Check that the store has as many shards. Commands of operators do not compare the record otherwise.

        Raises:
            StoreUnavailable: The store does not answer.
            ConfigError: The store has another number of shards.
        """
        record = await self.home.installation.record()
        if record is not None:
            require_number(record, self.settings.shards)

    async def close(self) -> None:
        """Wait for calls in progress, then close the connections."""
        await asyncio.gather(*(store.lanes.drain() for store in self.stores))
        await self.home.close()


def build_shards(settings: Settings, *, check_installation: bool = False) -> Shards:
    """Return the shards of the store. Opens no connection.

    Raises:
        ConfigError: WAYBILL_REDIS_URL is not valid.
    """

    def build(index: int, first: Store | None) -> Store:
        own = shard_settings(settings, index)
        return Store(own, check_installation=check_installation, name=shard_name(index), first=first)

    first = build(0, None)
    return Shards([first, *(build(index, first) for index in range(1, settings.shards))])


async def open_shards(settings: Settings, *, check_installation: bool = False) -> Shards:
    """Connect, verify the durability of all servers and, with `check_installation`, the installation records.

    Returns:
        The shards.

    Raises:
        ConfigError: WAYBILL_REDIS_URL is not valid, or the store has another number of shards.
        StoreUnavailable: The store does not answer.
        StoreNotDurable: One of the servers does not meet WAYBILL_DURABILITY, or the store was lost.
    """
    shards = build_shards(settings, check_installation=check_installation)
    try:
        await shards.check(seconds_max=settings.store_timeout_seconds)
        if not check_installation:
            await shards.require_number()
    except BaseException:
        await shards.close()
        raise
    return shards
