"""The sweep's rhythm: each worker offers itself, the store lets one at a time; what was mended is told."""

import asyncio

import structlog

from service.errors import StoreUnavailable, StoreUnsafe
from workers.worker import LeaseWorker


async def sweep(worker: LeaseWorker, seconds: float) -> None:
    """Sweep a slice every `seconds`, until cancelled; an outage of the store is told by the worker itself."""
    log = structlog.get_logger()
    while True:
        await asyncio.sleep(seconds)
        try:
            swept = await worker.store.sweeper.sweep(worker.name)
        except (StoreUnavailable, StoreUnsafe):
            continue
        if swept is not None and swept.counts:
            tell = log.warning if swept.mended else log.info
            tell("store.swept", worker=worker.name, mended=swept.mended, **swept.counts)
