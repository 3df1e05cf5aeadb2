"""Timeouts of one fixed length that share one timer.

A timer per timeout (`asyncio.timeout`) costs more than reading a small body, twice per delivery. Timeouts of equal
length expire in the order in which they started, so a queue and one timer suffice.
"""

import asyncio
from collections import deque
from functools import lru_cache
from types import TracebackType


class Timeout:
    """Context manager that cancels its block when it expires and then raises TimeoutError."""

    __slots__ = ("_cancelling", "_task", "due_at", "ended", "expired")

    def __init__(self, task: asyncio.Task[object], due_at: float) -> None:
        self._task = task
        self._cancelling = task.cancelling()  # a task that ends after its cancellation still calls the store
        self.due_at = due_at
        self.expired = False
        self.ended = False

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.ended = True
        # Another cancellation at the same time takes precedence: only our own becomes a TimeoutError.
        if self.expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        """Cancel the task, unless the block has ended."""
        if not self.ended:
            self.expired = True
            self._task.cancel()


class SharedTimeout:
    """Factory of timeouts of `seconds` each: `with timeout.start(): await ...`, inside a task."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._timeouts: deque[Timeout] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop | None = None) -> Timeout:
        """Start a timeout in the running `loop`, which is looked up if it is None.

        Raises:
            RuntimeError: the caller is not inside a task.
        """
        # Each look-up of the running loop is a system call.
        loop = loop or asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("a timeout needs a task to cancel; call start() inside a task")
        timeout = Timeout(task, loop.time() + self.seconds)
        timeouts = self._timeouts
        # Remove finished timeouts now, not when they are due, to keep the queue short.
        while timeouts and timeouts[0].ended:
            timeouts.popleft()
        timeouts.append(timeout)
        if self._timer is None:
            self._timer = loop.call_at(timeout.due_at, self._expire)
        return timeout

    def _expire(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        timeouts = self._timeouts
        while timeouts and (timeouts[0].ended or timeouts[0].due_at <= now):
            timeouts.popleft().expire()
        self._timer = loop.call_at(timeouts[0].due_at, self._expire) if timeouts else None


def start_timeout(seconds: float) -> Timeout:
    """Start a timeout of one of the few lengths of the settings, as a context manager.

    Raises:
        RuntimeError: the caller is not inside a task.
    """
    loop = asyncio.get_running_loop()
    return _shared(loop, seconds).start(loop)


@lru_cache(maxsize=16)
def _shared(_loop: asyncio.AbstractEventLoop, seconds: float) -> SharedTimeout:
    return SharedTimeout(seconds)
