"""What a worker does beside its jobs for as long as it lives: beat, sweep, poll, renew its leases, follow the rules."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

PAUSE_SECONDS = 2.0


async def run_forever(name: str, loop: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `loop`, which ends only when it is cancelled, and begin it again after a while where a bug ended it.

    A task that died would be missed by nobody: the worker would go on without its leases renewed, or without a poll.
    """
    log = structlog.get_logger()
    while True:
        try:
            return await loop()
        except Exception:
            log.exception("background_task.crashed", task=name, seconds=PAUSE_SECONDS)
            await asyncio.sleep(PAUSE_SECONDS)
