"""Memory usage by kind of key, and erasure of a record. Both scan the store in small bounded calls."""

from collections.abc import Sequence

from msgspec import Struct

from service.store.connection.client import Client
from service.store.management.events import EventReader, Index
from service.store.scripts import ERASE, MEMORY_USAGE

CALL_SECONDS_MAX = 5.0
KEYS_PER_CALL = 500
EVENTS_PER_CALL = 100
INDEXES: tuple[Index, ...] = ("open", "dead", "ended")


class KeyUsage(Struct, frozen=True):
    """Kind of key: number of keys, and their bytes as counted by MEMORY USAGE."""

    name: str
    keys: int
    bytes: int


class Erased(Struct, frozen=True):
    """Number of erased events, and of events in progress, which need another call."""

    events: int
    in_progress: int


class MemoryUsage:
    """Measures memory by kind of key, and erases records."""

    def __init__(self, client: Client, events: EventReader) -> None:
        self._client = client
        self._events = events

    async def by_kind(self) -> list[KeyUsage]:
        """Return all kinds of keys, largest first. Keys that change during the scan may be missing.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        kinds: dict[str, KeyUsage] = {}
        cursor = b"0"
        while True:
            cursor, flat = await self._client.call(MEMORY_USAGE, (cursor, KEYS_PER_CALL), seconds_max=CALL_SECONDS_MAX)
            for name, keys, size in zip(flat[::3], flat[1::3], flat[2::3], strict=True):
                usage = kinds.get(name.decode(), KeyUsage(name.decode(), 0, 0))
                kinds[usage.name] = KeyUsage(usage.name, usage.keys + keys, usage.bytes + size)
            if cursor == b"0":
                return sorted(kinds.values(), key=lambda kind: -kind.bytes)

    async def erase_record(self, record: str) -> Erased:
        """Erase all events and the last state of a record, such as `pack:customer:1`.

        Returns:
            The number of erased events.

        Raises:
            StoreUnavailable: The store does not answer; a part may be erased. Call again.
        """
        erased = in_progress = 0
        for index in INDEXES:
            part = await self.erase_events(record, await self._events.ids_of(index, record))
            erased, in_progress = erased + part.events, in_progress + part.in_progress
        return Erased(erased, in_progress)

    async def erase_events(self, record: str, event_ids: Sequence[str]) -> Erased:
        """Erase events of a record, and its last state.

        Returns:
            The number of erased events.

        Raises:
            StoreUnavailable: The store does not answer; a part may be erased. Call again.
        """
        erased = in_progress = 0
        # At least one call, also without events: it erases the last state of the record.
        for start in range(0, max(len(event_ids), 1), EVENTS_PER_CALL):
            batch = event_ids[start : start + EVENTS_PER_CALL]
            results: list[int] = await self._client.call(ERASE, (record, *batch), seconds_max=CALL_SECONDS_MAX)
            erased, in_progress = erased + sum(results), in_progress + results.count(0)
        return Erased(erased, in_progress)
