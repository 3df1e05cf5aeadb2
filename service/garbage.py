"""Settings of Python's cyclic garbage collector for commands and long-running processes."""

import gc

GARBAGE_ALLOCATIONS_MIN = 30_000
"""Net allocations before a collection. 100 concurrent attempts hold 10,000 to 15,000 live objects. With the default of
700 the collector takes a fifth of a worker's time and finds no garbage. Objects without cycles are freed without it."""
NEVER = 1_000_000_000


def collect_less_often() -> None:
    """Raise the threshold of a collection. Call it before the import of a command, which makes objects, not garbage."""
    gc.set_threshold(GARBAGE_ALLOCATIONS_MIN)


def tune_garbage_collector() -> None:
    """Exclude existing objects from garbage collection, and collect new objects only. Call it once, after startup.

    A collection of older objects scans all values of the records in hand: 90 ms for a record at the limit of values.
    Nothing can interrupt it. `collect_old_objects` does it at other times.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_ALLOCATIONS_MIN, NEVER, NEVER)
