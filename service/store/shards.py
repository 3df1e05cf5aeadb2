"""Several stores for an installation that outgrew one: each record's lane lives on one of them, chosen by its name.

The ingress and every worker know all stores, in the same order (WAYBILL_SHARD_URLS); a worker pool runs the jobs of one
(its WAYBILL_REDIS_URL), and hands derived events to the store of their record. Rendezvous hashing over places in that
list: a store added at its end takes over its part of the records and moves no other. Let the lanes run empty first.
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


def shard_of(lane: str, shards: int) -> int:
    """The place of a lane's store in the list."""
    return max(range(shards), key=lambda place: hashlib.blake2b(f"{place}:{lane}".encode(), digest_size=8).digest())


def shard_urls(settings: Settings) -> list[str]:
    """The stores' URLs, in order; the one of WAYBILL_REDIS_URL where there is only that.

    Raises:
        ConfigError: WAYBILL_REDIS_URL is none of them.
    """
    urls = [url.strip() for url in settings.shard_urls.split(",") if url.strip()]
    if urls and settings.redis_url not in urls:
        raise ConfigError("WAYBILL_REDIS_URL", "is not among WAYBILL_SHARD_URLS", "give each worker pool one of them")
    return urls or [settings.redis_url]


class Shards:
    """All stores, behind what the ingress asks of one. A store that is away refuses its own records only."""

    def __init__(self, stores: Sequence[Store]) -> None:
        self.stores = stores

    def of(self, lane: str) -> Store:
        """The store of a lane."""
        return self.stores[shard_of(lane, len(self.stores))]

    async def ingest_all(self, arrivals: Sequence[IngestRequest]) -> list[IngestResult]:
        """Take in the events of one delivery; receipts in order.

        Atomic where one store holds them all. Otherwise a store that fails makes the sender repeat the delivery, and
        the events that were taken in already are known then.

        Raises:
            StoreUnavailable, StoreFull, StoreUnsafe: as `Store.ingest_all`, of any of the stores.
        """
        receipts: dict[int, IngestResult] = {}
        by_store: dict[int, list[int]] = {}
        for place, arrival in enumerate(arrivals):
            by_store.setdefault(shard_of(arrival.event.record.lane, len(self.stores)), []).append(place)
        # One after the other: behind a store that fails nothing is begun, as the sender repeats all of it.
        for shard, places in by_store.items():
            taken = await self.stores[shard].ingest_all([arrivals[place] for place in places])
            receipts.update(zip(places, taken, strict=True))
        return [receipts[place] for place in range(len(arrivals))]

    async def check(self) -> None:
        """Return if any store can accept durably now.

        Raises:
            StoreUnavailable, StoreFull, StoreUnsafe: none can; the first one's reason.
        """
        outcomes = await asyncio.gather(*(store.check() for store in self.stores), return_exceptions=True)
        troubles = [outcome for outcome in outcomes if outcome is not None]
        unsafe = [trouble for trouble in troubles if isinstance(trouble, StoreNotDurable)]
        # A store that is away refuses its own records only; one that may lose events is a mistake to be mended.
        if unsafe or len(troubles) == len(self.stores):
            raise (unsafe or troubles)[0]

    async def sample(self) -> QueueStats:
        """Count what waits, over all stores; the oldest age and the fullest memory are the worst one's.

        Raises:
            StoreUnavailable, StoreUnsafe: one does not answer.
        """
        samples = await asyncio.gather(*(store.sample() for store in self.stores))
        worst = {"oldest_age_ms", "memory_percent"}
        names = QueueStats.__struct_fields__
        return QueueStats(
            **{name: (max if name in worst else sum)(getattr(sample, name) for sample in samples) for name in names}
        )

    async def quarantine_deliveries(self, deliveries: Sequence[QuarantinedDelivery]) -> int:
        """Keep refused deliveries on the first store that takes them.

        Raises:
            StoreUnavailable, StoreFull, StoreUnsafe: none does; the last one's reason.
        """
        for store in self.stores[:-1]:
            try:
                return await store.quarantine_deliveries(deliveries)
            except (StoreUnavailable, StoreNotDurable):
                continue
        return await self.stores[-1].quarantine_deliveries(deliveries)

    async def close(self) -> None:
        """Close every store."""
        for store in self.stores:
            await store.close()


async def open_shards(settings: Settings) -> Shards | Store:
    """Open what the settings name: one store, or several as shards.

    Raises:
        ConfigError: a URL cannot be read.
        StoreUnavailable: nobody answers.
        StoreNotDurable: one does not keep what WAYBILL_DURABILITY promises.
    """
    urls = shard_urls(settings)
    if len(urls) == 1:
        return await open_store(settings)
    shards = shards_with(Store(settings))
    await shards.check()
    return shards


def shards_with(store: Store) -> Store | Shards:
    """Join a store with the others that its settings name; nothing is connected yet.

    Raises:
        ConfigError: a URL cannot be read, or the store is none of them.
    """
    urls = shard_urls(store.settings)
    if len(urls) == 1:
        return store
    own = store.settings.redis_url
    return Shards([store if url == own else Store(structs.replace(store.settings, redis_url=url)) for url in urls])
