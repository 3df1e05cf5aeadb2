"""`python -m tests.chaos [--long] [--seed N] [--rate R] [fault …]`: one round a fault, a table at the end, exit 1 if not sound.

The short form goes once through every fault; the long one makes 50 rounds of random faults with at least 100,000 events.
"""

import argparse
import asyncio
import platform
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from msgspec import structs

from service.errors import StoreUnavailable, StoreUnsafe
from service.store import Store
from tests.chaos.faults import FAULTS
from tests.chaos.fleet import Fleet, running_fleet
from tests.chaos.prober import Prober
from tests.chaos.tally import Row, Tally

LEAD_SECONDS = 0.7
SETTLE_SECONDS_MAX = 60.0
LONG_ROUNDS, LONG_EVENTS = 50, 100_000
OUT = Path("bench-out/chaos.md")
COLUMNS = (
    "fault", "sent", "acknowledged", "processed", "dead letters", "lost", "unsafe doubled", "second keys", "recovered, s"
)  # fmt: skip


async def main(options: argparse.Namespace) -> int:
    dice, tally, rows = random.Random(options.seed), Tally(), list[Row]()
    names = options.fault or list(FAULTS)
    rounds = [dice.choice(names) for _ in range(LONG_ROUNDS)] if options.long else names
    with tempfile.TemporaryDirectory(prefix="wb-chaos-") as folder:
        async with running_fleet(Path(folder), tally) as fleet:
            prober = Prober(fleet, tally, options.rate, dice)
            store = await fleet.open_store()
            for number, name in enumerate(rounds):
                wanted = LONG_EVENTS * (number + 1) // LONG_ROUNDS if options.long else 0
                row = await one_round(fleet, prober, store, (name, wanted), tally)
                rows.append(row)
                print(f"{'ok  ' if row.is_sound else 'BAD '} {structs.astuple(row)}", flush=True)
            await prober.close()
            await store.close()
    write(rows, options)
    return 0 if all(row.is_sound for row in rows) else 1


async def one_round(fleet: Fleet, prober: Prober, store: Store, fault: tuple[str, int], tally: Tally) -> Row:
    """Send, break, mend, wait until all is worked off, count."""
    name, wanted = fault
    first = prober.numbers
    sending = asyncio.create_task(send(prober, wanted))
    await asyncio.sleep(LEAD_SECONDS)
    breaking = asyncio.create_task(FAULTS[name](fleet))
    await breaking
    mended = time.monotonic()
    SENDING.clear()
    await sending
    await prober.settle(SETTLE_SECONDS_MAX)
    await worked_off(store)
    recovery = time.monotonic() - mended
    dead = {summary.id for summary in await store.events.page("dead", 1_000_000)}
    return tally.row(name, range(first, prober.numbers), dead, round(recovery, 1))


SENDING: set[str] = set()


async def send(prober: Prober, wanted: int) -> None:
    """Send until the fault is mended, and until `wanted` events were sent in all."""
    SENDING.add("on")
    while SENDING or prober.numbers < wanted:
        await prober.send_for(0.2)


async def worked_off(store: Store) -> None:
    """Wait until no event is open."""
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while time.monotonic() < deadline:
        try:
            if (await store.sample()).waiting == 0:
                return
        except (StoreUnavailable, StoreUnsafe):
            pass
        await asyncio.sleep(0.1)


def write(rows: Sequence[Row], options: argparse.Namespace) -> None:
    """Print the table and keep it."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---|" + "---:|" * (len(COLUMNS) - 1)]
    lines += [f"| {' | '.join(str(value) for value in structs.astuple(row))} |" for row in rows]
    total = [sum(getattr(row, name) for row in rows) for name in Row.__struct_fields__[1:-1]]
    lines.append(f"| **all** | {' | '.join(f'**{value}**' for value in total)} | |")
    lines.append("")
    lines.append(f"Seed {options.seed}, {options.rate:g} events/s, Python {platform.python_version()}.")
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text("\n".join(lines) + "\n")
    print(OUT.read_text())


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("fault", nargs="*", choices=[*FAULTS, []], help="only these faults")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=200.0)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(asyncio.run(main(parse(sys.argv[1:]))))
