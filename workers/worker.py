"""arq's worker with its claiming, running and finishing replaced: leases instead of locks, wake-ups instead of polls.

What is arq's stays arq's: the registered functions, the context, the keys and the job format, so that plain producers,
`arq.jobs.Job` and plain workers live beside it. What changed, and why: a claim takes many jobs in one call (arq needs
four round trips each, in series), a lease ends with its holder (arq's lock lives 310 s), an error is a retry or is
buried with its bytes (arq deletes the job), SIGTERM gives attempts back (arq counts them), an outage is ridden out.
"""

import asyncio
import contextlib
import random
from collections.abc import Coroutine, Sequence
from signal import Signals
from typing import Any, cast

import structlog
from arq.connections import ArqRedis
from arq.worker import Function, Worker

from service.errors import LeaseLost, StoreNotDurable, StoreUnavailable
from service.metrics.families import JOBS_DEAD_LETTERED, LEASES_LOST
from service.store import Job, JobEnd, Store
from service.store.connection.batching import Batcher
from service.store.queue.arq_jobs import decode_payload, encode
from workers.arq_jobs import ArqJobs
from workers.background import run_forever

OUTAGE_PAUSE_SECONDS_MAX = 1.0
CLAIM_JOBS_MAX = 200
CLAIM_PARTS = 4
"""A claim takes up at most so small a part of the jobs that may run at once. Jobs claimed together write together, and
nobody computes while all of them wait for the store; of four groups one waits while another computes."""
CROSSED_SECONDS = 0.5
"""A run that still goes on so long after its lease was not found has lost it; what it writes meanwhile is refused."""


class LeaseWorker(Worker):
    """Runs our lanes and effects, and any plain arq function registered beside them.

    Functions of ours (their jobs carry an event) write their own end into the store; `ctx["job"]` is the `Job`. Plain
    functions see arq's usual context, may raise `arq.Retry`, and are retried with back-off on any other exception.
    """

    def __init__(self, functions: Sequence[Function], store: Store, name: str, **options: Any) -> None:  # noqa: ANN401 - those of arq
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
            max_tries=settings.attempts_max,
            job_timeout=settings.attempt_timeout_seconds,
            job_serializer=encode,
            job_deserializer=decode_payload,
            poll_delay=settings.wake_timeout_seconds,
            # Any value but 0 makes arq listen for SIGTERM with the handler that waits, which is replaced below.
            job_completion_wait=max(int(settings.drain_timeout_seconds), 1),
            **options,
        )
        self.name = name
        self.store = store
        self.leases = store.leases(name)
        self._claim_max = min(max(settings.concurrency // CLAIM_PARTS, 1), CLAIM_JOBS_MAX)
        self.held: dict[str, Job] = {}
        self.jobs_run = 0
        self.leases_lost = 0
        self.outage = False
        self._suspect = ""
        self._alone = ""
        self._left: list[JobEnd] = []
        self._log = structlog.get_logger()
        self._stopping = asyncio.Event()
        self._freed = asyncio.Event()
        self._plain = ArqJobs(self, settings)
        self._endings: Batcher[JobEnd, bool] = Batcher(
            self.leases.finish, settings.store_batch_max, settings.store_batches_in_flight_max
        )

    @property
    def stopping(self) -> bool:
        """Whether a drain has begun; runs then take no further event."""
        return self._stopping.is_set()

    @property
    def draining_or_isolating(self) -> bool:
        """Whether runs are to end with the event they have: a drain, or an event that may run beside nothing else."""
        return self.stopping or bool(self._suspect or self._alone)

    def handle_sig_wait_for_completion(self, signum: Signals) -> None:
        """Begin the drain: no further claims; `main` ends when the runs under way have, or their time is up."""
        self._log.info("process.stopping", reason=Signals(signum).name, running=len(self.tasks))
        self.allow_pick_jobs = False
        self._stopping.set()

    async def main(self) -> None:
        """Claim and run until a drain, or, with `burst`, until nothing is due and nothing runs."""
        self.ctx["redis"], self.ctx["worker"] = self.pool, self
        if self.on_startup:
            await self.on_startup(self.ctx)
        renewing = asyncio.create_task(run_forever("leases", self._renew))
        try:
            while self.allow_pick_jobs and await self._turn():
                pass
            await self._drain()
        finally:
            renewing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await renewing

    async def close(self) -> None:
        """Leave: runs are over by now; the connections belong to the store."""
        self.allow_pick_jobs = False
        self._stopping.set()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)
        await self._endings.drain()
        if self.on_shutdown:
            await self.on_shutdown(self.ctx)
        self._pool = None

    async def _turn(self) -> bool:
        free_slots = self.max_jobs - len(self.tasks)
        # A suspect waits for empty hands, and nothing is claimed meanwhile that would keep them full.
        if free_slots <= 0 or (self.tasks and self.draining_or_isolating):
            self._freed.clear()
            await self._first(self._freed.wait())
            return True
        try:
            await self._give_back()
            taken = await self.leases.claim(min(free_slots, self._claim_max), len(self.tasks), self._suspect)
            self._suspect = taken.suspect
            self._recovered()
            for job in taken.jobs:
                self._start(job)
            if taken.jobs or taken.suspect:
                return True
            if self.burst:
                return await self._burst()
            await self._idle(taken.now_ms, taken.due_ms)
        except (StoreUnavailable, StoreNotDurable) as error:
            await self._ride_out(error)
        return True

    async def _give_back(self) -> None:
        """Give back what runs had to leave in an outage: it uses up no attempt, and counts as nobody's death."""
        if left := self._left[:CLAIM_JOBS_MAX]:
            await self.leases.finish(left, seconds_max=0)
            del self._left[: len(left)]

    def _start(self, job: Job) -> None:
        earlier = self.held.get(job.id)
        if earlier is not None:  # lost without our notice, and now ours again under another lease
            self._lose(job.id, earlier.token)
        self.held[job.id] = job
        self._alone = job.id if self.leases.is_suspect(job) else self._alone
        task = self.loop.create_task(self._run(job))
        self.tasks[_lease_of(job)] = task
        task.add_done_callback(lambda _: self._ended(job))

    def _ended(self, job: Job) -> None:
        del self.tasks[_lease_of(job)]
        if self.held.get(job.id) is job:
            del self.held[job.id]
            self._alone = "" if self._alone == job.id else self._alone
        self._freed.set()

    async def _idle(self, now_ms: int, due_ms: int | None) -> None:
        seconds = self.store.settings.wake_timeout_seconds
        if due_ms is not None:
            # By the store's clock alone: this machine's may be wrong. Never 0, or the loop would only spin.
            seconds = min(seconds, max((due_ms - now_ms) / 1000, 0.001))
        await self._first(self.leases.wait(seconds))

    async def _burst(self) -> bool:
        if not self.tasks:
            return await self.pool.zcard(self.queue_name) > 0
        await asyncio.sleep(0.001)
        return True

    async def _first(self, waiting: Coroutine[Any, Any, object]) -> None:
        """Wait for `waiting` or for a drain, whichever is first; an error of `waiting` is raised."""
        task, stop = asyncio.ensure_future(waiting), asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
            task.cancel()
            outcome = (await asyncio.gather(task, stop, return_exceptions=True))[0]
        if isinstance(outcome, Exception):
            raise outcome

    async def _ride_out(self, error: Exception) -> None:
        if not self.outage:
            self._log.error("store.unavailable", error_kind=getattr(error, "kind", "store"), reason=str(error))
        self.outage = True
        await self._first(asyncio.sleep(random.uniform(0.05, OUTAGE_PAUSE_SECONDS_MAX)))  # noqa: S311 - spreads a fleet

    def _recovered(self) -> None:
        if self.outage:
            self._log.info("store.recovered")
        self.outage = False

    async def _renew(self) -> None:
        # Two renewals may fail before a lease ends.
        seconds = self.store.settings.lease_seconds / 3
        while True:
            await asyncio.sleep(seconds)
            leases = [(job.id, job.token) for job in self.held.values()]
            if not leases:
                continue
            try:
                lost = await self.leases.renew(leases)
            except (StoreUnavailable, StoreNotDurable):
                continue  # the runs' own writes wait as well; if the lease ends meanwhile they are refused
            if lost:
                # A run that has just ended holds no lease either, and the answer that says so is on its way.
                await asyncio.sleep(CROSSED_SECONDS)
            for job_id in lost:
                self._lose(job_id, dict(leases)[job_id])

    def _lose(self, job_id: str, token: str) -> None:
        job = self.held.get(job_id)
        # Another token is a later lease on the same job, and lives.
        if job is not None and job.token == token:
            self._count_lost()
            self._log.warning("lease.lost", job=job_id, event_id=job.head.id if job.head else None)
            self.tasks[_lease_of(job)].cancel()

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
        await self._endings.drain()

    async def _run(self, job: Job) -> None:
        try:
            ending = await self._call(job)
            if ending is not None and not await self._endings.submit(ending):
                self._count_lost()
        except asyncio.CancelledError:
            # Runs of ours give their event back themselves; a plain job has nobody else to do it.
            if job.head is None:
                with contextlib.suppress(StoreUnavailable, StoreNotDurable):
                    await self._endings.submit(JobEnd(job.id, job.token, "release"))
        except LeaseLost as error:
            self._count_lost()
            self._log.warning("lease.lost", job=job.id, event_id=str(error))
        except (StoreUnavailable, StoreNotDurable) as error:
            # Nothing more can be written; the lease ends by itself and the job is run again from what is stored.
            self._left.append(JobEnd(job.id, job.token, "release"))
            self._log.error("store.unavailable", job=job.id, error_kind=error.kind, reason=str(error))

    async def _call(self, job: Job) -> JobEnd | None:
        if job.head is not None:
            # What such a job is for stands in its id; a damaged payload must not keep the event from its end.
            await cast("Function", self.functions[job.function]).coroutine({**self.ctx, "job": job}, job.name)
            self.jobs_run += 1
            return None
        ending = await self._plain.run(job, self.ctx)
        self.jobs_run += 1
        if ending.step == "bury":
            JOBS_DEAD_LETTERED.inc()
            self._log.error("job.dead_lettered", job=job.id, reason=ending.argument)
        return ending


def _lease_of(job: Job) -> str:
    """The name of a run among the worker's tasks: the same job can be run twice, under a lost lease and a new one."""
    return f"{job.token} {job.id}"
