"""Background tasks of a process, restarted after an unexpected exception."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import structlog

from service.errors import StoreNotDurable, StoreUnavailable, WaybillError
from service.metrics.families import TASK_FAILURES

RESTART_SECONDS = 2.0
"""Delay before a background task restarts."""
REMINDER_SECONDS = 60.0
"""Interval of log lines while a task fails."""


async def run_forever(name: str, loop: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `loop` until cancelled, and restart it after an unexpected exception.

    Without the restart, a process would continue without lease renewal, polls or reloads, and nobody would notice.
    """
    log = structlog.get_logger()
    while True:
        try:
            return await loop()
        except Exception:
            log.exception("background_task.crashed", task=name, seconds=RESTART_SECONDS)
            await asyncio.sleep(RESTART_SECONDS)


class TaskFailures:
    """Failures of the store that a background task survives: a line when they begin, one a minute, one when they end.

    Each counts in `waybill_background_task_failures_total`. The lines of an outage do not name the tasks that it stops.
    """

    def __init__(self, task: str) -> None:
        self._task = task
        self._failures = 0
        self._due = 0.0

    @contextlib.contextmanager
    def handled(self) -> Generator[None]:
        """Run one step of the task. A failure of the store ends the step and is reported."""
        try:
            yield
        except (StoreUnavailable, StoreNotDurable) as error:
            self._fail(error)
        else:
            if self._failures:
                structlog.get_logger().info("background_task.recovered", task=self._task, failures=self._failures)
            self._failures, self._due = 0, 0.0

    def _fail(self, error: WaybillError) -> None:
        self._failures += 1
        TASK_FAILURES.inc((self._task, error.kind))
        now = time.monotonic()
        if now >= self._due:
            self._due = now + REMINDER_SECONDS
            structlog.get_logger().warning(
                "background_task.failed",
                task=self._task,
                failures=self._failures,
                error_kind=error.kind,
                reason=str(error),
            )
