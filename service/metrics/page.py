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
    BUILD,
    DEAD_LETTERS,
    EVENTS_WAITING,
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
FRESH_SECONDS = 1.0
LOOK_SECONDS_MAX = 2.0


class Page:
    """The page of one process; `look` counts what waits in the store."""

    def __init__(self, component: str, look: Callable[[], Awaitable[Struct]]) -> None:
        self._look = look
        self._looking = asyncio.Lock()
        self._known_until = 0.0
        BUILD.put({(component, version("waybill")): 1})
        self._registry = CollectorRegistry()
        self._registry.register(_Ours())
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    async def text(self) -> bytes:
        """Make the page; without an answer of the store it says so, and lacks the store's numbers."""
        async with self._looking:
            now = asyncio.get_running_loop().time()
            if now >= self._known_until:
                put_sample(await self._ask())
                self._known_until = now + FRESH_SECONDS
        return generate_latest(self._registry)

    async def _ask(self) -> Struct | None:
        try:
            async with asyncio.timeout(LOOK_SECONDS_MAX):
                return await self._look()
        except (WaybillError, TimeoutError):
            return None


class _Ours(Collector):
    def collect(self) -> Iterator[Metric]:
        return map(collect, FAMILIES)


def put_sample(sample: Struct | None) -> None:
    """Show what was sampled (the store's `QueueSample`); None: the store did not answer."""
    told: Mapping[str, float] = structs.asdict(sample) if sample is not None else {}
    STORE_UP.put({(): float(sample is not None)})
    QUEUE_JOBS.put({(state,): told[state] for state in ("due", "deferred", "running") if state in told})
    for gauge, field, parts in _SINGLES:
        gauge.put({(): told[field] / parts} if field in told else {})


_SINGLES = (
    (EVENTS_WAITING, "pending", 1),
    (OLDEST_EVENT_SECONDS, "oldest_age_ms", 1_000),
    (DEAD_LETTERS, "dead_letters", 1),
    (WORKERS_ALIVE, "workers", 1),
    (STORE_MEMORY_BYTES, "memory_bytes", 1),
    (STORE_MEMORY_RATIO, "memory_percent", 100),
)
