"""Shards: several stores. The lane of a record is on one of them, selected by rendezvous hashing of its name.

The service and all workers have the same list of stores (WAYBILL_SHARD_URLS). A worker pool runs the jobs of one store
(its WAYBILL_REDIS_URL) and ingests derived events on the store of their record. A store added at the end of the list
takes over its share of the records and moves no other record. Empty the lanes before a store is added.
"""

import asyncio
import hashlib
from collections.abc import Sequence

from msgspec import structs

from service.errors import ConfigError, StoreNotDurable, StoreUnavailable
from service.settings import Settings
from service.store.management.quarantine import QuarantinedDelivery
from service.store.management.queue_stats import QueueStats
from service.store.queue.ingest import IngestRequest, IngestResult
from service.store.store import Store, open_store

SAMPLE_SECONDS_MAX = 1.5
"""Limit on the statistics of one store, so that the others are still reported."""


def shard_of(lane: str, shards: int) -> int:
    """Return the index of a lane's store in the list."""
    return max(range(shards), key=lambda index: hashlib.blake2b(f"{index}:{lane}".encode(), digest_size=8).digest())


async def _sample_if_available(store: Store) -> QueueStats | None:
    try:
        async with asyncio.timeout(SAMPLE_SECONDS_MAX):
            return await store.sample()
    except (StoreUnavailable, StoreNotDurable, TimeoutError):
        return None


def shard_urls(settings: Settings) -> list[str]:
    """Return the URLs of all stores, in order: WAYBILL_SHARD_URLS, or only WAYBILL_REDIS_URL.

    Raises:
        ConfigError: WAYBILL_SHARD_URLS does not contain WAYBILL_REDIS_URL.
    """
    urls = [url.strip() for url in settings.shard_urls.split(",") if url.strip()]
    if urls and settings.redis_url not in urls:
        fix = "set WAYBILL_REDIS_URL of each worker pool to one of the URLs in WAYBILL_SHARD_URLS"
        raise ConfigError("WAYBILL_REDIS_URL", "is not in WAYBILL_SHARD_URLS", fix)
    return urls or [settings.redis_url]


class Shards:
    """All stores, with the methods that the ingress uses. A store that fails rejects only its own records."""

    def __init__(self, stores: Sequence[Store]) -> None:
        self.stores = stores

    def of(self, lane: str) -> Store:
        """Return the store of a lane."""
        return self.stores[shard_of(lane, len(self.stores))]

    async def ingest_all(self, requests: Sequence[IngestRequest]) -> list[IngestResult]:
        """Ingest the events of one delivery.

        Atomic if all records are on one store. Otherwise the failure of one store makes the sender retry the delivery;
        the events that were ingested before are duplicates then.

        Returns:
            The results, in the order of `requests`.

        Raises:
            StoreUnavailable: One of the stores does not answer.
            StoreFull: The memory or the backlog of one of the stores is at its limit.
            StoreNotDurable: One of the servers does not meet WAYBILL_DURABILITY.
        """
        results: dict[int, IngestResult] = {}
        by_shard: dict[int, list[int]] = {}
        for index, request in enumerate(requests):
            by_shard.setdefault(shard_of(request.event.record.lane, len(self.stores)), []).append(index)
        # One after the other: after a failure no further store is called, because the sender retries the delivery.
        for shard, indexes in by_shard.items():
            ingested = await self.stores[shard].ingest_all([requests[index] for index in indexes])
            results.update(zip(indexes, ingested, strict=True))
        return [results[index] for index in range(len(requests))]

    async def flush_arrivals(self) -> None:
        """Add the counts of arrivals to their stores.

        Raises:
            StoreUnavailable: One of the stores does not answer. Its counts are added by the next call.
        """
        results = await asyncio.gather(*(store.flush_arrivals() for store in self.stores), return_exceptions=True)
        for error in filter(None, results):
            raise error

    async def check(self, *, is_worker: bool = False) -> None:
        """Check that at least one store accepts durable writes, and that every server that answers is durable.

        The check covers the commands of ingest, and with `is_worker` those of a worker.

        Raises:
            StoreUnavailable: No store answers; the error of the first one.
            StoreFull: No store accepts writes; the error of the first one.
            StoreNotDurable: One of the servers does not meet WAYBILL_DURABILITY.
        """
        checks = (store.check(is_worker=is_worker) for store in self.stores)
        results = await asyncio.gather(*checks, return_exceptions=True)
        errors = [result for result in results if result is not None]
        not_durable = [error for error in errors if isinstance(error, StoreNotDurable)]
        # An unavailable store rejects only its own records. A server that is not durable could lose events.
        if not_durable or len(errors) == len(self.stores):
            raise (not_durable or errors)[0]

    async def samples(self) -> Sequence[QueueStats | None]:
        """Return the queue statistics of each store, None for a store that did not answer or is not durable."""
        return await asyncio.gather(*(_sample_if_available(store) for store in self.stores))

    async def open_circuits(self) -> dict[str, float]:
        """Return the seconds until the next probe of each circuit. The first store has the state of all shards.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        return await self.stores[0].open_circuits()

    async def clock_difference_seconds(self) -> float:
        """Return the largest difference between the clock of a store and the clock of this process, in seconds.

        Raises:
            StoreUnavailable: One of the stores does not answer.
        """
        return max(await asyncio.gather(*(store.clock_difference_seconds() for store in self.stores)), key=abs)

    async def quarantine_deliveries(self, deliveries: Sequence[QuarantinedDelivery]) -> int:
        """Store rejected deliveries on the first store that accepts them.

        Returns:
            The number of older deliveries that were removed.

        Raises:
            StoreUnavailable: No store accepts them; the error of the last one.
            StoreFull: No store accepts them; the error of the last one.
            StoreNotDurable: No store accepts them; the error of the last one.
        """
        for store in self.stores[:-1]:
            try:
                return await store.quarantine_deliveries(deliveries)
            except (StoreUnavailable, StoreNotDurable):
                continue
        return await self.stores[-1].quarantine_deliveries(deliveries)

    async def record_untrusted_proxy(self, peer: str) -> None:
        """Store the address of a proxy that WAYBILL_TRUSTED_PROXIES does not name, on the first store.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        await self.stores[0].record_untrusted_proxy(peer)

    async def close(self) -> None:
        """Close every store."""
        for store in self.stores:
            await store.close()


async def open_shards(settings: Settings, *, check_installation: bool = False) -> Shards | Store:
    """Open the configured store or stores; with `check_installation`, verify their installation records.

    Returns:
        The store, or the shards if WAYBILL_SHARD_URLS has several URLs.

    Raises:
        ConfigError: A URL is not valid.
        StoreUnavailable: No store answers.
        StoreNotDurable: One of the servers does not meet WAYBILL_DURABILITY.
    """
    urls = shard_urls(settings)
    if len(urls) == 1:
        return await open_store(settings, check_installation=check_installation)
    shards = shards_with(Store(settings, check_installation=check_installation))
    await shards.check()
    return shards


def shards_with(store: Store) -> Store | Shards:
    """Return the shards of the store's settings, or the store itself if it is the only one. Opens no connection.

    Raises:
        ConfigError: A URL is not valid, or WAYBILL_SHARD_URLS does not contain WAYBILL_REDIS_URL.
    """
    urls = shard_urls(store.settings)
    if len(urls) == 1:
        return store

    def build(url: str) -> Store:
        settings = structs.replace(store.settings, redis_url=url)
        return Store(settings, check_installation=store.checks_installation)

    own = store.settings.redis_url
    return Shards([store if url == own else build(url) for url in urls])
