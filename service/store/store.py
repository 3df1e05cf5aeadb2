"""Joins the room's parts into the one object that the two pods are handed."""

import contextlib
import time
from collections.abc import Sequence

from service.errors import StoreFull, StoreUnavailable
from service.events import Event
from service.settings import Settings
from service.store.connection.client import Client
from service.store.keys import Keys
from service.store.management.events import EventReader
from service.store.management.memory_usage import MemoryUsage
from service.store.management.quarantine import MEMORY_RESERVE_PERCENT, QuarantinedDelivery, QuarantineStore
from service.store.management.queue_stats import QueueStats, QueueStatsReader
from service.store.management.replay import Replays
from service.store.management.sweep import Sweeper
from service.store.platforms.polls import Polls
from service.store.platforms.throttle import ThrottleStore
from service.store.platforms.token_cache import SharedTokenCache
from service.store.queue.ingest import Ingest, IngestRequest, IngestResult
from service.store.queue.lanes import Lanes
from service.store.queue.leases import Leases
from service.store.rulebook import RulebookStore

MEMORY_CHECK_SECONDS = 1.0


class Store:
    """One store as a process sees it. Every method may raise StoreUnavailable and StoreUnsafe."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.client = Client(settings)
        self.keys = Keys(settings.key_prefix, settings.queue)
        self.rulebook = RulebookStore(self.client, self.keys, settings)
        self.events = EventReader(self.client, self.keys)
        self.census = MemoryUsage(self.client, self.events)
        self.lanes = Lanes(self.client, settings)
        self.replays = Replays(self.client, settings)
        self.sweeper = Sweeper(self.client, settings)
        self.quarantine = QuarantineStore(self.client, self.keys, settings)
        self.sampler = QueueStatsReader(self.client, self.keys)
        self.limits = ThrottleStore(self.client)
        self.tokens = SharedTokenCache(self.client, settings.fetch_timeout_seconds)
        self.polls = Polls(self.client)
        self._ingest = Ingest(self.client, settings)
        self._memory_percent = 0
        self._memory_known_until = 0.0

    async def ingest(self, event: Event, claim: str, window_ms: int) -> IngestResult:
        """Take in one event; returns once it is as safe as WAYBILL_DURABILITY says.

        Raises:
            StoreUnavailable: not known to be safe.
            StoreFull: memory or backlog is at its limit; nothing was written.
        """
        return (await self.ingest_all((IngestRequest(event, claim, window_ms),)))[0]

    async def ingest_all(self, arrivals: Sequence[IngestRequest]) -> list[IngestResult]:
        """Take in the events of one delivery, all or none; receipts in order.

        Raises:
            StoreUnavailable, StoreFull: as `ingest`.
        """
        if time.monotonic() >= self._memory_known_until:
            with contextlib.suppress(StoreUnavailable):  # the call below waits for the store, a look does not
                await self._check_memory()
        if self._memory_percent >= self.settings.store_memory_percent_max:
            raise StoreFull(f"the store's memory is {self._memory_percent} % full", self.settings.retry_after_seconds)
        return await self._ingest.submit(arrivals)

    async def quarantine_deliveries(self, deliveries: Sequence[QuarantinedDelivery]) -> int:
        """Put refused deliveries into quarantine; give how many older ones had to go.

        Raises:
            StoreUnavailable: not known to be kept.
            StoreFull: the server is nearly as full as events may make it.
        """
        if time.monotonic() >= self._memory_known_until:
            await self._check_memory()
        if self._memory_percent >= self.settings.store_memory_percent_max - MEMORY_RESERVE_PERCENT:
            raise StoreFull(f"the store's memory is {self._memory_percent} % full", self.settings.retry_after_seconds)
        return await self.quarantine.put(deliveries)

    async def check(self) -> None:
        """Return if the store can accept durably now.

        Raises:
            StoreUnavailable, StoreFull, StoreUnsafe: it cannot.
        """
        await self._check_memory()
        if self._memory_percent >= self.settings.store_memory_percent_max:
            raise StoreFull(f"the store's memory is {self._memory_percent} % full", self.settings.retry_after_seconds)
        # A write, since a server that is full, demoted or read-only still answers questions.
        await self.client.command("SET", self.keys.named("tick"), int(time.time() * 1000))

    async def sample(self) -> QueueStats:
        """Count what waits.

        Raises:
            StoreUnavailable: no answer.
        """
        return await self.sampler.sample(time.time())

    def leases(self, worker: str) -> Leases:
        """What the worker of that name claims jobs with; the name must be its alone."""
        return Leases(self.client, self.keys, self.settings, worker)

    async def close(self) -> None:
        """Let calls under way end, then close the connections."""
        await self.lanes.drain()
        await self.client.close()

    async def _check_memory(self) -> None:
        # Set before the answer is here, so that of many callers at once only one asks.
        self._memory_known_until = time.monotonic() + MEMORY_CHECK_SECONDS
        _, self._memory_percent = await self.sampler.memory()


async def open_store(settings: Settings) -> Store:
    """Connect, verify durability, and give the store.

    Raises:
        ConfigError: WAYBILL_REDIS_URL cannot be read.
        StoreUnavailable: nobody answers.
        StoreNotDurable: the server does not keep what WAYBILL_DURABILITY promises.
    """
    store = Store(settings)
    await store.check()
    return store
