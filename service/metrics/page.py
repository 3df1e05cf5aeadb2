"""What Prometheus scrapes: all families, the process's own numbers, and a look at the store, a second old at most.

Both pods look at the store when they are scraped, so that its numbers are there even when all workers are gone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from importlib.metadata import version

from msgspec import Struct, structs
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from service.errors import WaybillError
from service.metrics.families import (
    BUILD_INFO,
    DEAD_LETTERS,
    EVENTS_PENDING,
    FAMILIES,
    OLDEST_EVENT_SECONDS,
    QUEUE_JOBS,
    STORE_MEMORY_BYTES,
    STORE_MEMORY_RATIO,
    STORE_UP,
    WORKERS_ALIVE,
)  # fmt: skip
from service.metrics.samples import collect

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
CACHE_SECONDS = 1.0
SAMPLE_TIMEOUT_SECONDS = 2.0


class MetricsPage:
    """The page of one process; `sample` counts what waits in the store."""

    def __init__(self, component: str, sample: Callable[[], Awaitable[Struct]]) -> None:
        self._sample = sample
        self._looking = asyncio.Lock()
        self._known_until = 0.0
        BUILD_INFO.set_all({(component, version("waybill")): 1})
        self._registry = CollectorRegistry()
        self._registry.register(_Ours())
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    async def render(self) -> bytes:
        """Make the page; without an answer of the store it says so, and lacks the store's numbers."""
        async with self._looking:
            now = asyncio.get_running_loop().time()
            if now >= self._known_until:
                set_queue_gauges(await self._ask())
                self._known_until = now + CACHE_SECONDS
        return generate_latest(self._registry)

    async def _ask(self) -> Struct | None:
        try:
            async with asyncio.timeout(SAMPLE_TIMEOUT_SECONDS):
                return await self._sample()
        except (WaybillError, TimeoutError):
            return None


class _Ours(Collector):
    def collect(self) -> Iterator[Metric]:
        return map(collect, FAMILIES)


def set_queue_gauges(sample: Struct | None) -> None:
    """Show what was sampled (the store's `QueueStats`); None: the store did not answer."""
    values: Mapping[str, float] = structs.asdict(sample) if sample is not None else {}
    STORE_UP.set_all({(): float(sample is not None)})
    QUEUE_JOBS.set_all({(state,): values[state] for state in ("due", "deferred", "running") if state in values})
    for gauge, field, parts in _SINGLES:
        gauge.set_all({(): values[field] / parts} if field in values else {})


_SINGLES = (
    (EVENTS_PENDING, "pending", 1),
    (OLDEST_EVENT_SECONDS, "oldest_age_ms", 1_000),
    (DEAD_LETTERS, "dead_letters", 1),
    (WORKERS_ALIVE, "workers", 1),
    (STORE_MEMORY_BYTES, "memory_bytes", 1),
    (STORE_MEMORY_RATIO, "memory_percent", 100),
)
