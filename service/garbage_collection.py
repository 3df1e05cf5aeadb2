"""Garbage collection of older objects, at times when few are alive. See `service.garbage`."""

import asyncio
import gc
import sys

INTERVAL_SECONDS = 60.0
CHECK_SECONDS = 5.0
LIVE_BLOCKS_MAX = 300_000
"""Allocated blocks since the start, up to which a collection takes less than 25 ms."""
OVERDUE_SECONDS = 1_800.0
"""After this time the garbage is collected in any case: with large records in hand without a break."""


async def collect_old_objects(interval_seconds: float = INTERVAL_SECONDS) -> None:
    """Collect older objects about once per interval, until cancelled."""
    loop = asyncio.get_running_loop()
    blocks_at_start, collected_at = sys.getallocatedblocks(), loop.time()
    while True:
        await asyncio.sleep(min(CHECK_SECONDS, interval_seconds))
        age = loop.time() - collected_at
        few = sys.getallocatedblocks() - blocks_at_start < LIVE_BLOCKS_MAX
        if age >= OVERDUE_SECONDS or (few and age >= interval_seconds):
            gc.collect()
            collected_at = loop.time()
