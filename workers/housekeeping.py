"""Housekeeping of a worker: heartbeats, queue statistics and sweeps."""

import asyncio
import time

import structlog
from msgspec import structs

from service.errors import StoreNotDurable, StoreUnavailable
from workers.worker import LeaseWorker

BATCHES_PER_INTERVAL = 30
"""Batches per sweep interval while a pass has more items. A pass over a million pending events takes minutes."""

MISSED_HEARTBEATS_MAX = 3


async def run_sweeps(worker: LeaseWorker, seconds: float) -> None:
    """Sweep one batch every `seconds`, more often within a long pass, until cancelled. The worker logs outages."""
    log = structlog.get_logger()
    pause_seconds = seconds
    while True:
        await asyncio.sleep(pause_seconds)
        pause_seconds = seconds
        try:
            swept = await worker.store.sweeper.sweep(worker.name)
        except (StoreUnavailable, StoreNotDurable):
            continue
        if swept is not None and swept.more:
            pause_seconds = seconds / BATCHES_PER_INTERVAL
        if swept is not None and swept.counts:
            log_report = log.warning if swept.repaired else log.info
            log_report("store.swept", worker=worker.name, repaired=swept.repaired, **swept.counts)


async def send_heartbeats(worker: LeaseWorker, seconds: float) -> None:
    """Send a heartbeat and log queue statistics every `seconds`, until cancelled. The worker logs outages."""
    log = structlog.get_logger()
    store = worker.store
    while True:
        now = time.time()
        try:
            await store.queue_stats.heartbeat(worker.name, len(worker.tasks), now, seconds * MISSED_HEARTBEATS_MAX)
            sample = await store.sample()
            log.info("queue.sampled", queue=worker.queue_name, worker=worker.name, **structs.asdict(sample))
        except (StoreUnavailable, StoreNotDurable):
            pass
        await asyncio.sleep(seconds)
