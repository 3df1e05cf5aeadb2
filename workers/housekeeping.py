"""Housekeeping of a worker: heartbeats, queue statistics and sweeps."""

import asyncio
import time

import structlog
from msgspec import structs

from service.errors import StoreNotDurable, StoreUnavailable
from workers.worker import LeaseWorker

SLICES_PER_ROUND = 30
"""So many slices of a long pass go into the time that otherwise lies between two: a million open events are looked at
within minutes, and what ends faster than a slice an interval is still forgotten in time."""

BEATS_MISSED_MAX = 3


async def run_sweeps(worker: LeaseWorker, seconds: float) -> None:
    """Sweep a slice every `seconds`, within a long pass more often, until cancelled; outages are told by the worker."""
    log = structlog.get_logger()
    pause = seconds
    while True:
        await asyncio.sleep(pause)
        pause = seconds
        try:
            swept = await worker.store.sweeper.sweep(worker.name)
        except (StoreUnavailable, StoreNotDurable):
            continue
        if swept is not None and swept.more:
            pause = seconds / SLICES_PER_ROUND
        if swept is not None and swept.counts:
            log_report = log.warning if swept.repaired else log.info
            log_report("store.swept", worker=worker.name, repaired=swept.repaired, **swept.counts)


async def send_heartbeats(worker: LeaseWorker, seconds: float) -> None:
    """Beat and sample every `seconds`, until cancelled; an outage of the store is told by the worker itself."""
    log = structlog.get_logger()
    store = worker.store
    while True:
        now = time.time()
        try:
            await store.queue_stats.heartbeat(worker.name, len(worker.tasks), now, seconds * BEATS_MISSED_MAX)
            sample = await store.sample()
            log.info("queue.sampled", queue=worker.queue_name, worker=worker.name, **structs.asdict(sample))
        except (StoreUnavailable, StoreNotDurable):
            pass
        await asyncio.sleep(seconds)
