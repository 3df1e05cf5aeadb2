"""Claims of a worker: the due jobs of its shards, in turn.

Each shard has a task, which sleeps until a job is due or an event wakes the shard. The shards of one server claim one
after the other, in the order in which they became ready: a shard with many jobs cannot delay the others, and a server
that does not answer delays only its own shards.
"""

import asyncio
import contextlib
import math
import random
import time
from collections.abc import Callable, Sequence

from service.errors import StoreNotDurable, StoreUnavailable
from service.outage_log import OutageLog
from service.store import Job, JobEnd, Store
from service.store.connection.batching import Batcher
from service.store.connection.server import Server
from service.store.queue.leases import ClaimResult
from workers.late_writes import LateWrites

OUTAGE_PAUSE_SECONDS_MAX = 1.0
"""Longest delay between two claims during an outage of the store."""
BURST_CHECK_SECONDS = 0.05
"""Longest delay between two checks with `burst` whether all queues are empty, or have jobs of arq's client."""
CLAIM_MAX = 200
"""Jobs per claim."""
CLAIM_PARTS = 4
"""A claim takes at most one part in `CLAIM_PARTS` of the concurrency. Jobs of one claim write at the same time; with
four groups, one group computes while another waits for the store."""
LATE_WAKE_SECONDS = 0.01
"""Pause after a token of a shard that claims anyway: its tokens are not worth a call each."""
NO_CLAIMS = "the worker claims no job"
"""Effect of an outage, for the log."""


class ShardQueue:
    """Queue of one shard: leases, ends of plain jobs, late writes, and the time of the next claim."""

    def __init__(self, store: Store, worker: str) -> None:
        settings = store.settings
        self.store = store
        self.leases = store.leases(worker)
        self.late_writes = LateWrites(store, self.leases)
        self.job_ends: Batcher[JobEnd, bool] = Batcher(
            self.leases.finish, settings.store_batch_max, settings.store_batches_in_flight_max
        )
        self.wake_key = store.keys.named("wake")
        self.woken = asyncio.Event()
        self.due_at = 0.0  # monotonic
        self.first_ms = 0.0
        """Due time of the first job after the last claim, by the store's clock."""

    @property
    def is_ready(self) -> bool:
        """Whether the next claim is due."""
        return self.woken.is_set() or time.monotonic() >= self.due_at


class Claims:
    """Claims jobs for one worker until `stop`.

    `running` returns the number of running jobs, and `start` starts a claimed one.
    """

    def __init__(
        self, queues: Sequence[ShardQueue], running: Callable[[], int], start: Callable[[ShardQueue, Job], None]
    ) -> None:
        settings = queues[0].store.settings
        self._queues = queues
        self._running = running
        self._start = start
        self._concurrency = settings.concurrency
        self._claim_max = min(max(settings.concurrency // CLAIM_PARTS, 1), CLAIM_MAX)
        self._idle_seconds_max = settings.wake_timeout_seconds
        self._reserved = 0
        self._in_flight = 0
        self._started = 0
        self._turns: dict[Server, asyncio.Lock] = {}
        self._slot_freed = asyncio.Event()
        self._last_ended = asyncio.Event()
        self._stopping = asyncio.Event()
        self._failing: set[ShardQueue] = set()
        self._outage = OutageLog(NO_CLAIMS)
        self._suspects: set[ShardQueue] = set()
        self.isolated: Job | None = None

    @property
    def isolating(self) -> bool:
        """Whether an event must run alone, or runs alone."""
        return bool(self._suspects or self.isolated)

    @property
    def claiming(self) -> bool:
        """Whether a claim is in progress."""
        return self._in_flight > 0

    async def run(self, *, burst: bool) -> None:
        """Claim jobs until `stop`; with `burst` until all queues are empty and no job is running."""
        loops = [asyncio.create_task(self._serve(queue)) for queue in self._queues]
        watches = [asyncio.create_task(self._watch(group)) for group in self._wake_groups()]
        over = asyncio.create_task(self._wait_until_empty() if burst else self._wait_for(self._stopping.is_set))
        try:
            await asyncio.wait((over, *loops, *watches), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.stop()
            for task in (over, *watches):
                task.cancel()
            # A claim in progress is not cancelled: its jobs would wait for the end of their leases.
            results = await asyncio.gather(*loops, *watches, over, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    def stop(self) -> None:
        """Claim no further jobs."""
        self._stopping.set()
        self._slot_freed.set()
        for queue in self._queues:
            queue.woken.set()

    def free_slot(self) -> None:
        """Note that a job ended."""
        self._slot_freed.set()
        if not self._running() and not any(queue.is_ready for queue in self._queues):
            self._last_ended.set()

    async def _serve(self, queue: ShardQueue) -> None:
        # Checked before each sleep: a claim that waited for its turn may have cleared the wake-up of `stop`.
        while not self._stopping.is_set():
            seconds = queue.due_at - time.monotonic()
            if seconds > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await queue.woken.wait()
            try:
                async with self._turns.setdefault(queue.store.client.server, asyncio.Lock()):
                    queue.woken.clear()
                    await self._claim(queue)
            except (StoreUnavailable, StoreNotDurable) as error:
                self._failing.add(queue)
                self._outage.begin(error)
                await self._pause()

    async def _claim(self, queue: ShardQueue) -> None:
        await self._wait_for(lambda: self._free_slots() > 0 and not self.isolating)
        if self._stopping.is_set():
            return
        limit = 1 if queue in self._failing else min(self._free_slots(), self._claim_max)
        claimed = await self._call(queue, limit)
        # A claimed job counts with the end of its lease: no further claim is needed if it was the only one due.
        queue.due_at = time.monotonic() + claimed.seconds_until_due(self._idle_seconds_max)
        queue.first_ms = math.inf if claimed.due_ms is None else claimed.due_ms
        if claimed.suspect and not self._suspects:
            await self._run_alone(queue, claimed.suspect)

    async def _call(self, queue: ShardQueue, limit: int, suspect: str = "") -> ClaimResult:
        self._reserved += limit
        self._in_flight += 1
        try:
            await queue.late_writes.write()
            # A suspect is skipped even if no job runs: another shard could start one in the same moment.
            claimed = await queue.leases.claim(limit, 0 if suspect else 1, suspect)
            self._started += len(claimed.jobs)
            for job in claimed.jobs:
                self._start(queue, job)
        finally:
            self._reserved -= limit
            self._in_flight -= 1
            self._slot_freed.set()
        self._failing.discard(queue)
        if not self._failing:
            self._outage.end()
        return claimed

    async def _run_alone(self, queue: ShardQueue, suspect: str) -> None:
        """Claim a suspect once no other job is running or being claimed."""
        self._suspects.add(queue)
        try:
            await self._wait_for(lambda: not self._running() and not self._in_flight)
            if not self._stopping.is_set():
                claimed = await self._call(queue, 1, suspect)
                self.isolated = next((job for job in claimed.jobs if queue.leases.is_suspect(job)), None)
        finally:
            self._suspects.clear()
            self._slot_freed.set()

    def _free_slots(self) -> int:
        return self._concurrency - self._running() - self._reserved

    async def _wait_for(self, is_met: Callable[[], bool]) -> None:
        """Wait for a condition that changes with the number of running jobs or claims, or for `stop`."""
        while not is_met() and not self._stopping.is_set():
            self._slot_freed.clear()
            await self._slot_freed.wait()

    async def _pause(self) -> None:
        """Wait before the next call in an outage."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(random.uniform(0.05, OUTAGE_PAUSE_SECONDS_MAX)):  # noqa: S311 - jitter
                await self._stopping.wait()

    def _wake_groups(self) -> list[Sequence[ShardQueue]]:
        """Return the queues in groups, each of which one call can wait for: in a cluster that is one."""
        is_cluster = self._queues[0].store.client.servers.is_cluster
        return [[queue] for queue in self._queues] if is_cluster else [self._queues]

    async def _watch(self, queues: Sequence[ShardQueue]) -> None:
        """Wake queues for which a token arrives, while the worker can run more jobs."""
        client = queues[0].store.client
        by_key = {queue.wake_key: queue for queue in queues}
        while True:
            await self._wait_for(lambda: self._free_slots() > 0 and not self.isolating)
            # The first list with a token is taken: those of idle shards come first.
            keys = [queue.wake_key for queue in sorted(queues, key=lambda queue: queue.is_ready)]
            try:
                key = await client.wait_for(keys, self._idle_seconds_max)
                if key is None:
                    continue
                if self._free_slots() <= 0 or self.isolating:
                    await client.command("LPUSH", key, 1)  # for an idle worker
                    continue
            except (StoreUnavailable, StoreNotDurable):  # the claims log the outage
                await self._pause()
                continue
            if by_key[key].is_ready:
                await asyncio.sleep(LATE_WAKE_SECONDS)
            by_key[key].woken.set()

    async def _wait_until_empty(self) -> None:
        """Wait until all queues are empty and no job is running, or for `stop`."""
        while not self._stopping.is_set():
            self._last_ended.clear()
            with contextlib.suppress(StoreUnavailable, StoreNotDurable):  # the claims log the outage
                # A claim in progress does not matter: its jobs are in the queue until they end. A job that starts and
                # ends between two reads may have added another to a queue that was read before.
                is_idle, started = not self._running(), self._started
                has_jobs = any(await asyncio.gather(*map(self._has_jobs, self._queues)))
                if is_idle and not has_jobs and started == self._started:
                    return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BURST_CHECK_SECONDS):
                    await self._last_ended.wait()

    async def _has_jobs(self, queue: ShardQueue) -> bool:
        """Return whether a shard has jobs. Claim if arq's client added one, which adds no token."""
        first = await queue.store.client.command("ZRANGE", queue.store.keys.queue, 0, 0, "WITHSCORES")
        if first and float(first[1]) < queue.first_ms:
            queue.woken.set()
        return bool(first)
