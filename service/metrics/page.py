"""Metrics page for Prometheus: all families, process metrics, and queue statistics at most one second old.

The service and the workers both read the queue statistics, so that they are available without running workers.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from importlib.metadata import version

from msgspec import Struct, structs
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from service.errors import WaybillError
from service.metrics.families import (
    BUILD_INFO,
    DAMAGED_KEYS,
    DEAD_LETTERS,
    EVENTS_PENDING,
    EVENTS_PENDING_MAX,
    FAMILIES,
    OLDEST_DUE_SECONDS,
    OLDEST_EVENT_SECONDS,
    PARKED_JOBS,
    PARKED_SECONDS,
    QUEUE_JOBS,
    STORE_MEMORY_BYTES,
    STORE_MEMORY_RATIO,
    STORE_UP,
    WORKERS_ALIVE,
)  # fmt: skip
from service.metrics.samples import collect

CACHE_SECONDS = 1.0
SAMPLE_TIMEOUT_SECONDS = 2.0


class MetricsPage:
    """Metrics page of one process. `sample` returns the queue statistics; `events_max` limits the pending events."""

    def __init__(self, component: str, sample: Callable[[], Awaitable[Struct]], events_max: int) -> None:
        self._sample = sample
        self._lock = asyncio.Lock()
        self._cached_until = 0.0
        EVENTS_PENDING_MAX.set_all({(): events_max})
        BUILD_INFO.set_all({(component, version("waybill")): 1})
        self._registry = CollectorRegistry()
        self._registry.register(_FamiliesCollector())
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    async def render(self, accept: str = "") -> tuple[bytes, str]:
        """Return the page and its content type: OpenMetrics, which has exemplars, if `accept` names it.

        If the store does not answer, `waybill_store_up` is 0 and its statistics are missing.
        """
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if now >= self._cached_until:
                set_queue_gauges(await self._read_statistics())
                self._cached_until = now + CACHE_SECONDS
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    async def _read_statistics(self) -> Struct | None:
        try:
            async with asyncio.timeout(SAMPLE_TIMEOUT_SECONDS):
                return await self._sample()
        except (WaybillError, TimeoutError):
            return None


class _FamiliesCollector(Collector):
    def collect(self) -> Iterator[Metric]:
        return map(collect, FAMILIES)


def set_queue_gauges(sample: Struct | None) -> None:
    """Set the gauges from the store's `QueueStats`. None means that the store did not answer."""
    values: Mapping[str, float] = structs.asdict(sample) if sample is not None else {}
    STORE_UP.set_all({(): float(sample is not None)})
    QUEUE_JOBS.set_all({(state,): values[state] for state in ("due", "deferred", "running") if state in values})
    for gauge, field, divisor in _GAUGES:
        gauge.set_all({(): values[field] / divisor} if field in values else {})


_GAUGES = (
    (EVENTS_PENDING, "pending", 1),
    (PARKED_JOBS, "parked", 1),
    (PARKED_SECONDS, "parked_age_ms", 1_000),
    (OLDEST_EVENT_SECONDS, "oldest_age_ms", 1_000),
    (OLDEST_DUE_SECONDS, "oldest_due_ms", 1_000),
    (DEAD_LETTERS, "dead_letters", 1),
    (WORKERS_ALIVE, "workers", 1),
    (STORE_MEMORY_BYTES, "memory_bytes", 1),
    (STORE_MEMORY_RATIO, "memory_percent", 100),
    (DAMAGED_KEYS, "damaged_keys", 1),
)
