"""The sweep's rhythm: each worker offers itself, the store lets one at a time; what was mended is told."""

import asyncio

import structlog

from service.errors import StoreNotDurable, StoreUnavailable
from workers.worker import LeaseWorker

SLICES_PER_ROUND = 30
"""So many slices of a long pass go into the time that otherwise lies between two: a million open events are looked at
within minutes, and what ends faster than a slice an interval is still forgotten in time."""


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
