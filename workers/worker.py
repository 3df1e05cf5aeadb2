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
import random
from collections.abc import Coroutine, Mapping, Sequence
from signal import Signals
from typing import Any, cast

import structlog
from arq.connections import ArqRedis
from arq.worker import Function, Worker

from service.background import TaskFailures, run_forever
from service.errors import LeaseLost, StoreNotDurable, StoreScriptFailed, StoreUnavailable
from service.metrics.families import LEASES_LOST
from service.outage_log import OutageLog
from service.store import Job, JobEnd, Store
from service.store.connection.batching import Batcher
from service.store.queue.arq_jobs import decode_payload, encode
from workers.arq_jobs import ArqJobs
from workers.late_writes import LateWrites

OUTAGE_PAUSE_SECONDS_MAX = 1.0
"""Longest delay between two claims during an outage of the store."""
BURST_WAIT_SECONDS_MAX = 0.05
"""Longest delay between two claims with `burst`: jobs of other processes are found within this time."""
CLAIM_MAX = 200
"""Jobs per claim."""
CLAIM_PARTS = 4
"""A claim takes at most one part in `CLAIM_PARTS` of the concurrency. Jobs of one claim write at the same time; with
four groups, one group computes while another waits for the store."""
NO_CLAIMS = "the worker claims no job"
"""Effect of an outage, for the log."""
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
        store: Store,
        name: str,
        *,
        ctx: Mapping[str, Any] | None = None,
        burst: bool = False,
        handle_signals: bool = True,
    ) -> None:
        settings = store.settings
        redis = ArqRedis(
            connection_pool=store.client.pool,
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
        self.store = store
        self.leases = store.leases(name)
        self._claim_max = min(max(settings.concurrency // CLAIM_PARTS, 1), CLAIM_MAX)
        self.jobs_held: dict[str, Job] = {}
        self.leases_lost = 0
        self._outage = OutageLog(NO_CLAIMS)
        self._suspect = ""
        self._isolated = ""
        self.late_writes = LateWrites(store, self.leases)
        self._log = structlog.get_logger()
        self._stopping = asyncio.Event()
        self._slot_freed = asyncio.Event()
        self._arq_jobs = ArqJobs(self, settings)
        self._job_ends: Batcher[JobEnd, bool] = Batcher(
            self.leases.finish, settings.store_batch_max, settings.store_batches_in_flight_max
        )

    @property
    def stopping(self) -> bool:
        """Whether a drain has begun. Runs then start no further event."""
        return self._stopping.is_set()

    @property
    def draining_or_isolating(self) -> bool:
        """Whether runs end after their current event: for a drain, or for an event that must run alone."""
        return self.stopping or bool(self._suspect or self._isolated)

    def handle_sig_wait_for_completion(self, signum: Signals) -> None:
        """Start the drain: claim no further jobs. `main` returns when all runs have ended or the timeout passes."""
        self._log.info("process.stopping", reason=Signals(signum).name, running=len(self.tasks))
        self.allow_pick_jobs = False
        self._stopping.set()

    async def main(self) -> None:
        """Claim and run jobs until a drain. With `burst`, until the queue is empty and no job is running."""
        self.ctx["redis"], self.ctx["worker"] = self.pool, self
        renewal = asyncio.create_task(run_forever("leases", self._renew_leases))
        try:
            while self.allow_pick_jobs and await self._claim():
                pass
            await self._drain()
        finally:
            renewal.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await renewal

    async def close(self) -> None:
        """Wait for running jobs and write their ends. The store closes the connections."""
        self.allow_pick_jobs = False
        self._stopping.set()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)
        await self._job_ends.drain()
        with contextlib.suppress(StoreUnavailable, StoreNotDurable):
            await self.late_writes.write()
        self._pool = None

    async def _claim(self) -> bool:
        free_slots = self.max_jobs - len(self.tasks)
        # A suspect event starts when no job is running, so no other job is claimed until then.
        if free_slots <= 0 or (self.tasks and self.draining_or_isolating):
            self._slot_freed.clear()
            await self._wait_or_drain(self._slot_freed.wait())
            return True
        try:
            await self.late_writes.write()
            claimed = await self.leases.claim(min(free_slots, self._claim_max), len(self.tasks), self._suspect)
            self._suspect = claimed.suspect
            self._outage.end()
            for job in claimed.jobs:
                self._start(job)
            if claimed.jobs or claimed.suspect:
                return True
            if self.burst:
                return await self._wait_in_burst(claimed.seconds_until_due(BURST_WAIT_SECONDS_MAX))
            seconds = claimed.seconds_until_due(self.store.settings.wake_timeout_seconds)
            await self._wait_or_drain(self.leases.wait(seconds))
        except (StoreUnavailable, StoreNotDurable) as error:
            await self._pause_in_outage(error)
        return True

    def _start(self, job: Job) -> None:
        earlier = self.jobs_held.get(job.id)
        if earlier is not None:  # this worker lost the lease unnoticed and claimed the job again
            self._lose(earlier)
        self.jobs_held[job.id] = job
        self._isolated = job.id if self.leases.is_suspect(job) else self._isolated
        task = self.loop.create_task(self._run(job))
        self.tasks[_lease_of(job)] = task
        task.add_done_callback(lambda _: self._on_run_end(job))

    def _on_run_end(self, job: Job) -> None:
        del self.tasks[_lease_of(job)]
        self._stop_holding(job)
        self._slot_freed.set()

    async def _wait_in_burst(self, seconds: float) -> bool:
        """Return False if the queue is empty and no job is running. Otherwise wait for a free slot or `seconds`."""
        if not self.tasks and not await self.pool.zcard(self.queue_name):
            return False
        self._slot_freed.clear()
        await self._wait_or_drain(self._slot_freed.wait(), seconds)
        return True

    async def _wait_or_drain(self, waiting: Coroutine[Any, Any, object], seconds_max: float | None = None) -> None:
        """Wait for `waiting`, a drain or `seconds_max`, whichever is first. Raises the error of `waiting`."""
        task, stop = asyncio.ensure_future(waiting), asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((task, stop), timeout=seconds_max, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
            task.cancel()
            outcome = (await asyncio.gather(task, stop, return_exceptions=True))[0]
        if isinstance(outcome, Exception):
            raise outcome

    async def _pause_in_outage(self, error: StoreUnavailable | StoreNotDurable) -> None:
        self._outage.begin(error)
        await self._wait_or_drain(asyncio.sleep(random.uniform(0.05, OUTAGE_PAUSE_SECONDS_MAX)))  # noqa: S311 - jitter

    async def _renew_leases(self) -> None:
        # A third: two renewals may fail before a lease ends.
        seconds, failures = self.store.settings.lease_seconds / 3, TaskFailures("leases")
        while True:
            await asyncio.sleep(seconds)
            held = list(self.jobs_held.values())
            if not held:
                continue
            lost: Sequence[Job] = ()
            with failures.handled():  # writes of runs wait, too; the store rejects them if the lease ends meanwhile
                lost = await self.leases.renew(held)
            if lost:
                # A run that has just ended has no lease either, and its response has not arrived yet.
                await asyncio.sleep(LOST_LEASE_GRACE_SECONDS)
            for job in lost:
                self._lose(job)

    def _lose(self, job: Job) -> None:
        # The job may have ended, or have a later, valid lease.
        if self._stop_holding(job):
            self._count_lost()
            self._log.warning("lease.lost", job=job.id, event_id=job.head.id if job.head else None)
            # The run of an event ends its current calls, because a late result is of use. Its next write is rejected.
            if job.head is None:
                self.tasks[_lease_of(job)].cancel()

    def _stop_holding(self, job: Job) -> bool:
        """Return False if the lease of the job was lost before."""
        if self.jobs_held.get(job.id) is not job:
            return False
        del self.jobs_held[job.id]
        self._isolated = "" if self._isolated == job.id else self._isolated
        return True

    def _count_lost(self) -> None:
        self.leases_lost += 1
        LEASES_LOST.inc()

    async def _drain(self) -> None:
        if self.tasks:
            await asyncio.wait(list(self.tasks.values()), timeout=self.store.settings.drain_timeout_seconds)
        tasks = [task for task in self.tasks.values() if not task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=self.store.settings.lease_seconds)
        await self._job_ends.drain()

    async def _run(self, job: Job) -> None:
        try:
            end = await self._call(job)
            if end is not None and not await self._job_ends.submit(end):
                self._count_lost()
        except asyncio.CancelledError:
            # Jobs with an event release the event themselves; plain jobs are released here.
            if job.head is None:
                with contextlib.suppress(StoreUnavailable, StoreNotDurable):
                    await self._job_ends.submit(JobEnd(job.id, job.token, "release"))
        except LeaseLost as error:
            if self._stop_holding(job):
                self._count_lost()
                self._log.warning("lease.lost", job=job.id, event_id=str(error))
            self.late_writes.add_release(job.id, job.token)  # of a lease that the store still has
        except (StoreUnavailable, StoreNotDurable) as error:
            # The store accepts no writes. The lease expires, and the job runs again from its stored state.
            self._log.error("store.unavailable", job=job.id, error_kind=error.kind, reason=str(error))
            if isinstance(error, StoreScriptFailed):  # the next attempt would fail at once
                await self._wait_or_drain(asyncio.sleep(self.store.settings.lease_seconds))
            self.late_writes.add_release(job.id, job.token)

    async def _call(self, job: Job) -> JobEnd | None:
        if job.head is not None:
            # The job id names the lane or event: a damaged payload must not block the event.
            await cast("Function", self.functions[job.function]).coroutine({**self.ctx, "job": job}, job.name)
            self.jobs_complete += 1
            return None
        return await self._arq_jobs.run(job, self.ctx)


def _lease_of(job: Job) -> str:
    """Return the name of the task of a run. One job can run twice: under a lost lease and under a new one."""
    return f"{job.token} {job.id}"
