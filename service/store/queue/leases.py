"""Jobs under leases: take them up, keep them, finish those that are arq's own. A lease's token fences writes."""

from collections.abc import Sequence
from typing import Literal, cast

from msgspec import Struct

from service.settings import Settings
from service.store.connection.client import Argument, Client
from service.store.keys import Keys
from service.store.queue.ingest import EFFECTS_FUNCTION, LANE_FUNCTION
from service.store.queue.lanes import LaneHead, read_head
from service.store.queue.last_state import LastState, read_last_state
from service.store.scripts import CLAIM, FINISH, RENEW


class Job(Struct, frozen=True):
    """A job this worker holds. `token` is the lease's, `due_ms` when it was due, `claimed_ms` when it was taken.

    A lane's job comes with the lane's `head` and the record's `last` state, an effects job with its event as `head`,
    any other with `tries`, arq's own count.
    """

    id: str
    token: str
    due_ms: int
    claimed_ms: int
    payload: bytes | None
    head: LaneHead | None = None
    last: LastState | None = None
    tries: int = 0
    function: str = ""
    """Which of our functions a job with an event is for, and `name` that function's argument: record or event."""
    name: str = ""


class ClaimResult(Struct, frozen=True):
    """What a claim gives: the store's clock, when the next job is due (None: the queue is empty), and the jobs.

    `suspect` is a job that was left because its event is to be run by a worker that has nothing else in hand.
    """

    now_ms: int
    due_ms: int | None
    jobs: Sequence[Job]
    suspect: str = ""


class JobEnd(Struct, frozen=True):
    """How a job of arq's own ends: `argument` is the result, the delay in ms, or the reason."""

    id: str
    token: str
    step: Literal["done", "retry", "release", "bury"]
    argument: bytes | str | int = b""
    result_ms: int = 0


class Leases:
    """Claim, renew, finish, for one worker of that name."""

    def __init__(self, client: Client, keys: Keys, settings: Settings, worker: str) -> None:
        self._client = client
        self._keys = keys
        self._worker = worker
        self._lease_ms = int(settings.lease_seconds * 1000)
        # One death short of burial it is run beside nothing else, so that it takes down no work but its own.
        self._suspect_deaths = settings.crashes_max - 1
        self._call = 0
        self._answered = True

    def is_suspect(self, job: Job) -> bool:
        """Whether so many runs of its event died that one more would bury it; it is run beside nothing else."""
        return job.head is not None and job.head.worker_crashes >= self._suspect_deaths

    async def claim(self, jobs_max: int, in_hand: int = 0, suspect: str = "") -> ClaimResult:
        """Take up at most `jobs_max` due jobs besides so many `in_hand`, or the `suspect` that an earlier claim left.

        After a failure the same call is made again, and gives the same jobs.

        Raises:
            StoreUnavailable: no answer; call again.
        """
        if self._answered:
            self._call += 1
        self._answered = False
        arguments = (jobs_max, self._lease_ms, self._worker, self._call, self._suspect_deaths, in_hand, suspect)
        # Tried once: the worker's own loop repeats it, and looks for a drain in between.
        answer = await self._client.call(CLAIM, arguments, seconds_max=0)
        self._answered = True
        now_ms, due_ms, rows, left = answer
        jobs = [self._job(row, f"{self._worker}:{self._call}", now_ms) for row in rows]
        return ClaimResult(now_ms, int(float(due_ms)) if due_ms else None, jobs, left.decode() if left else "")

    async def renew(self, leases: Sequence[tuple[str, str]]) -> list[str]:
        """Extend the leases, each a job's id and token; give the ids of those that are in other hands.

        Raises:
            StoreUnavailable: no answer.
        """
        arguments: list[Argument] = [self._lease_ms]
        for lease in leases:
            arguments += lease
        return [job.decode() for job in await self._client.call(RENEW, arguments, seconds_max=0)]

    async def finish(self, jobs: Sequence[JobEnd], seconds_max: float | None = None) -> list[bool]:
        """End jobs that are arq's own, or release any; False where the lease was lost.

        Tried for `seconds_max`, as long as a lease lives if that is not given.

        Raises:
            StoreUnavailable: no answer; may be repeated.
        """
        arguments: list[Argument] = []
        for job in jobs:
            arguments += (job.id, job.token, job.step, job.argument, job.result_ms)
        # Once the lease has ended, the word would be refused.
        seconds = self._lease_ms / 1000 if seconds_max is None else seconds_max
        return [bool(done) for done in await self._client.call(FINISH, arguments, seconds_max=seconds)]

    async def wait(self, seconds_max: float) -> bool:
        """Sleep until an event wakes a worker, or `seconds_max` are over.

        Raises:
            StoreUnavailable: the connection broke.
        """
        return await self._client.wait_for(self._keys.named("wake"), seconds_max)

    def _job(self, row: Sequence[object], token: str, now_ms: int) -> Job:
        job_id, due_ms, payload = (
            cast("bytes", row[0]).decode(),
            int(float(cast("bytes", row[1]))),
            cast("bytes | None", row[2]),
        )
        detail = cast("Sequence[object]", row[3])
        lanes, effects = self._keys.lane(""), self._keys.effects("")
        if job_id.startswith(lanes):
            head, last, name = (
                read_head(detail[0]),
                read_last_state(cast("bytes | None", detail[1])),
                job_id.removeprefix(lanes),
            )
            return Job(job_id, token, due_ms, now_ms, payload, head, last, function=LANE_FUNCTION, name=name)
        if job_id.startswith(effects):
            name = job_id.removeprefix(effects)
            return Job(
                job_id, token, due_ms, now_ms, payload, read_head(detail[0]), function=EFFECTS_FUNCTION, name=name
            )
        return Job(job_id, token, due_ms, now_ms, payload, tries=cast("int", detail[0]))
