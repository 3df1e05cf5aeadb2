"""Waits of one fixed length, ended by one shared timer.

A timer of its own per wait (`asyncio.timeout`) costs more than reading a small body, twice per delivery. As all waits
of a kind are equally long, the first that began is the first that is due: a queue and one timer do for all of them.
"""

import asyncio
from collections import deque
from types import TracebackType


class Timeout:
    """A block that may take so long; when its time is over it is cancelled and leaves by TimeoutError."""

    __slots__ = ("_task", "due_at", "expired", "over")

    def __init__(self, task: asyncio.Task[object], due_at: float) -> None:
        self._task = task
        self.due_at = due_at
        self.expired = False
        self.over = False

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.over = True
        # If somebody else cancels at the same moment, it stays a cancellation: only our own is a timeout.
        if self.expired and self._task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        """End the wait, unless it is over: its task sees a cancellation, its caller a TimeoutError."""
        if not self.over:
            self.expired = True
            self._task.cancel()


class SharedTimeout:
    """Makes waits of `seconds` each: `with deadlines.limit(): await …`, inside a task."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._waits: deque[Timeout] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> Timeout:
        """Begin a wait.

        Raises:
            RuntimeError: outside of a task.
        """
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a deadline needs a task that it can end")
        loop = asyncio.get_running_loop()
        wait = Timeout(task, loop.time() + self.seconds)
        waits = self._waits
        # Or the queue would hold every wait of the last seconds, long over.
        while waits and waits[0].over:
            waits.popleft()
        waits.append(wait)
        if self._timer is None:
            self._timer = loop.call_at(wait.due_at, self._expire)
        return wait

    def _expire(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        waits = self._waits
        while waits and (waits[0].over or waits[0].due_at <= now):
            waits.popleft().expire()
        self._timer = loop.call_at(waits[0].due_at, self._expire) if waits else None
