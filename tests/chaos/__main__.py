"""`python -m tests.chaos [--long | --self-check] [--seed N] [--rate R] [fault …]`: inject faults and count losses.

By default, each fault, failover and fault of a cluster runs once. `--long` runs 50 rounds of random faults with at
least 100,000 events. The result is a table; the exit code is 1 if a row has losses. `--self-check` loses power with
`appendfsync everysec`, which does not guarantee a 202, and runs actions without order. The exit code is 1 if no loss
and no disorder is counted.
"""

import argparse
import asyncio
import platform
import random
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from msgspec import structs

from tests.bench.stage import describe_machine
from tests.chaos.cluster import CLUSTER_FAULTS, ClusterFleet
from tests.chaos.failover import FailoverFleet
from tests.chaos.faults import FAULTS
from tests.chaos.fleet import Fleet
from tests.chaos.rounds import rounds_on
from tests.chaos.tally import Row, Tally

LONG_ROUNDS, LONG_EVENTS = 50, 100_000
SELF_CHECKS_MAX = 5
OUTPUT = Path("bench-out/chaos.md")
COLUMNS = (
    "fault",
    "sent",
    "acknowledged",
    "processed",
    "dead letters",
    "lost",
    "unsafe doubled",
    "out of order",
    "second keys",
    "false decisions",
    "s",
)
FAILOVERS = {
    # An event acknowledged and not yet sent to the replica is lost with the primary: the stated window of `fsync`.
    "Sentinel fails over (`fsync`, the stated window)": ("fsync", 0.0, True),
    "Sentinel fails over (`replica`)": ("replica", 0.0, False),
    "Sentinel fails over, replica 1.5 s behind (`fsync`, the stated window)": ("fsync", 1.5, True),
    "Sentinel fails over, replica 1.5 s behind (`replica`)": ("replica", 1.5, False),
}
ALL = (*FAULTS, *FAILOVERS, *CLUSTER_FAULTS)
POWER = "power lost: store cut to its last fdatasync"
REJECTED_PUTS = "PUTs answered with 503, 429 or too late"


async def main(options: argparse.Namespace) -> int:
    if shutil.which("cc") is None:
        print("!!! NOT RUN: no C compiler (cc) for the faults of power, disk and clock; install gcc", file=sys.stderr)
        return 2
    if options.self_check:
        return await self_check(options)
    started, rng = time.monotonic(), random.Random(options.seed)
    chosen = [name for name in ALL if not options.fault or any(fnmatchcase(name, each) for each in options.fault)]
    if not chosen:
        print(f"no fault is named {' or '.join(options.fault)}; there are:", *ALL, sep="\n  ", file=sys.stderr)
        return 2
    faults = [name for name in chosen if name in FAULTS]
    rounds = [rng.choice(faults) for _ in range(LONG_ROUNDS)] if options.long else faults
    rows = await run_faults(rounds, options, rng)
    for name in [name for name in chosen if name in FAILOVERS]:
        rows.append(await run_failover(name, options, rng))
        print_row(rows[-1])
    rows += await run_cluster_faults([name for name in chosen if name in CLUSTER_FAULTS], options, rng)
    write_table(rows, options, time.monotonic() - started)
    return 0 if all(row.is_sound for row in rows) else 1


async def run_faults(names: Sequence[str], options: argparse.Namespace, rng: random.Random) -> list[Row]:
    """Run one round per fault, all on one fleet."""
    rows: list[Row] = []
    if names:
        async with rounds_on(Fleet, options.rate, rng) as rounds:
            for number, name in enumerate(names, 1):
                events_min = LONG_EVENTS * number // len(names) if options.long else 0
                rows.append(await rounds.run(name, FAULTS[name], events_min))
                print_row(rows[-1])
    return rows


async def run_failover(name: str, options: argparse.Namespace, rng: random.Random) -> Row:
    """Run one failover on separate servers, because it changes the primary."""
    durability, lag_seconds, is_in_window = FAILOVERS[name]

    async def fail_over(fleet: FailoverFleet) -> None:
        await fleet.fail_over(lag_seconds)

    async with rounds_on(partial(FailoverFleet, durability=durability), options.rate, rng) as rounds:
        row = await rounds.run(name, fail_over)
    return structs.replace(row, is_in_window=is_in_window)


async def run_cluster_faults(names: Sequence[str], options: argparse.Namespace, rng: random.Random) -> list[Row]:
    """Run one round per fault of a cluster, on one fleet for each durability."""
    rows: list[Row] = []
    for durability in sorted({CLUSTER_FAULTS[name].durability for name in names}):
        async with rounds_on(partial(ClusterFleet, durability=durability), options.rate, rng) as rounds:
            for name in [name for name in names if CLUSTER_FAULTS[name].durability == durability]:
                row = await rounds.run(name, CLUSTER_FAULTS[name].inject)
                rows.append(structs.replace(row, is_in_window=CLUSTER_FAULTS[name].is_in_window))
                print_row(rows[-1])
    return rows


async def self_check(options: argparse.Namespace) -> int:
    """Lose power without durability, and reject actions without order. Losses and disorder must be counted."""
    power = partial(Fleet, durability="declared", appendfsync="everysec")
    lost = await repeat_until_counted(power, POWER, "lost", options)
    disorder = await repeat_until_counted(partial(Fleet, ordered=False), REJECTED_PUTS, "out_of_order", options)
    print(f"with everysec {lost} acknowledged events lost; with `ordered: false` {disorder} effects out of order")
    print("the test can fail" if lost and disorder else f"the test CANNOT fail, in {SELF_CHECKS_MAX} rounds")
    return 0 if lost and disorder else 1


async def repeat_until_counted(
    make: Callable[[Path, Tally], Fleet], fault: str, count: str, options: argparse.Namespace
) -> int:
    """Repeat a fault until `count` of its row is not 0, and return it."""
    for attempt in range(SELF_CHECKS_MAX):
        # A power loss right after the store's own sync, once per second, loses nothing.
        async with rounds_on(make, options.rate, random.Random(options.seed + attempt)) as rounds:
            row = await rounds.run(fault, FAULTS[fault])
        print(" · ".join(map(str, structs.astuple(row)[:-1])))
        if found := getattr(row, count):
            return found
    return 0


def print_row(row: Row) -> None:
    """Print a row."""
    status = "BAD " if not row.is_sound else "lost" if row.lost else "ok  "
    print(f"{status} {' · '.join(map(str, structs.astuple(row)[:-1]))}", flush=True)


def write_table(rows: Sequence[Row], options: argparse.Namespace, seconds: float) -> None:
    """Write the table to `OUTPUT` and print it."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---|" + "---:|" * (len(COLUMNS) - 1)]
    lines += [f"| {' | '.join(str(value) for value in structs.astuple(row)[:-1])} |" for row in rows]
    counted = [row for row in rows if not row.is_in_window]
    total = [sum(getattr(row, name) for row in counted) for name in Row.__struct_fields__[1:-2]]
    lines.append(f"| **all but stated windows** | {' | '.join(f'**{value}**' for value in total)} | |")
    summary = f"Seed {options.seed}, {options.rate:g} events/s, {len(rows)} rounds in {seconds:.0f} s"
    lines += [
        "",
        f"{summary}, {time.strftime('%Y-%m-%d')}, Python {platform.python_version()}.",
        *describe_machine()[:2],
    ]
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text("\n".join(lines) + "\n")
    print(OUTPUT.read_text())


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("fault", nargs="*", help="only these faults; a pattern such as 'cluster*' selects several")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--self-check", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=200.0)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(parse(sys.argv[1:]))))
