"""Difference between the clock of this process and the clock of the store: a metric, and a log line above a bound.

The store schedules jobs by its own clock. Signature tolerances, event ages and the times in a history are from the
clock of a process: with a large difference, events seem older or newer than they are.
"""

import asyncio
from collections.abc import Callable

from service.background import TaskFailures
from service.log import get_logger
from service.metrics.families import CLOCK_DIFFERENCE_SECONDS
from service.store import Shards

CLOCK_DIFFERENCE_SECONDS_MAX = 1.0
INTERVAL_SECONDS = 15.0
FIX = "synchronize the clocks of this machine and of the store's machine, with chrony or systemd-timesyncd"


class ClockCheck:
    """Check of one process. Logs when the difference exceeds the bound, and again after it was below."""

    def __init__(self) -> None:
        self._exceeds = False

    async def measure(self, store: Shards) -> float:
        """Measure the difference and return it: store's clock minus clock of this process, in seconds.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        seconds = await store.clock_difference_seconds()
        CLOCK_DIFFERENCE_SECONDS.set_all({(): seconds})
        exceeds = abs(seconds) > CLOCK_DIFFERENCE_SECONDS_MAX
        if exceeds and not self._exceeds:
            get_logger().warning("clock.skewed", difference_ms=round(seconds * 1000), fix=FIX)
        self._exceeds = exceeds
        return seconds


async def watch_clock(opened: Callable[[], Shards]) -> None:
    """Measure periodically, until cancelled. `opened` returns the store, or raises as a call to it does."""
    check, failures = ClockCheck(), TaskFailures("clock")
    while True:
        with failures.handled():
            await check.measure(opened())
        await asyncio.sleep(INTERVAL_SECONDS)
