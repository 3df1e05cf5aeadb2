"""Waits for what other tasks and processes do: until it is there, with a deadline that a busy machine keeps too."""

import asyncio
from collections.abc import Awaitable, Callable

PATIENCE_SECONDS = 120.0
"""The time after which something will not come; no test waits so long for what comes."""


async def until(condition: Callable[[], Awaitable[bool] | bool], seconds_max: float = PATIENCE_SECONDS) -> None:
    """Ask again and again until the condition holds.

    Raises:
        TimeoutError: it does not hold in time.
    """
    async with asyncio.timeout(seconds_max):
        while True:
            met = condition()
            if met if isinstance(met, bool) else await met:
                return
            await asyncio.sleep(0.01)
