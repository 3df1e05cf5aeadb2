"""One shard: the object through which the service and the workers access its keys in Valkey or Redis."""

import contextlib
import time
from collections.abc import Sequence

from service.errors import StoreFull, StoreUnavailable
from service.events import Event
from service.settings import Settings
from service.store.connection.client import Client
from service.store.connection.damage import DamagedKey, decode_damaged_keys
from service.store.keys import Keys
from service.store.management.arrivals import Arrivals
from service.store.management.audit import AuditStore
from service.store.management.events import EventReader
from service.store.management.installation import InstallationStore
from service.store.management.memory_usage import MemoryUsage
from service.store.management.quarantine import MEMORY_RESERVE_PERCENT, QuarantinedDelivery, QuarantineStore
from service.store.management.queue_stats import QueueStats, QueueStatsReader
from service.store.management.replay import Replays
from service.store.management.session_key import SessionKey
from service.store.management.sweep import Sweeper
from service.store.management.untrusted_proxy import UntrustedProxy
from service.store.platforms.found_records import FoundRecords
from service.store.platforms.parking import Parking
from service.store.platforms.polls import Polls
from service.store.platforms.throttle import ThrottleStore
from service.store.platforms.token_cache import SharedTokenCache
from service.store.queue.futile_waits import FutileWaits
from service.store.queue.ingest import Ingest, IngestBatchers, IngestRequest, IngestResult
from service.store.queue.lanes import Lanes
from service.store.queue.leases import Leases
from service.store.rulebook import RulebookStore
from service.store.scripts import CHECK, DAMAGED_KEYS

MEMORY_CHECK_SECONDS = 1.0


class Store:
    """One shard. Every method may raise StoreUnavailable or StoreNotDurable.

    With `check_installation`, also StoreLost; see `connection.installation`. The other shards share the connections of
    the `first` one, which also holds what concerns all of them: the parts from `rulebook` to `untrusted_proxy`.
    """

    def __init__(
        self, settings: Settings, *, check_installation: bool = False, name: str = "", first: "Store | None" = None
    ) -> None:
        self.settings = settings
        self.name = name
        self.client = Client(
            settings,
            check_installation=check_installation,
            servers=first.client.servers if first else None,
            first=first.client if first else None,
        )
        self.keys = Keys(settings.key_prefix, settings.queue)
        self.events = EventReader(self.client, self.keys)
        self.memory_usage = MemoryUsage(self.client, self.keys, self.events)
        self.lanes = Lanes(self.client, settings)
        self.replays = Replays(self.client, settings)
        self.sweeper = Sweeper(self.client, settings)
        self.queue_stats = QueueStatsReader(self.client, self.keys)
        self.parking = Parking(self.client, self.keys)
        self.installation = InstallationStore(self.client, self.keys, settings)
        self.rulebook = RulebookStore(self.client, self.keys, settings)
        self.quarantine = QuarantineStore(self.client, self.keys, settings)
        self.limits = ThrottleStore(self.client, self.keys)
        self.tokens = SharedTokenCache(self.client, settings.fetch_timeout_seconds)
        self.polls = Polls(self.client)
        self.audit = AuditStore(self.client, self.keys)
        self.session_key = SessionKey(self.client, self.keys)
        self.futile_waits = FutileWaits(self.client, self.keys)
        self.found_records = FoundRecords(self.client, self.keys)
        self.untrusted_proxy = UntrustedProxy(self.client, self.keys)
        self.arrivals = first.arrivals if first else Arrivals(self.client, self.keys)
        self.ingest_batchers: IngestBatchers = first.ingest_batchers if first else IngestBatchers()
        self._ingest = Ingest(self.client, settings, self.ingest_batchers)

    async def ingest(self, event: Event, dedupe_key: str, window_ms: int) -> IngestResult:
        """Ingest one event.

        Returns:
            The result, after the event is durable as set by WAYBILL_DURABILITY.

        Raises:
            StoreUnavailable: The event may not be durable.
            StoreFull: The memory or the backlog is at its limit; nothing was written.
        """
        return (await self.ingest_all((IngestRequest(event, dedupe_key, window_ms),)))[0]

    async def ingest_all(self, requests: Sequence[IngestRequest]) -> list[IngestResult]:
        """Ingest the events of one delivery, all or none.

        Returns:
            The results, in the order of `requests`.

        Raises:
            StoreUnavailable: The events may not be durable.
            StoreFull: The memory or the backlog is at its limit; nothing was written.
        """
        if time.monotonic() >= self.client.server.memory_checked_until:
            with contextlib.suppress(StoreUnavailable):  # the ingest below waits for the store, the check does not
                await self._check_memory()
        self._require_memory(self.settings.store_memory_percent_max)
        results = await self._ingest.submit(requests)
        for request, result in zip(requests, results, strict=True):
            if result.status == "queued":
                self.arrivals.count(request.event.source)
        return results

    async def quarantine_deliveries(self, deliveries: Sequence[QuarantinedDelivery]) -> int:
        """Store rejected deliveries in quarantine.

        Returns:
            The number of older deliveries that were removed.

        Raises:
            StoreUnavailable: The deliveries may not be stored.
            StoreFull: The memory is within 10 percentage points of its limit; events take precedence.
        """
        if time.monotonic() >= self.client.server.memory_checked_until:
            await self._check_memory()
        self._require_memory(self.settings.store_memory_percent_max - MEMORY_RESERVE_PERCENT)
        return await self.quarantine.put(deliveries)

    async def record_untrusted_proxy(self, peer: str) -> None:
        """Store the address of a proxy that WAYBILL_TRUSTED_PROXIES does not name.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        await self.untrusted_proxy.record(peer)

    async def flush_arrivals(self) -> None:
        """Add the counts of arrivals to the store.

        Raises:
            StoreUnavailable: The store does not answer. The counts are added by the next call.
        """
        await self.arrivals.flush()

    async def check(self, *, is_worker: bool = False) -> None:
        """Check that the store accepts durable writes.

        The check covers the commands of ingest, and with `is_worker` those of a worker.

        Raises:
            StoreUnavailable: The store does not answer, rejects writes, or denies a command.
            StoreFull: The memory is at its limit.
            StoreNotDurable: The server does not meet WAYBILL_DURABILITY.
        """
        await self.require_memory()
        # Check with a write: a server that is full, demoted or read-only still answers reads.
        await self.client.call(CHECK, (int(is_worker),), seconds_max=0)

    async def require_memory(self) -> None:
        """Check the memory of the server.

        Raises:
            StoreUnavailable: The store does not answer.
            StoreFull: The memory is at its limit.
        """
        await self._check_memory()
        self._require_memory(self.settings.store_memory_percent_max)

    async def sample(self) -> QueueStats:
        """Return the queue statistics.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        return await self.queue_stats.sample()

    async def samples(self) -> Sequence[QueueStats | None]:
        """Return the queue statistics as those of one shard.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        return [await self.sample()]

    async def open_circuits(self) -> dict[str, float]:
        """Return the seconds until the next probe of each circuit with recent failures; 0: closed.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        return await self.limits.open_circuits()

    async def clock_difference_seconds(self) -> float:
        """Return the store's clock minus the clock of this process: the smallest difference that the reply proves.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        before = time.time()
        clock = await self.queue_stats.clock()
        after = time.time()
        return min(clock - before, 0.0) + max(clock - after, 0.0)

    async def damaged_keys(self) -> list[DamagedKey]:
        """Return the keys that were set aside, because another program had changed their type or value.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        return decode_damaged_keys(await self.client.call(DAMAGED_KEYS, (), seconds_max=1))

    def leases(self, worker: str) -> Leases:
        """Return the leases of the worker of that name, which must be unique."""
        return Leases(self.client, self.keys, self.settings, worker)

    async def close(self) -> None:
        """Wait for calls in progress, then close the connections of all shards."""
        await self.lanes.drain()
        await self.client.close()

    async def _check_memory(self) -> None:
        # Set before the reply arrives, so that only one of many concurrent callers sends the command.
        self.client.server.memory_checked_until = time.monotonic() + MEMORY_CHECK_SECONDS
        _, percent = await self.queue_stats.memory()
        self.client.server.memory_percent = percent  # of all its shards

    def _require_memory(self, percent_max: int) -> None:
        percent = self.client.server.memory_percent
        if percent >= percent_max:
            reason = (
                f"the store's memory is {percent} % full, the limit is {percent_max} %: "
                "raise maxmemory, or WAYBILL_STORE_MEMORY_PERCENT_MAX"
            )
            raise StoreFull(reason, self.settings.retry_after_seconds)


async def open_store(settings: Settings, *, check_installation: bool = False) -> Store:
    """Connect to the shard with the prefix of the settings, and verify durability and its installation record.

    Returns:
        The open store.

    Raises:
        ConfigError: WAYBILL_REDIS_URL is not a valid URL.
        StoreUnavailable: The store does not answer.
        StoreNotDurable: The server does not meet WAYBILL_DURABILITY, or the store was lost.
    """
    store = Store(settings, check_installation=check_installation)
    await store.check()
    return store
