"""Settings of Python's cyclic garbage collector for commands and long-running processes."""

import atexit
import gc

GARBAGE_ALLOCATIONS_MIN = 30_000
"""Net allocations before a collection. 100 concurrent attempts hold 10,000 to 15,000 live objects. With the default of
700 the collector takes a fifth of a worker's time and finds no garbage. Objects without cycles are freed without it."""
IMPORT_ALLOCATIONS = 150_000
"""Net allocations before a collection of a process that starts. The imports of `waybill serve` make 85,000 objects."""
NEVER = 1_000_000_000


def collect_less_often() -> None:
    """Prevent collections during the import of a command, which makes objects, not garbage, and at the exit.

    Call it before the import. An interpreter that exits scans all objects: a fifth of the time of a short command.
    """
    gc.set_threshold(IMPORT_ALLOCATIONS)
    atexit.register(gc.freeze)


def tune_garbage_collector() -> None:
    """Exclude existing objects from garbage collection, and collect new objects only. Call it once, after startup.

    A collection of older objects scans all values of the records in hand: 90 ms for a record at the limit of values.
    Nothing can interrupt it. `collect_old_objects` does it at other times.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_ALLOCATIONS_MIN, NEVER, NEVER)
