"""Slot of one call of a throttle, and the slots of a process.

The context manager is a class: a generator for each call would take several times as long.
"""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Protocol


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
    """Slots of a throttle within this process, without a call to the store. `clock` is monotonic, in seconds."""

    def __init__(self, slots: int, clock: Callable[[], float], stall_seconds_max: float) -> None:
        self._slots = asyncio.Semaphore(slots)
        self._clock = clock
        self._stall_seconds_max = stall_seconds_max
        self._changed_at = float("-inf")

    async def acquire(self, deadline: float) -> bool:
        """Acquire a slot until a deadline. Return False if none was free.

        While no call starts or ends, the target does not answer: waiting in place would only fill the worker.
        """
        if self._slots.locked():
            until = min(deadline, self._changed_at + self._stall_seconds_max)
            if until <= self._clock():
                return False
            try:
                async with asyncio.timeout(max(until - self._clock(), 0.001)):
                    await self._slots.acquire()
            except TimeoutError:
                return False
        else:
            await self._slots.acquire()  # does not wait
        self._changed_at = self._clock()
        return True

    def release(self) -> None:
        """Release a slot."""
        self._changed_at = self._clock()
        self._slots.release()
