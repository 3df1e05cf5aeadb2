"""How a process that serves for days treats Python's cyclic garbage collector. Called once, when all is joined."""

import gc

GARBAGE_ALLOCATIONS_MIN = 50_000
"""Net allocations before the collector looks. A hundred runs have 10,000 to 15,000 objects in hand, all of them alive,
and more where one lane has many events: with less than that it looks every few hundred events and finds nothing (by its
default of 700 for a fifth of a worker's time). What has no cycles, which is nearly everything, goes without it."""


def tune_garbage_collector() -> None:
    """Take what lives as long as the process out of the collector's sight, and let it look less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_ALLOCATIONS_MIN)
