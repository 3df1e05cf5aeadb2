"""Leases: claim jobs, renew their leases, finish plain arq jobs. The token of a lease fences writes."""

import time
from collections.abc import Sequence
from typing import Literal, cast

from msgspec import Struct

from service.lease import Lease
from service.settings import Settings
from service.store.connection.client import Argument, Client
from service.store.keys import Keys
from service.store.queue.ingest import EFFECTS_FUNCTION, LANE_FUNCTION
from service.store.queue.lanes import SCORE_MS_MAX, LaneHead, decode_head, decode_score
from service.store.queue.last_state import EncodedLastState
from service.store.scripts import CLAIM, FINISH, RENEW


class Job(Struct, frozen=True):
    """A claimed job: its `lease` with the `token`, `due_ms` and `claimed_ms` since the epoch.

    A lane job has the lane's `head` and the record's encoded `last` state, an effects job has its event as `head`. A
    plain arq job has `tries`, arq's count. A job of which the id is not text has only `foreign_id`.
    """

    id: str
    token: str
    lease: Lease
    due_ms: int
    claimed_ms: int
    payload: bytes | None
    head: LaneHead | None = None
    last: EncodedLastState = None
    tries: int = 0
    function: str = ""
    """Function of a job with an event: process_lane or finish_effects. `name` is its argument: record or event id."""
    name: str = ""
    foreign_id: bytes = b""


class ClaimResult(Struct, frozen=True):
    """Result of a claim: time of the store, time of the next job (None: the queue is empty), and the jobs.

    `suspect` is a job that was skipped because its event must run alone.
    """

    now_ms: int
    due_ms: int | None
    jobs: Sequence[Job]
    suspect: str = ""

    def seconds_until_due(self, seconds_max: float) -> float:
        """Return the time until the next job, at most `seconds_max`."""
        if self.due_ms is None:
            return seconds_max
        # The store's clock only: the clock of this machine may be wrong. 0 only with jobs, to avoid a busy loop.
        return min(seconds_max, max((self.due_ms - self.now_ms) / 1000, 0.0 if self.jobs else 0.001))


class JobEnd(Struct, frozen=True):
    """End of a plain arq job. `argument` is the result, the delay in ms, or the reason, depending on `step`."""

    id: str | bytes
    token: str
    step: Literal["done", "retry", "release", "bury"]
    argument: bytes | str | int = b""
    result_ms: int = 0


class Leases:
    """Claims, renews and finishes jobs for one worker."""

    def __init__(self, client: Client, keys: Keys, settings: Settings, worker: str) -> None:
        self._client = client
        self._lane_prefix, self._effects_prefix = keys.lane(""), keys.effects("")
        self._worker = worker
        self._lease_ms = int(settings.lease_seconds * 1000)
        # An event whose next crash would dead-letter it runs alone, so that a crash cannot take other jobs down.
        self._suspect_crashes = settings.crashes_max - 1
        self._call = 0
        self._called_at = 0.0
        self._answered = True

    def is_suspect(self, job: Job) -> bool:
        """Return whether the next worker crash would dead-letter the job's event; such a job runs alone."""
        return job.head is not None and job.head.worker_crashes >= self._suspect_crashes

    async def claim(self, limit: int, running: int = 0, suspect: str = "") -> ClaimResult:
        """Claim at most `limit` due jobs, or the `suspect` that an earlier claim skipped.

        `running` is the number of jobs that the worker runs now. A call after a failed call repeats it, and returns the
        same jobs.

        Returns:
            The claimed jobs and the time of the next one.

        Raises:
            StoreUnavailable: The store does not answer; call again.
        """
        if self._answered:
            self._call += 1
            self._called_at = time.monotonic()  # a repetition does not start the leases again
        self._answered = False
        arguments = (limit, self._lease_ms, self._worker, self._call, self._suspect_crashes, running, suspect)
        # Not repeated here: the worker's loop does, and checks for a drain in between.
        reply = await self._client.call(CLAIM, arguments, seconds_max=0)
        self._answered = True
        now_ms, due_ms, rows, skipped = reply
        jobs = [self._job(row, now_ms) for row in rows]
        next_ms = decode_score(due_ms) if due_ms and float(due_ms) <= SCORE_MS_MAX else None
        return ClaimResult(now_ms, next_ms, jobs, skipped.decode() if skipped else "")

    async def renew(self, jobs: Sequence[Job]) -> list[Job]:
        """Extend the leases of jobs.

        Returns:
            The jobs whose lease was lost.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        arguments: list[Argument] = [self._lease_ms]
        for job in jobs:
            arguments += (job.id, job.token)
        called_at = time.monotonic()
        lost = {job_id.decode() for job_id in await self._client.call(RENEW, arguments, seconds_max=0)}
        for job in jobs:
            if job.id not in lost:
                job.lease.extend(called_at, self._lease_ms / 1000)
        return [job for job in jobs if job.id in lost]

    async def finish(self, jobs: Sequence[JobEnd], seconds_max: float | None = None) -> list[bool]:
        """End plain arq jobs, or release any job. Repeated for `seconds_max`, by default the duration of a lease.

        Returns:
            For each job False if its lease was lost.

        Raises:
            StoreUnavailable: The store does not answer; safe to repeat.
        """
        arguments: list[Argument] = []
        for job in jobs:
            arguments += (job.id, job.token, job.step, job.argument, job.result_ms)
        # Not longer than the lease: after its end the store rejects the token.
        seconds = self._lease_ms / 1000 if seconds_max is None else seconds_max
        return [bool(done) for done in await self._client.call(FINISH, arguments, seconds_max=seconds)]

    def _job(self, row: Sequence[object], now_ms: int) -> Job:
        token, lease = f"{self._worker}:{self._call}", Lease(self._called_at, self._lease_ms / 1000)
        raw_id, due_ms, payload = (
            cast("bytes", row[0]),
            decode_score(cast("bytes", row[1])),
            cast("bytes | None", row[2]),
        )
        try:
            job_id = raw_id.decode()
        except UnicodeDecodeError:
            return Job(repr(raw_id), token, lease, due_ms, now_ms, payload, foreign_id=raw_id)
        detail = cast("Sequence[object]", row[3])
        lanes, effects = self._lane_prefix, self._effects_prefix
        if job_id.startswith(lanes):
            head, last, name = (
                decode_head(detail[0]),
                cast("EncodedLastState", detail[1]),
                job_id.removeprefix(lanes),
            )
            return Job(job_id, token, lease, due_ms, now_ms, payload, head, last, function=LANE_FUNCTION, name=name)
        if job_id.startswith(effects):
            name = job_id.removeprefix(effects)
            return Job(
                job_id,
                token,
                lease,
                due_ms,
                now_ms,
                payload,
                decode_head(detail[0]),
                function=EFFECTS_FUNCTION,
                name=name,
            )
        return Job(job_id, token, lease, due_ms, now_ms, payload, tries=cast("int", detail[0]))
