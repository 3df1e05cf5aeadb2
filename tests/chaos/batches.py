"""Batches of rows: the rows of a batch share a fleet. Each batch runs in a process, with separate servers and ports."""

import asyncio
import os
import random
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from service.dev.processes import kill_with_parent
from tests.chaos.cluster import CLUSTER_FAULTS, ClusterFleet
from tests.chaos.failover import FailoverFleet
from tests.chaos.faults import FAULTS
from tests.chaos.fleet import Fleet
from tests.chaos.rounds import rounds_on
from tests.chaos.tally import Row, Tally

FAULTS_PER_FLEET = 5
FAILOVERS = {
    # An event acknowledged and not yet sent to the replica is lost with the primary: the stated window of `fsync`.
    "Sentinel fails over (`fsync`, the stated window)": ("fsync", 0.0, True),
    "Sentinel fails over (`replica`)": ("replica", 0.0, False),
    "Sentinel fails over, replica 1.5 s behind (`fsync`, the stated window)": ("fsync", 1.5, True),
    "Sentinel fails over, replica 1.5 s behind (`replica`)": ("replica", 1.5, False),
}
IN_WINDOW = {name for name, (*_, is_in_window) in FAILOVERS.items() if is_in_window} | {
    name for name, fault in CLUSTER_FAULTS.items() if fault.is_in_window
}


async def _fail_over(fleet: FailoverFleet, lag_seconds: float) -> None:
    await fleet.fail_over(lag_seconds)


INJECT: Mapping[str, Callable[[Any], Coroutine[Any, Any, None]]] = {
    **FAULTS,
    **{name: partial(_fail_over, lag_seconds=lag_seconds) for name, (_, lag_seconds, _) in FAILOVERS.items()},
    **{name: fault.inject for name, fault in CLUSTER_FAULTS.items()},
}
"""Function of each fault, in the order of the table."""


class Batch(Struct, frozen=True):
    """Rows that run one after the other on one fleet. They send at least `events_min` events together."""

    make: Callable[[Path, Tally], Fleet]
    faults: Sequence[str]
    events_min: int = 0


def batches_of(chosen: Sequence[str]) -> Iterator[Batch]:
    """Yield the batches of the chosen faults, in the order of the table."""
    faults = [name for name in chosen if name in FAULTS]
    for first in range(0, len(faults), FAULTS_PER_FLEET):
        yield Batch(Fleet, faults[first : first + FAULTS_PER_FLEET])
    yield from server_batches(chosen)


def server_batches(chosen: Sequence[str]) -> Iterator[Batch]:
    """Yield the batches with several servers: one per failover, which changes the primary, and one per durability."""
    for name, (durability, *_) in FAILOVERS.items():
        if name in chosen:
            yield Batch(partial(FailoverFleet, durability=durability), [name])
    for durability in sorted({fault.durability for fault in CLUSTER_FAULTS.values()}):
        names = [name for name in chosen if name in CLUSTER_FAULTS and CLUSTER_FAULTS[name].durability == durability]
        if names:
            yield Batch(partial(ClusterFleet, durability=durability), names)


def run_batches(batches: Sequence[Batch], jobs: int, rate: float, seed: int) -> list[Row]:
    """Run the batches, `jobs` at the same time. Return the rows in the order of the batches."""
    end = partial(kill_with_parent, os.getpid())
    with ProcessPoolExecutor(jobs, get_context("spawn"), end) as pool:
        # The last batches take longest, so they start first.
        futures = [pool.submit(_run_batch, batch, rate, seed) for batch in reversed(batches)]
        return [row for future in reversed(futures) for row in future.result()]


def _run_batch(batch: Batch, rate: float, seed: int) -> list[Row]:
    return asyncio.run(_run(batch, rate, random.Random(seed)))


async def _run(batch: Batch, rate: float, rng: random.Random) -> list[Row]:
    rows: list[Row] = []
    async with rounds_on(batch.make, rate, rng) as rounds:
        for number, name in enumerate(batch.faults, 1):
            try:
                row = await rounds.run(name, INJECT[name], batch.events_min * number // len(batch.faults))
            except Exception as error:
                error.add_note(f"fault: {name}")
                raise
            rows.append(structs.replace(row, is_in_window=name in IN_WINDOW))
            _print(rows[-1])
    return rows


def _print(row: Row) -> None:
    """Print a row at its end, between the rows of other batches."""
    status = "BAD " if not row.is_sound else "lost" if row.lost else "ok  "
    sys.stdout.write(f"{status} {' · '.join(map(str, structs.astuple(row)[:-1]))}\n")
    sys.stdout.flush()
