"""Metrics page for Prometheus: all families, process metrics, and queue statistics at most one second old.

The service and the workers both read the queue statistics, so that they are available without running workers.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import TypeVar

from msgspec import Struct, structs
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from service.errors import WaybillError
from service.metrics.families import (
    BUILD_INFO,
    CIRCUIT_OPEN,
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

AnswerT = TypeVar("AnswerT")

CACHE_SECONDS = 1.0
SAMPLE_TIMEOUT_SECONDS = 2.0


Statistics = Callable[[], Awaitable[Sequence[Struct | None]]]
"""Reads the `QueueStats` of each shard; None for a store that did not answer."""

CircuitName = tuple[str | None, str | None]
"""Platform account or destination; the other one is None."""

Circuits = Callable[[], Awaitable[Mapping[CircuitName, float]]]
"""Reads the seconds until the next probe of each circuit with recent failures. 0: closed."""


class MetricsPage:
    """Metrics page of one process. `shards` are the indexes of the stores that `read_statistics` reads.

    `events_max` limits the pending events of a shard.
    """

    def __init__(
        self,
        component: str,
        read_statistics: Statistics,
        events_max: int,
        shards: Sequence[int] = (0,),
        read_circuits: Circuits | None = None,
    ) -> None:
        self._read_statistics = read_statistics
        self._read_circuits = read_circuits
        self._shards = shards
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

        If a store does not answer, its `waybill_store_up` is 0 and its statistics are missing.
        """
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if now >= self._cached_until:
                statistics = await _answer_of(self._read_statistics) or [None] * len(self._shards)
                set_queue_gauges(dict(zip(self._shards, statistics, strict=False)))
                if self._read_circuits:
                    set_circuits(await _answer_of(self._read_circuits) or {})
                self._cached_until = now + CACHE_SECONDS
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


async def _answer_of(read: Callable[[], Awaitable[AnswerT]]) -> AnswerT | None:
    try:
        async with asyncio.timeout(SAMPLE_TIMEOUT_SECONDS):
            return await read()
    except (WaybillError, TimeoutError):
        return None


class _FamiliesCollector(Collector):
    def collect(self) -> Iterator[Metric]:
        return map(collect, FAMILIES)


def set_queue_gauges(statistics: Mapping[int, Struct | None]) -> None:
    """Set the gauges from the `QueueStats` of each shard. None means that its store did not answer."""
    shards: dict[str, dict[str, float]] = {
        str(shard): structs.asdict(each) for shard, each in statistics.items() if each is not None
    }
    STORE_UP.set_all({(str(shard),): float(each is not None) for shard, each in statistics.items()})
    states = ("due", "deferred", "running")
    QUEUE_JOBS.set_all({(shard, state): values[state] for shard, values in shards.items() for state in states})
    for gauge, field, divisor in _GAUGES:
        gauge.set_all({(shard,): values[field] / divisor for shard, values in shards.items()})
    servers = {shard: values for shard, values in shards.items() if values["memory_bytes"]}
    STORE_MEMORY_BYTES.set_all({(shard,): values["memory_bytes"] for shard, values in servers.items()})
    STORE_MEMORY_RATIO.set_all({(shard,): values["memory_percent"] / 100 for shard, values in servers.items()})


def set_circuits(circuits: Mapping[CircuitName, float]) -> None:
    """Set the gauge of the circuits from the seconds until their next probe."""
    CIRCUIT_OPEN.set_all({name: float(seconds > 0) for name, seconds in circuits.items()})


_GAUGES = (
    (EVENTS_PENDING, "pending", 1),
    (PARKED_JOBS, "parked", 1),
    (PARKED_SECONDS, "parked_age_ms", 1_000),
    (OLDEST_EVENT_SECONDS, "oldest_age_ms", 1_000),
    (OLDEST_DUE_SECONDS, "oldest_due_ms", 1_000),
    (DEAD_LETTERS, "dead_letters", 1),
    (WORKERS_ALIVE, "workers", 1),
    (DAMAGED_KEYS, "damaged_keys", 1),
)
