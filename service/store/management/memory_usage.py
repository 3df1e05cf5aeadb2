"""Memory usage by kind of key, and erasure of a record. Both scan the store in small bounded calls."""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from service.store.connection.client import Client
from service.store.keys import Keys
from service.store.management.events import EventReader, Index
from service.store.scripts import ERASE, MEMORY_USAGE

CALL_SECONDS_MAX = 5.0
KEYS_PER_CALL = 500
EVENTS_PER_CALL = 100
ARQ_KINDS = ("job", "in-progress", "retry", "result")
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


def sum_usage(usages: Iterable[KeyUsage]) -> list[KeyUsage]:
    """Return one sum for each kind of key, largest first."""
    kinds: dict[str, KeyUsage] = {}
    for each in usages:
        before = kinds.get(each.name, KeyUsage(each.name, 0, 0))
        kinds[each.name] = KeyUsage(each.name, before.keys + each.keys, before.bytes + each.bytes)
    return sorted(kinds.values(), key=lambda kind: -kind.bytes)


class MemoryUsage:
    """Measures memory by kind of key, and erases records."""

    def __init__(self, client: Client, keys: Keys, events: EventReader) -> None:
        self._client = client
        self._keys = keys
        self._events = events

    async def by_kind(self) -> list[KeyUsage]:
        """Return all kinds of keys, largest first. Keys that change during the scan may be missing.

        In a cluster, these are the keys of the shard; otherwise all keys of the server.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        prefix = self._keys.prefix
        patterns = (f"{prefix}*", *(f"arq:{kind}:{prefix}*" for kind in ARQ_KINDS))
        found: list[KeyUsage] = []
        for pattern in patterns if self._client.servers.is_cluster else ("*",):
            cursor = b"0"
            while True:
                arguments = (cursor, KEYS_PER_CALL, pattern)
                cursor, flat = await self._client.call(MEMORY_USAGE, arguments, seconds_max=CALL_SECONDS_MAX)
                kinds = zip(flat[::3], flat[1::3], flat[2::3], strict=True)
                found += [KeyUsage(name.decode(), keys, size) for name, keys, size in kinds]
                if cursor == b"0":
                    break
        return sum_usage(found)

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
