"""Slot of one call of a throttle, and the slots of a throttle within a process.

The context manager is a class: a generator for each call would take several times as long.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Protocol

from service.throttles.job_slots import HeldJob, JobSlots, current_job

CALL_SECONDS = 0.2
"""Assumed duration of a call before the first one."""
STALL_SECONDS_MIN = 0.05
STALL_CALLS = 2.0
"""A target does not answer if no call ended for that many times the usual duration."""


class AdmittedCall(NamedTuple):
    """Call in progress. `began` is a time of the throttle's clock, in seconds."""

    token: str
    began: float


class CallLimiter(Protocol):
    """Throttle that admits calls and takes their results."""

    async def begin_call(self) -> AdmittedCall:
        """Acquire a slot for one call."""
        ...

    async def end_call(self, call: AdmittedCall, error: BaseException | None, *, repeatable: bool, target: str) -> None:
        """Report the result of a call, and release its slot."""
        ...


class Slot:
    """One call, as in `Throttle.slot`."""

    __slots__ = ("_call", "_limiter", "_repeatable", "_target")

    def __init__(self, limiter: CallLimiter, *, repeatable: bool, target: str) -> None:
        self._limiter = limiter
        self._repeatable = repeatable
        self._target = target

    async def __aenter__(self) -> None:
        self._call = await self._limiter.begin_call()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._limiter.end_call(self._call, error, repeatable=self._repeatable, target=self._target)


class ProcessSlots:
    """Slots of a throttle within this process, without a call to the store.

    `slots_max` is a fixed limit, or 0. Besides, the throttle may hold `share` times as many job slots as are free.
    `clock` is monotonic, in seconds. Calls wait in place while others end, for at most `wait_seconds_max` without.
    """

    def __init__(
        self, slots_max: int, share: float, jobs: JobSlots, clock: Callable[[], float], wait_seconds_max: float
    ) -> None:
        self._share = share
        self._slots_max = min(slots_max or float("inf"), max(jobs.size * share / (share + 1), 1))
        self._limit = slots_max or float("inf")
        self._jobs = jobs
        self._clock = clock
        self._wait_seconds_max = wait_seconds_max
        self._in_flight = 0
        self._waiting: OrderedDict[asyncio.Future[None], HeldJob | None] = OrderedDict()
        self._call_seconds = CALL_SECONDS
        self._busy_since = self._changed_at = self._ended_at = float("-inf")

    @property
    def seconds_apart(self) -> float:
        """Expected time between the ends of two calls. While none ends, it is the time since the last one."""
        return max(self._call_seconds / self._slots_max, self._stalled_seconds)

    @property
    def calls_per_second(self) -> float:
        """Calls a second that are admitted, or one while the target does not answer."""
        return 1.0 if self._stalled_seconds else self._slots_max / min(self._call_seconds, CALL_SECONDS)

    async def acquire(self, deadline: float) -> bool:
        """Acquire a slot until a deadline. Return False if none was free.

        While no call ends, the target may not answer at all: waiting calls then use at most half of the jobs that
        neither call nor wait. If no call starts or ends for a time, none waits.
        """
        job = current_job.get()
        if not self._waiting and self._has_slot(job):
            self._start(job)
            return True
        stall_seconds = max(min(STALL_CALLS * self._call_seconds, self._wait_seconds_max), STALL_SECONDS_MIN)
        now = self._clock()
        seconds = min(deadline, self._changed_at + stall_seconds) - now
        answers = now < self._ended_at + stall_seconds
        if seconds <= 0 or not (answers or len(self._waiting) < self._jobs.idle(job)):
            return False
        return await self._wait(job, seconds)

    def add_duration(self, began: float) -> None:
        """Note the duration of a successful call: a moving average of about ten calls."""
        self._call_seconds += 0.1 * (self._clock() - began - self._call_seconds)

    def release(self) -> None:
        """Release a slot."""
        self._in_flight -= 1
        self._changed_at = self._ended_at = self._clock()
        self._jobs.count(current_job.get(), calls=-1)
        self._wake()
        self._jobs.wake()

    @property
    def _stalled_seconds(self) -> float:
        """Time since a call ended, if all slots are held and that is longer than calls take."""
        seconds = 0.0 if self._has_slot(None) else self._clock() - max(self._busy_since, self._ended_at)
        return seconds if seconds >= max(self._wait_seconds_max, STALL_CALLS * self._call_seconds) else 0.0

    def _has_slot(self, job: HeldJob | None) -> bool:
        return self._in_flight < self._limit and self._in_flight < self._share * self._jobs.free(job)

    def _start(self, job: HeldJob | None) -> None:
        self._changed_at = self._clock()
        if not self._in_flight:
            self._busy_since = self._changed_at
        self._in_flight += 1
        self._jobs.count(job, calls=1)

    async def _wait(self, job: HeldJob | None, seconds: float) -> bool:
        waiter = asyncio.get_running_loop().create_future()
        self._waiting[waiter] = job
        self._jobs.count(job, waits=1)
        self._jobs.watch(self._wake, waiting=True)
        try:
            async with asyncio.timeout(seconds):
                await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled():  # the slot was given in the same moment
                self.release()
            if isinstance(error, TimeoutError):
                return False
            raise
        finally:
            if waiter in self._waiting:
                del self._waiting[waiter]
                self._jobs.count(job, waits=-1)
            self._jobs.watch(self._wake, waiting=bool(self._waiting))
        return True

    def _wake(self) -> None:
        while self._waiting:
            waiter, job = next(iter(self._waiting.items()))
            if not self._has_slot(job):
                return
            del self._waiting[waiter]
            self._jobs.count(job, waits=-1)
            if not waiter.done():
                self._start(job)
                waiter.set_result(None)
