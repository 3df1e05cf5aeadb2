"""`python -m tests.bench [--quick] [row …]`: run the rows and write the table to stdout and bench-out/table.md.

`backlog` and `cluster` run only by name, and with --quick `ack`, too: they take minutes and gigabytes. `--save` saves
the results as the baseline, `--compare` compares them with it.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench import (
    baseline,
    others,
    row_accepted,
    row_ack,
    row_backlog,
    row_batches,
    row_cluster,
    row_deliveries,
    row_distant,
    row_features,
    row_growth,
    row_idle,
    row_ingress,
    row_isolation,
    row_large,
    row_litestar,
    row_memory,
    row_parked,
    row_processes,
    row_rules,
    row_whole,
    row_worker,
)
from tests.bench.stage import describe_machine, open_stage
from tests.bench.table import Line, render

Row = Callable[..., list[Line]]

ROWS: dict[str, Row] = {
    "ingress": row_ingress.measure,
    "litestar": row_litestar.measure,
    "deliveries": row_deliveries.measure,
    "accepted": row_accepted.measure,
    "batches": row_batches.measure,
    "worker": row_worker.measure,
    "whole": row_whole.measure,
    "features": row_features.measure,
    "processes": row_processes.measure,
    "large": row_large.measure,
    "growth": row_growth.measure,
    "distant": row_distant.measure,
    "parked": row_parked.measure,
    "idle": row_idle.measure,
    "isolation": row_isolation.measure,
    "memory": row_memory.measure,
    "rules": row_rules.measure,
    "ack": row_ack.measure,
    "backlog": row_backlog.measure,
    "cluster": row_cluster.measure,
}
NAMED_ONLY = {"backlog", "cluster"}
NAMED_IF_QUICK = NAMED_ONLY | {"ack"}
WITH_OTHERS = {"accepted", "whole"}
OUTPUT = Path("bench-out") / "table.md"
BASELINE = Path("bench-out") / "baseline.json"
REPEATS = 3


def main() -> None:
    """Run the rows. The exit code is 1 if a row fails; missed budgets do not fail, because the machine may be busy."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("--quick", action="store_true", help="one repetition, smaller loads")
    parser.add_argument(
        "rows", nargs="*", metavar="row", help=f"any of {', '.join(ROWS)}; all but backlog and cluster by default"
    )
    parser.add_argument("--save", action="store_true", help=f"save the results as the baseline, {BASELINE}")
    parser.add_argument("--compare", action="store_true", help="compare the results with the baseline")
    parser.add_argument("--parked", type=int, default=row_parked.EVENTS, help="events of the row parked")
    given = parser.parse_args()
    unknown = set(given.rows) - set(ROWS)
    if unknown:
        parser.error(f"no row {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    if given.compare and not BASELINE.exists():
        parser.error(f"{BASELINE} does not exist; save a baseline first: make bench-baseline")
    row_parked.EVENTS = given.parked
    repeats = 1 if given.quick else REPEATS
    left_out = NAMED_IF_QUICK if given.quick else NAMED_ONLY
    rows = given.rows or [name for name in ROWS if name not in left_out]
    others_line = [f"beside it: {others.versions()}"] if WITH_OTHERS & set(rows) else []
    heading = [
        *describe_machine(),
        *others_line,
        f"medians of {repeats}, the store with appendfsync always, loopback only",
    ]
    lines: list[Line] = []
    broken: list[str] = []
    for name in rows:
        began = time.monotonic()
        try:
            with open_stage() as stage:
                lines += ROWS[name](stage, repeats, quick=given.quick)
        except Exception as error:  # noqa: BLE001 - the other rows run, and the exit code is 1
            broken.append(name)
            sys.stderr.write(f"\n*** row {name} broke off and is left out: {type(error).__name__}: {error}\n\n")
        sys.stderr.write(f"{name}: {time.monotonic() - began:.0f} s\n")
    table = render(lines, heading)
    sys.stdout.write(table)
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(table)
    if given.compare:
        sys.stdout.write(baseline.compare(lines, baseline.load(BASELINE)))
    if given.save:
        baseline.save(BASELINE, lines)
    if broken:
        sys.exit(f"broken off: {', '.join(broken)}")


if __name__ == "__main__":
    main()
