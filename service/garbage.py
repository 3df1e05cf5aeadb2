"""How a process that serves for days treats Python's cyclic garbage collector. Called once, when all is joined."""

import gc

GARBAGE_ALLOCATIONS_MIN = 50_000
"""Net allocations before the collector looks. A hundred runs have 20,000 to 30,000 objects in hand, all of them alive:
with less than that it looks every few dozen events and finds nothing, for 5 % of a worker's time (by its default of
700, a fifth). What has no cycles, which is nearly everything, goes without it."""


def settle_memory() -> None:
    """Take what lives as long as the process out of the collector's sight, and let it look less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_ALLOCATIONS_MIN)
