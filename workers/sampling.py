"""The worker's pulse: its heartbeat in the store, and a `queue.sampled` line for the dashboards, which always ticks."""

import asyncio
import time

import structlog
from msgspec import structs

from service.errors import StoreUnavailable, StoreUnsafe
from workers.worker import LeaseWorker

BEATS_MISSED_MAX = 3


async def beat(worker: LeaseWorker, seconds: float) -> None:
    """Beat and sample every `seconds`, until cancelled; an outage of the store is told by the worker itself."""
    log = structlog.get_logger()
    store = worker.store
    while True:
        now = time.time()
        try:
            await store.sampler.beat(worker.name, len(worker.tasks), now, seconds * BEATS_MISSED_MAX)
            sample = await store.sample()
            log.info("queue.sampled", queue=worker.queue_name, worker=worker.name, **structs.asdict(sample))
        except (StoreUnavailable, StoreUnsafe):
            pass
        await asyncio.sleep(seconds)
