"""Lag of the event loop: the delay of a timer, caused by work that does not yield."""

import asyncio

from service.metrics.families import EVENT_LOOP_LAG_SECONDS

INTERVAL_SECONDS = 0.1
"""Work that holds the event loop for longer is always measured, shorter work in proportion to its duration."""


async def measure_event_loop_lag() -> None:
    """Measure the lag of the running event loop, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + INTERVAL_SECONDS
        await asyncio.sleep(INTERVAL_SECONDS)
        EVENT_LOOP_LAG_SECONDS.observe((), max(0.0, loop.time() - due))
