"""`python -m tests.chaos [--long | --self-check] [--jobs N] [--seed N] [fault …]`: inject faults and count losses.

By default, each fault, failover and fault of a cluster runs once. `--long` runs 50 rounds of random faults with at
least 100,000 events. The result is a table; the exit code is 1 if a row has losses. `--self-check` loses power with
`appendfsync everysec`, which does not guarantee a 202, and runs actions without order. The exit code is 1 if no loss
and no disorder is counted.
"""

import argparse
import platform
import random
import shutil
import sys
import time
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from msgspec import structs

from tests.bench.stage import describe_machine
from tests.chaos.batches import INJECT, Batch, batches_of, run_batches, server_batches
from tests.chaos.faults import FAULTS
from tests.chaos.fleet import Fleet
from tests.chaos.tally import Row

JOBS = 2
"""Batches at the same time. One takes two thirds of a core, so two keep the rate on a machine with two cores."""

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
POWER = "power lost: store cut to its last fdatasync"
REJECTED_PUTS = "PUTs answered with 503, 429 or too late"
SELF_CHECKS = {
    "lost": Batch(partial(Fleet, durability="declared", appendfsync="everysec"), [POWER]),
    "out_of_order": Batch(partial(Fleet, ordered=False), [REJECTED_PUTS]),
}
"""Batches in which the count is not 0."""


def main(options: argparse.Namespace) -> int:
    if shutil.which("cc") is None:
        print("!!! NOT RUN: no C compiler (cc) for the faults of power, disk and clock; install gcc", file=sys.stderr)
        return 2
    if options.self_check:
        return self_check(options)
    chosen = [name for name in INJECT if not options.fault or any(fnmatchcase(name, each) for each in options.fault)]
    if not chosen:
        print(f"no fault is named {' or '.join(options.fault)}; there are:", *INJECT, sep="\n  ", file=sys.stderr)
        return 2
    started = time.monotonic()
    batches = long_batches(chosen, options.seed) if options.long else [*batches_of(chosen)]
    rows = run_batches(batches, options.jobs, options.rate, options.seed)
    write_table(rows, options, time.monotonic() - started)
    return 0 if all(row.is_sound for row in rows) else 1


def long_batches(chosen: Sequence[str], seed: int) -> list[Batch]:
    """Return the batches of the long run: those with several servers, and random faults on one fleet."""
    rng, faults = random.Random(seed), [name for name in chosen if name in FAULTS]
    rounds = [Batch(Fleet, [rng.choice(faults) for _ in range(LONG_ROUNDS)], LONG_EVENTS)] if faults else []
    return [*server_batches(chosen), *rounds]


def self_check(options: argparse.Namespace) -> int:
    """Lose power without durability, and reject actions without order. Losses and disorder must be counted."""
    print("each of these rows must be BAD in one of its rounds:")
    counted = dict.fromkeys(SELF_CHECKS, 0)
    for attempt in range(SELF_CHECKS_MAX):
        # A power loss right after the store's own sync, once per second, loses nothing.
        missing = {count: batch for count, batch in SELF_CHECKS.items() if not counted[count]}
        if not missing:
            break
        rows = run_batches([*missing.values()], options.jobs, options.rate, options.seed + attempt)
        counted |= {count: getattr(row, count) for count, row in zip(missing, rows, strict=True)}
    lost, disorder = counted.values()
    print(f"with everysec {lost} acknowledged events lost; with `ordered: false` {disorder} effects out of order")
    print("the test can fail" if lost and disorder else f"the test CANNOT fail, in {SELF_CHECKS_MAX} rounds")
    return 0 if lost and disorder else 1


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
    parser.add_argument("--jobs", type=int, default=JOBS, help="batches at the same time (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=200.0)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(parse(sys.argv[1:])))
