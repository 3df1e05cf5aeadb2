"""Worker based on arq, with leases instead of locks and wake-ups instead of polling.

Functions, context, keys and job format are those of arq. arq clients and workers with Waybill's serializer share the
queue; see `service.store.queue.arq_jobs`. Differences:

- One call claims many jobs. arq needs four round trips per job.
- A lease ends soon after its worker crashes. arq's lock lasts 310 s.
- An error causes a retry or a dead letter with the bytes of the job. arq deletes the job.
- SIGTERM releases attempts without counting them. arq counts them.
- An outage of the store does not stop the worker.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from functools import partial
from signal import Signals
from typing import Any, cast

import structlog
from arq.worker import Function, Worker

from service.background import TaskFailures, run_forever
from service.errors import ConfigError, LeaseLost, StoreNotDurable, StoreScriptFailed, StoreUnavailable
from service.metrics.families import LEASES_LOST
from service.store import Job, JobEnd, Shards, Store
from service.store.connection.arq_redis import ShardRedis
from service.store.queue.arq_jobs import decode_payload, encode
from service.throttles.job_slots import HeldJob, current_job
from workers.arq_jobs import ArqJobs
from workers.claims import Claims, ShardQueue

LOST_LEASE_GRACE_SECONDS = 0.5
"""Time for a run to end after its lease was not found: a run that has just ended has no lease either. The store rejects
writes of lost leases."""


class LeaseWorker(Worker):
    """Runs lanes, deferred effects and plain arq functions.

    Functions for jobs with an event write the end of the job themselves; `ctx["job"]` is the `Job`. Plain functions get
    the context of arq, may raise `arq.Retry`, and are retried with backoff after any other exception. Decision record
    0001 lists the methods of `arq.worker.Worker` that this class replaces.
    """

    jobs_complete: int  # arq assigns its counters without types
    jobs_retried: int
    jobs_failed: int

    def __init__(
        self,
        functions: Sequence[Function],
        shards: Shards,
        name: str,
        *,
        ctx: Mapping[str, Any] | None = None,
        burst: bool = False,
        handle_signals: bool = True,
    ) -> None:
        settings = shards.settings
        redis = ShardRedis(
            shards.home.client.servers,
            job_serializer=encode,
            job_deserializer=decode_payload,
            default_queue_name=settings.queue,
        )
        super().__init__(
            functions,
            redis_pool=redis,
            queue_name=settings.queue,
            max_jobs=settings.concurrency,
            max_tries=settings.job_attempts_max,
            job_timeout=settings.attempt_timeout_seconds,
            job_serializer=encode,
            job_deserializer=decode_payload,
            poll_delay=settings.wake_timeout_seconds,
            # Not 0: arq then handles SIGTERM with `handle_sig_wait_for_completion`, which this class overrides.
            job_completion_wait=max(int(settings.drain_timeout_seconds), 1),
            ctx=dict(ctx or {}),
            burst=burst,
            handle_signals=handle_signals,
        )
        self.name = name
        self.shards = shards
        self.queues = [ShardQueue(store, name) for store in _own_shards(shards)]
        self.claims = Claims(self.queues, lambda: len(self.tasks), self._start)
        self.jobs_held: dict[str, Job] = {}
        self.leases_lost = 0
        self._log = structlog.get_logger()
        self._stopping = asyncio.Event()
        self._arq_jobs = ArqJobs(self, settings)

    @property
    def stopping(self) -> bool:
        """Whether a drain has begun. Runs then start no further event."""
        return self._stopping.is_set()

    @property
    def draining_or_isolating(self) -> bool:
        """Whether runs end after their current event: for a drain, or for an event that must run alone."""
        return self.stopping or self.claims.isolating

    def handle_sig_wait_for_completion(self, signum: Signals) -> None:
        """Start the drain: claim no further jobs. `main` returns when all runs have ended or the timeout passes."""
        self._log.info("process.stopping", reason=Signals(signum).name, running=len(self.tasks))
        self._stop()

    async def main(self) -> None:
        """Claim and run jobs until a drain. With `burst`, until the queue is empty and no job is running."""
        self.ctx["redis"], self.ctx["worker"] = self.pool, self
        renewals = [
            asyncio.create_task(run_forever("leases", partial(self._renew_leases, queue))) for queue in self.queues
        ]
        try:
            await self.claims.run(burst=self.burst)
            await self._drain()
        finally:
            for renewal in renewals:
                renewal.cancel()
            await asyncio.gather(*renewals, return_exceptions=True)

    async def close(self) -> None:
        """Wait for running jobs and write their ends. The store closes the connections."""
        self._stop()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)
        for queue in self.queues:
            await queue.job_ends.drain()
            with contextlib.suppress(StoreUnavailable, StoreNotDurable):
                await queue.late_writes.write()
        self._pool = None

    def running_in(self, queue: ShardQueue) -> int:
        """Return the number of jobs of a shard that this worker runs."""
        return sum(key.startswith(_key_of(queue)) for key in self.jobs_held)

    def _stop(self) -> None:
        self.allow_pick_jobs = False
        self._stopping.set()
        self.claims.stop()

    def _start(self, queue: ShardQueue, job: Job) -> None:
        key, lease = _key_of(queue, job), _lease_of(queue, job)
        earlier = self.jobs_held.get(key)
        if earlier is not None:  # this worker lost the lease unnoticed and claimed the job again
            self._lose(queue, earlier)
        self.jobs_held[key] = job
        task = self.loop.create_task(self._run(queue, job))
        self.tasks[lease] = task
        task.add_done_callback(lambda _: self._on_run_end(queue, job, lease))

    def _on_run_end(self, queue: ShardQueue, job: Job, lease: str) -> None:
        del self.tasks[lease]
        self._stop_holding(queue, job)
        self.claims.free_slot()

    async def _renew_leases(self, queue: ShardQueue) -> None:
        # A third: two renewals may fail before a lease ends.
        seconds, failures = self.shards.settings.lease_seconds / 3, TaskFailures("leases")
        while True:
            await asyncio.sleep(seconds)
            held = [job for key, job in self.jobs_held.items() if key.startswith(_key_of(queue))]
            if not held:
                continue
            lost: Sequence[Job] = ()
            with failures.handled():  # writes of runs wait, too; the store rejects them if the lease ends meanwhile
                lost = await queue.leases.renew(held)
            if lost:
                # A run that has just ended has no lease either, and its response has not arrived yet.
                await asyncio.sleep(LOST_LEASE_GRACE_SECONDS)
            for job in lost:
                self._lose(queue, job)

    def _lose(self, queue: ShardQueue, job: Job) -> None:
        # The job may have ended, or have a later, valid lease.
        if self._stop_holding(queue, job):
            self._count_lost()
            self._log.warning("lease.lost", job=job.id, event_id=job.head.id if job.head else None)
            # The run of an event ends its current calls, because a late result is of use. Its next write is rejected.
            if job.head is None:
                self.tasks[_lease_of(queue, job)].cancel()

    def _stop_holding(self, queue: ShardQueue, job: Job) -> bool:
        """Return False if the lease of the job was lost before."""
        key = _key_of(queue, job)
        if self.jobs_held.get(key) is not job:
            return False
        del self.jobs_held[key]
        if self.claims.isolated is job:
            self.claims.isolated = None
        return True

    def _count_lost(self) -> None:
        self.leases_lost += 1
        LEASES_LOST.inc()

    async def _drain(self) -> None:
        if self.tasks:
            await asyncio.wait(list(self.tasks.values()), timeout=self.shards.settings.drain_timeout_seconds)
        tasks = [task for task in self.tasks.values() if not task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=self.shards.settings.lease_seconds)
        for queue in self.queues:
            await queue.job_ends.drain()

    async def _run(self, queue: ShardQueue, job: Job) -> None:
        current_job.set(HeldJob())
        try:
            end = await self._call(queue, job)
            if end is not None and not await queue.job_ends.submit(end):
                self._count_lost()
        except asyncio.CancelledError:
            # Jobs with an event release the event themselves; plain jobs are released here.
            if job.head is None:
                with contextlib.suppress(StoreUnavailable, StoreNotDurable):
                    await queue.job_ends.submit(JobEnd(job.id, job.token, "release"))
        except LeaseLost as error:
            if self._stop_holding(queue, job):
                self._count_lost()
                self._log.warning("lease.lost", job=job.id, event_id=str(error))
            queue.late_writes.add_release(job.id, job.token)  # of a lease that the store still has
        except (StoreUnavailable, StoreNotDurable) as error:
            # The store accepts no writes. The lease expires, and the job runs again from its stored state.
            self._log.error("store.unavailable", job=job.id, error_kind=error.kind, reason=str(error))
            if isinstance(error, StoreScriptFailed):  # the next attempt would fail at once
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self.shards.settings.lease_seconds):
                        await self._stopping.wait()
            queue.late_writes.add_release(job.id, job.token)

    async def _call(self, queue: ShardQueue, job: Job) -> JobEnd | None:
        if job.head is None:
            return await self._arq_jobs.run(job, self.ctx, queue.store.keys.queue)
        # The job id names the lane or event: a damaged payload must not block the event.
        function = cast("Function", self.functions[job.function])
        await function.coroutine({**self.ctx, "job": job, "queue": queue}, job.name)
        self.jobs_complete += 1
        return None


def _own_shards(shards: Shards) -> Sequence[Store]:
    """Return the shards of WAYBILL_WORKER_SHARDS, or all.

    Raises:
        ConfigError: The setting names a shard that does not exist.
    """
    chosen = [name for name in shards.settings.worker_shards.split(",") if name]
    unknown = sorted(set(chosen) - {store.name for store in shards.stores})
    if unknown:
        fix = f"name shards from {shards.stores[0].name} to {shards.stores[-1].name}"
        raise ConfigError("WAYBILL_WORKER_SHARDS", f"there is no shard {', '.join(unknown)}", fix)
    return [store for store in shards.stores if not chosen or store.name in chosen]


def _key_of(queue: ShardQueue, job: Job | None = None) -> str:
    """Return the key of a held job, or without one the prefix of all keys. Plain jobs of two shards can have one id."""
    return f"{queue.store.name} {job.id if job else ''}"


def _lease_of(queue: ShardQueue, job: Job) -> str:
    """Return the name of the task of a run. One job can run twice: under a lost lease and under a new one."""
    return f"{job.token} {_key_of(queue, job)}"
