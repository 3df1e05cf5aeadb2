"""Arrivals of events by source and hour, and the last arrival of each source.

A process counts in memory and adds its counts to the store periodically, so that a delivery waits for nothing. Events
of deliveries and of polls are counted, derived events are not.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence

from service.events import new_event_id
from service.store.connection.client import Argument, Client
from service.store.keys import Keys
from service.store.scripts import COUNT_ARRIVALS

RETENTION_MS = 26 * 3_600_000
"""Retention of the counts of an hour, after its last arrival."""


class Arrivals:
    """Counts of one store."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._counts: Counter[str] = Counter()
        self._sent: tuple[str, Counter[str]] | None = None  # a call without an answer, to be repeated

    def count(self, source: str) -> None:
        """Count one event of a source."""
        self._counts[source] += 1

    async def flush(self) -> None:
        """Add the counts to the store.

        Raises:
            StoreUnavailable: The store does not answer. The counts are added by the next call.
        """
        while self._sent or self._counts:
            if self._sent is None:
                self._sent, self._counts = (new_event_id(), self._counts), Counter()
            call_id, counts = self._sent
            arguments: list[Argument] = [RETENTION_MS, call_id]
            for source, number in counts.items():
                arguments += (source, number)
            await self._client.call(COUNT_ARRIVALS, arguments, seconds_max=0)
            self._sent = None

    async def by_hour(self, first_hour: int, hours: int) -> dict[str, list[int]]:
        """Return the arrivals of each source per hour. `first_hour` counts from the epoch.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        found: dict[str, list[int]] = {}
        hashes = [self._read(f"arrivals:{first_hour + number}") for number in range(hours)]
        for number, counts in enumerate(await asyncio.gather(*hashes)):
            for source, count in counts.items():
                found.setdefault(source, [0] * hours)[number] = count
        return found

    async def last_at_ms(self) -> dict[str, int]:
        """Return the time (ms) of the last arrival of each source.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        return await self._read("arrived")

    async def _read(self, name: str) -> dict[str, int]:
        flat: Sequence[bytes] = await self._client.command("HGETALL", self._keys.named(name))
        pairs = zip(flat[::2], flat[1::2], strict=True)
        # A damaged number is left out; the next count sets its key aside.
        return {source.decode(errors="replace"): int(number) for source, number in pairs if number.isdigit()}
