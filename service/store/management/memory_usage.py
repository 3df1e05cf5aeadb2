"""What takes the memory, and erasing what is kept of a record. Both walk the whole store in small bounded calls."""

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
    """One kind of key: how many, and their bytes in memory, as MEMORY USAGE counts them."""

    name: str
    keys: int
    bytes: int


class Erased(Struct, frozen=True):
    """How many events of a record were erased, and how many a run had in hand; those need another call."""

    events: int
    in_hand: int


class MemoryUsage:
    """Counts by kind, and erases by record."""

    def __init__(self, client: Client, events: EventReader) -> None:
        self._client = client
        self._events = events

    async def by_kind(self) -> list[KeyUsage]:
        """Every kind of key, the heaviest first. Keys that come and go meanwhile may be counted or not.

        Raises:
            StoreUnavailable: no answer.
        """
        kinds: dict[str, KeyUsage] = {}
        cursor = b"0"
        while True:
            cursor, flat = await self._client.call(MEMORY_USAGE, (cursor, KEYS_PER_CALL), seconds_max=CALL_SECONDS_MAX)
            for name, keys, size in zip(flat[::3], flat[1::3], flat[2::3], strict=True):
                known = kinds.get(name.decode(), KeyUsage(name.decode(), 0, 0))
                kinds[known.name] = KeyUsage(known.name, known.keys + keys, known.bytes + size)
            if cursor == b"0":
                return sorted(kinds.values(), key=lambda kind: -kind.bytes)

    async def erase_record(self, record: str) -> Erased:
        """Erase every event of a record (`pack:customer:1`) and what the last decision remembers of it.

        Raises:
            StoreUnavailable: no answer; what was erased is, call again.
        """
        erased = in_hand = 0
        for index in INDEXES:
            part = await self.erase_events(record, await self._events.ids_of(index, record))
            erased, in_hand = erased + part.events, in_hand + part.in_hand
        return Erased(erased, in_hand)

    async def erase_events(self, record: str, event_ids: Sequence[str]) -> Erased:
        """Erase these events of a record and what the last decision remembers of it.

        Raises:
            StoreUnavailable: no answer; what was erased is, call again.
        """
        erased = in_hand = 0
        # Once even without events: the same call erases what the record's last decision remembers.
        for start in range(0, max(len(event_ids), 1), EVENTS_PER_CALL):
            batch = event_ids[start : start + EVENTS_PER_CALL]
            answers: list[int] = await self._client.call(ERASE, (record, *batch), seconds_max=CALL_SECONDS_MAX)
            erased, in_hand = erased + sum(answers), in_hand + answers.count(0)
        return Erased(erased, in_hand)
