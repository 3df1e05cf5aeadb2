"""`python -m tests.chaos [--long | --self-check] [--seed N] [--rate R] [fault …]`: break things, count what is lost.

The short form goes once through every fault, and fails a primary over; the long one makes 50 rounds of random faults
with at least 100,000 events. A table at the end, exit 1 if a row is not sound. `--self-check` takes away what a 202
stands on (the server tells the disk once a second only) and wants the loss of power to be counted: exit 1 if it is not.
"""

import argparse
import asyncio
import platform
import random
import shutil
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from msgspec import structs

from tests.bench.stage import describe_machine
from tests.chaos.failover import FailoverFleet
from tests.chaos.faults import FAULTS
from tests.chaos.fleet import Fleet
from tests.chaos.rounds import rounds_on
from tests.chaos.tally import Row

LONG_ROUNDS, LONG_EVENTS = 50, 100_000
OUT = Path("bench-out/chaos.md")
COLUMNS = ("fault", "sent", "acknowledged", "processed", "dead letters", "lost", "unsafe doubled", "second keys", "s")
FAILOVERS = {
    # What was acknowledged but not yet sent to the replica is gone with the primary: the window that `fsync` states.
    "Sentinel fails over (`fsync`, the stated window)": ("fsync", 0.0, True),
    "Sentinel fails over (`replica`)": ("replica", 0.0, False),
    "Sentinel fails over, replica 1.5 s behind (`fsync`, the stated window)": ("fsync", 1.5, True),
    "Sentinel fails over, replica 1.5 s behind (`replica`)": ("replica", 1.5, False),
}
POWER = "power lost: store cut to its last fdatasync"


async def main(options: argparse.Namespace) -> int:
    if shutil.which("cc") is None:
        print(
            "!!! NOT RUN: a C compiler (cc) is needed to take power, disk and clock away; install gcc", file=sys.stderr
        )
        return 2
    if options.self_check:
        return await self_check(options)
    began, dice = time.monotonic(), random.Random(options.seed)
    chosen = options.fault or [*FAULTS, *FAILOVERS]
    faults = [name for name in chosen if name in FAULTS]
    rounds = [dice.choice(faults) for _ in range(LONG_ROUNDS)] if options.long else faults
    rows = await run_faults(rounds, options, dice)
    for name in [name for name in chosen if name in FAILOVERS]:
        rows.append(await run_failover(name, options, dice))
        tell(rows[-1])
    write(rows, options, time.monotonic() - began)
    return 0 if all(row.is_sound for row in rows) else 1


async def run_faults(names: Sequence[str], options: argparse.Namespace, dice: random.Random) -> list[Row]:
    """Make a round for each name, all on one fleet."""
    rows: list[Row] = []
    if names:
        async with rounds_on(Fleet, options.rate, dice) as rounds:
            for number, name in enumerate(names, 1):
                wanted = LONG_EVENTS * number // len(names) if options.long else 0
                rows.append(await rounds.one(name, FAULTS[name], wanted))
                tell(rows[-1])
    return rows


async def run_failover(name: str, options: argparse.Namespace, dice: random.Random) -> Row:
    """Make one round on servers of its own, since a failover leaves another primary behind."""
    durability, held_seconds, is_in_window = FAILOVERS[name]

    async def fail_over(fleet: FailoverFleet) -> None:
        await fleet.fail_over(held_seconds)

    async with rounds_on(partial(FailoverFleet, durability=durability), options.rate, dice) as rounds:
        row = await rounds.one(name, fail_over)
    return structs.replace(row, is_in_window=is_in_window)


async def self_check(options: argparse.Namespace) -> int:
    """Lose power where nothing was promised; the losses must be seen."""
    make = partial(Fleet, durability="declared", appendfsync="everysec")
    async with rounds_on(make, options.rate, random.Random(options.seed)) as rounds:
        row = await rounds.one(POWER, FAULTS[POWER])
    print(" · ".join(map(str, structs.astuple(row)[:-1])))
    print(f"the proof {'can' if row.lost else 'CANNOT'} fail: {row.lost} acknowledged events lost with everysec")
    return 0 if row.lost else 1


def tell(row: Row) -> None:
    """Print a row as it comes."""
    word = "BAD " if not row.is_sound else "told" if row.is_in_window else "ok  "
    print(f"{word} {' · '.join(map(str, structs.astuple(row)[:-1]))}", flush=True)


def write(rows: Sequence[Row], options: argparse.Namespace, seconds: float) -> None:
    """Print the table and keep it."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---|" + "---:|" * (len(COLUMNS) - 1)]
    lines += [f"| {' | '.join(str(value) for value in structs.astuple(row)[:-1])} |" for row in rows]
    held = [row for row in rows if not row.is_in_window]
    total = [sum(getattr(row, name) for row in held) for name in Row.__struct_fields__[1:-2]]
    lines.append(f"| **all but stated windows** | {' | '.join(f'**{value}**' for value in total)} | |")
    begun = f"Seed {options.seed}, {options.rate:g} events/s, {len(rows)} rounds in {seconds:.0f} s"
    lines += ["", f"{begun}, {time.strftime('%Y-%m-%d')}, Python {platform.python_version()}.", *describe_machine()[:2]]
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text("\n".join(lines) + "\n")
    print(OUT.read_text())


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("fault", nargs="*", choices=[*FAULTS, *FAILOVERS, []], help="only these faults")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--self-check", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=200.0)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(parse(sys.argv[1:]))))
