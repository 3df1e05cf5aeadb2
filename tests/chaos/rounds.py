"""Rounds of a chaos run: send events, inject a fault, wait until all events have ended, count."""

import asyncio
import random
import sys
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Generic

from service.errors import StoreNotDurable, StoreUnavailable
from service.store import Shards
from service.store.management.events import EventSummary
from tests.chaos.fleet import TIMEOUT_SECONDS, AnyFleet, running
from tests.chaos.sender import Sender
from tests.chaos.tally import Row, Tally

WARMUP_SECONDS = 0.5
DEAD_LETTERS_PER_PAGE = 1_000


class Rounds(Generic[AnyFleet]):
    """Rounds on one fleet. Each round counts its own events."""

    def __init__(self, fleet: AnyFleet, tally: Tally, rate: float, rng: random.Random) -> None:
        self._fleet = fleet
        self._tally = tally
        self._sender = Sender(fleet, tally, rate, rng)
        self._is_sending = False

    @property
    def sent(self) -> int:
        """Number of events sent so far."""
        return self._sender.numbers

    async def run(self, name: str, fault: Callable[[AnyFleet], Coroutine[Any, Any, None]], events_min: int = 0) -> Row:
        """Run one round. It sends until all rounds together have sent `events_min` events."""
        first, self._is_sending = self._sender.numbers, True
        sending = asyncio.create_task(self._send(events_min))
        await asyncio.sleep(WARMUP_SECONDS)
        await fault(self._fleet)
        fault_ended = time.monotonic()
        self._is_sending = False
        await sending
        sent = time.monotonic()
        await self._sender.settle(TIMEOUT_SECONDS)
        dead = await self._wait_for_end(name)
        recovery = time.monotonic() - (sent if events_min else fault_ended)
        numbers = range(first, self._sender.numbers)
        for number, event_id in self._tally.lost(numbers, dead).items():
            await self._print_lost(name, number, event_id)
        return self._tally.row(name, numbers, dead, round(recovery, 1))

    async def _print_lost(self, name: str, number: int, event_id: str) -> None:
        """Print what the store knows of a lost event."""
        store = await self._fleet.open_store()
        found = [
            f"shard {shard.name}: {event}" for shard in store.stores if (event := await shard.events.get(event_id))
        ]
        await store.close()
        sys.stderr.write(f"{name}: lost event {number}, id {event_id}; {found or 'not in the store'}\n")

    async def close(self) -> None:
        """Stop sending."""
        await self._sender.close()

    async def _send(self, events_min: int) -> None:
        while self._is_sending or self._sender.numbers < events_min:
            await self._sender.send_for(0.2)

    async def _wait_for_end(self, name: str) -> set[str]:
        """Wait until no event is pending. Return the ids of the dead letters with unknown effects.

        Events that are still pending at the end of the wait are printed, and count as lost.
        """
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while True:
            try:
                store = await self._fleet.open_store()
                try:
                    while pending := (await store.sample()).pending:
                        if time.monotonic() > deadline:
                            sys.stderr.write(f"{name}: {pending} events are pending after {TIMEOUT_SECONDS:g} s\n")
                            break
                        await asyncio.sleep(0.1)
                    dead = await _dead_letters(store)
                    # A late result frees an event that was dead before the ids were read.
                    if pending or not (await store.sample()).pending:
                        return dead
                finally:
                    await store.close()
            except (StoreUnavailable, StoreNotDurable):
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0.1)


@asynccontextmanager
async def rounds_on(
    make: Callable[[Path, Tally], AnyFleet], rate: float, rng: random.Random
) -> AsyncGenerator[Rounds[AnyFleet]]:
    """Run a fleet in a temporary directory, and yield its rounds."""
    tally = Tally()
    with TemporaryDirectory(prefix="wb-chaos-") as folder:
        async with running(make(Path(folder), tally)) as fleet:
            rounds = Rounds(fleet, tally, rate, rng)
            yield rounds
            await rounds.close()


async def _dead_letters(shards: Shards) -> set[str]:
    """Return the ids of dead letters with unknown effects. No fault of a run justifies another dead letter."""
    ids: set[str] = set()
    for store in shards.stores:
        found: list[EventSummary] = []
        while page := await store.events.page("dead", DEAD_LETTERS_PER_PAGE, offset=len(found)):
            found += page
        ids |= {summary.id for summary in found if summary.error_kind == "outcome_unknown"}
    return ids
