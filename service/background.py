"""Background tasks of a process, restarted after an unexpected exception."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

RESTART_SECONDS = 2.0
"""Delay before a background task restarts."""


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
