"""One round of a chaos run: send, break, mend, wait until all is worked off, count."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Generic

from service.errors import StoreNotDurable, StoreUnavailable
from service.store import Store
from tests.chaos.fleet import AnyFleet, running
from tests.chaos.prober import Prober
from tests.chaos.tally import Row, Tally

LEAD_SECONDS = 0.5
SETTLE_SECONDS_MAX = 60.0
OPENED_SECONDS_MAX = 20.0
DEAD_LETTERS_PER_PAGE = 1_000


class Rounds(Generic[AnyFleet]):
    """The rounds of one fleet; what is sent in one is counted in that one."""

    def __init__(self, fleet: AnyFleet, tally: Tally, rate: float, dice: random.Random) -> None:
        self._fleet = fleet
        self._tally = tally
        self._prober = Prober(fleet, tally, rate, dice)
        self._is_sending = False

    @property
    def sent(self) -> int:
        """How many events were sent so far."""
        return self._prober.numbers

    async def one(self, name: str, fault: Callable[[AnyFleet], Coroutine[Any, Any, None]], wanted: int = 0) -> Row:
        """Make one round; go on sending until `wanted` events were sent in all rounds together."""
        first, self._is_sending = self._prober.numbers, True
        sending = asyncio.create_task(self._send(wanted))
        await asyncio.sleep(LEAD_SECONDS)
        await fault(self._fleet)
        mended = time.monotonic()
        self._is_sending = False
        await sending
        sent = time.monotonic()
        await self._prober.settle(SETTLE_SECONDS_MAX)
        dead = await self._worked_off()
        recovery = time.monotonic() - (sent if wanted else mended)
        return self._tally.row(name, range(first, self._prober.numbers), dead, round(recovery, 1))

    async def close(self) -> None:
        """Stop sending."""
        await self._prober.close()

    async def _send(self, wanted: int) -> None:
        while self._is_sending or self._prober.numbers < wanted:
            await self._prober.send_for(0.2)

    async def _worked_off(self) -> set[str]:
        """Wait until no event is open; gives the ids of all dead letters."""
        deadline = time.monotonic() + SETTLE_SECONDS_MAX
        while True:
            try:
                store = await self._fleet.open_store()
                try:
                    while (await store.sample()).pending and time.monotonic() < deadline:  # noqa: ASYNC110 - no signal
                        await asyncio.sleep(0.1)
                    return await _dead_letters(store)
                finally:
                    await store.close()
            except (StoreUnavailable, StoreNotDurable):
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0.1)


@asynccontextmanager
async def rounds_on(
    make: Callable[[Path, Tally], AnyFleet], rate: float, dice: random.Random
) -> AsyncGenerator[Rounds[AnyFleet]]:
    """Run a fleet in a directory of its own, and rounds on it."""
    tally = Tally()
    with TemporaryDirectory(prefix="wb-chaos-") as folder:
        async with running(make(Path(folder), tally)) as fleet:
            rounds = Rounds(fleet, tally, rate, dice)
            yield rounds
            await rounds.close()


async def _dead_letters(store: Store) -> set[str]:
    found: set[str] = set()
    while page := await store.events.page("dead", DEAD_LETTERS_PER_PAGE, offset=len(found)):
        found |= {summary.id for summary in page}
    return found
