"""The worker's pulse: its heartbeat in the store, and a `queue.sampled` line for the dashboards, which always ticks."""

import asyncio
import time

import structlog
from msgspec import structs

from service.errors import StoreNotDurable, StoreUnavailable
from workers.worker import LeaseWorker

BEATS_MISSED_MAX = 3


async def send_heartbeats(worker: LeaseWorker, seconds: float) -> None:
    """Beat and sample every `seconds`, until cancelled; an outage of the store is told by the worker itself."""
    log = structlog.get_logger()
    store = worker.store
    while True:
        now = time.time()
        try:
            await store.sampler.heartbeat(worker.name, len(worker.tasks), now, seconds * BEATS_MISSED_MAX)
            sample = await store.sample()
            log.info("queue.sampled", queue=worker.queue_name, worker=worker.name, **structs.asdict(sample))
        except (StoreUnavailable, StoreNotDurable):
            pass
        await asyncio.sleep(seconds)
