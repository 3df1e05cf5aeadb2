"""Housekeeping of a worker: heartbeats, health of arq, queue statistics and sweeps."""

import asyncio
import time
from functools import partial

import structlog
from msgspec import structs

from service.background import TaskFailures, run_forever
from service.clock_difference import ClockCheck
from service.store import Store
from workers.worker import LeaseWorker

CHECKS_PER_INTERVAL = 4
"""Batches of a shard per sweep interval while a pass has more items. All shards share the size of a batch, and take a
thousandth of the store's time. A pass over 10,000 pending events takes three minutes, over a million four hours."""
REMOVALS_PER_INTERVAL = 30
"""Batches per sweep interval while expired data are left. Removals must keep pace with arrivals."""
REBUILD_PAUSE_SECONDS = 0.05
"""Delay between two parts while indexes are rebuilt. A million events take ten minutes; deliveries go on meanwhile."""

MISSED_HEARTBEATS_MAX = 3


async def run_sweeps(worker: LeaseWorker, seconds: float) -> None:
    """Sweep all shards until cancelled."""
    async with asyncio.TaskGroup() as group:
        for store in worker.shards.stores:
            group.create_task(run_forever(f"sweep {store.name}", partial(sweep_shard, store, worker.name, seconds)))


async def sweep_shard(store: Store, worker: str, seconds: float) -> None:
    """Sweep one batch every `seconds`, more often within a long pass, until cancelled."""
    log, failures = structlog.get_logger(), TaskFailures("sweep")
    pause_seconds = seconds
    while True:
        await asyncio.sleep(pause_seconds)
        pause_seconds = seconds
        swept = None
        with failures.handled():
            swept = await store.sweeper.sweep(worker)
        if swept is not None and swept.more:
            pause_seconds = seconds / (REMOVALS_PER_INTERVAL if swept.expired_left else CHECKS_PER_INTERVAL)
        if swept is not None and swept.rebuilding:
            pause_seconds = min(pause_seconds, REBUILD_PAUSE_SECONDS)
        if swept is not None and swept.counts:
            log_report = log.warning if swept.repaired else log.info
            log_report("store.swept", shard=store.name, worker=worker, repaired=swept.repaired, **swept.counts)


async def send_heartbeats(worker: LeaseWorker, seconds: float) -> None:
    """Send a heartbeat and log queue statistics every `seconds`, until cancelled."""
    log = structlog.get_logger()
    shards, clock, failures = worker.shards, ClockCheck(), TaskFailures("heartbeat")
    while True:
        with failures.handled():
            difference = await clock.measure(shards)
            now = time.time() + difference
            beats = (
                queue.store.queue_stats.heartbeat(
                    worker.name, worker.running_in(queue), now, seconds * MISSED_HEARTBEATS_MAX, difference
                )
                for queue in worker.queues
            )
            await asyncio.gather(*beats)
            sample = await shards.sample()
            await record_health(worker, sample.due + sample.deferred + sample.running, seconds * MISSED_HEARTBEATS_MAX)
            log.info("queue.sampled", queue=worker.queue_name, worker=worker.name, **structs.asdict(sample))
        await asyncio.sleep(seconds)


async def record_health(worker: LeaseWorker, queued: int, seconds_max: float) -> None:
    """Write the health key of arq, which `arq --check` reads. It expires after `seconds_max`.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    health = (
        f"{time.strftime('%b-%d %H:%M:%S')} j_complete={worker.jobs_complete} j_failed={worker.jobs_failed} "
        f"j_retried={worker.jobs_retried} j_ongoing={len(worker.tasks)} queued={queued}"
    )
    await worker.shards.home.client.command("SET", worker.health_check_key, health, "PX", int(seconds_max * 1000))
