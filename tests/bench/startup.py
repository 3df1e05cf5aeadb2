"""Start-up of the command line: `python -m tests.bench.startup [ARGUMENTS]` prints CPU seconds, median and best of 7.

Without arguments it measures `--help` and `--version`; ARGUMENTS are those of one command, such as `events list`, which
reaches the installation that the environment names. Exit code 1 if a run fails or `--help` exceeds twice its budget;
the machine must be idle otherwise, since load inflates CPU time.
"""

import resource
import statistics
import subprocess
import sys
from collections.abc import Sequence

import click

RUNS = 7
HELP_SECONDS = 0.25


def cpu_seconds(arguments: Sequence[str]) -> float:
    """Run the command once; return its user and system time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "service", *arguments], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(*arguments: str) -> float:
    """Print median and best of all runs; return the best."""
    seconds = [cpu_seconds(arguments) for _ in range(RUNS)]
    best = min(seconds)
    click.echo(f"{statistics.median(seconds):.2f} s (best {best:.2f} s)  waybill {' '.join(arguments)}")
    return best


def main() -> None:
    """Measure the commands of the command line."""
    if sys.argv[1:]:
        measure(*sys.argv[1:])
        return
    measure("--version")
    if measure("--help") > 2 * HELP_SECONDS:
        sys.exit(1)


if __name__ == "__main__":
    main()
