"""Job slots of a worker, divided among the accounts and destinations that its jobs call.

Each of them may hold as many slots as are free. One target that does not answer holds half of a worker, a second one a
quarter, a third one an eighth: some slots are always free for the others, without a fixed limit for each.
"""

from collections.abc import Callable
from contextvars import ContextVar
from math import inf


class HeldJob:
    """Job of a worker: the number of its calls in progress, and of its calls that wait for a slot in place."""

    __slots__ = ("calls", "waits")

    def __init__(self) -> None:
        self.calls = self.waits = 0


current_job: ContextVar[HeldJob | None] = ContextVar("current_job", default=None)
"""The job that makes a call. A call without a job, such as one of a poll, holds no slot of the worker."""


class JobSlots:
    """Slots of a worker for `size` jobs. Other processes have no jobs, and no limit."""

    def __init__(self, size: float = inf) -> None:
        self.size = size
        self._calling = 0
        self._waiting = 0
        self._queues: dict[Callable[[], None], None] = {}

    def free(self, job: HeldJob | None) -> float:
        """Return the number of jobs that are not in a call, and the job itself."""
        return self.size - self._calling + (1 if job is not None and job.calls else 0)

    def idle(self, job: HeldJob | None) -> float:
        """Return the number of jobs that neither are in a call nor wait for one, and the job itself."""
        return self.size - self._calling - self._waiting + (1 if job is not None and (job.calls or job.waits) else 0)

    def count(self, job: HeldJob | None, *, calls: int = 0, waits: int = 0) -> None:
        """Add to the calls of a job that are in progress, and to those that wait."""
        if job is None:
            return
        self._add(job, -1)
        job.calls += calls
        job.waits += waits
        self._add(job, 1)

    def watch(self, wake: Callable[[], None], *, waiting: bool) -> None:
        """Call `wake` after each end of a call while calls of an account or destination wait."""
        if waiting:
            self._queues[wake] = None
        else:
            self._queues.pop(wake, None)

    def wake(self) -> None:
        """Start waiting calls for which slots are free now."""
        for wake in tuple(self._queues):
            wake()

    def _add(self, job: HeldJob, number: int) -> None:
        if job.calls:
            self._calling += number
        elif job.waits:
            self._waiting += number
