"""Status of a store: server, workers, sweep, polls. Also erases poll state and stream entries. Not on the hot path."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from service.store.connection.client import Client
from service.store.connection.durability import parse_info
from service.store.keys import Keys
from service.store.management.events import Index
from service.store.management.queue_stats import parse_heartbeat
from service.store.platforms.polls import bucket_of
from service.store.queue.ingest import unpack_holder
from service.store.scripts import ACTIVITY

INDEXES: tuple[Index, ...] = ("open", "dead", "ended")
STREAM_ENTRIES_PER_CALL = 500
CALL_SECONDS_MAX = 5.0


class Heartbeat(Struct, frozen=True):
    """Last heartbeat of a worker: its running jobs, and the expiry of the heartbeat (seconds since the epoch).

    `clock_difference_seconds` is the store's clock minus the clock of the worker.
    """

    worker: str
    running: int
    until: float
    alive: bool
    clock_difference_seconds: float


class SweepState(Struct, frozen=True):
    """State of the sweep: the worker that sweeps (None: no worker), positions in the indexes, last time of the store.

    `clock_set_back`: the clock was set back, and the sweep makes jobs due that would wait too long.
    """

    sweeper: str | None
    open_position: int
    queue_position: int
    clock_ms: int
    clock_set_back: bool


class PollState(Struct, frozen=True):
    """State of a poll: complete passes, counts of the current pass, time of the next one (ms), whether it runs."""

    source: str
    passes: int
    records_listed: int
    changed: int
    missed: int
    due_ms: int
    polling: bool


class StoreInspector:
    """Reads the status of one store."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def server(self) -> str:
        """Return name and version of the server, such as `Valkey 8.1.1`.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        info = parse_info(await self._client.command("INFO", "server"))
        return "Valkey " + info["valkey_version"] if "valkey_version" in info else "Redis " + info["redis_version"]

    async def counts(self) -> dict[Index, int]:
        """Return the number of events in each index.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        return {index: await self._client.command("ZCARD", self._keys.named(index)) for index in INDEXES}

    async def ended_by_time(self, first_ms: int, step_ms: int, steps: int) -> tuple[list[int], list[int]]:
        """Return the number of ended events and of dead letters in each step of time, oldest first.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        counts: list[int] = await self._client.call(ACTIVITY, (first_ms, step_ms, steps), seconds_max=CALL_SECONDS_MAX)
        return counts[:steps], counts[steps:]

    async def event_time_ms(self, event_id: str) -> int:
        """Return the time (ms) of an event's last index entry: receipt, dead letter or end. 0 if it has none.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        for index in INDEXES:
            score: bytes | None = await self._client.command("ZSCORE", self._keys.named(index), event_id)
            if score is not None:
                return int(float(score))
        return 0

    async def event_id_of_key(self, source: str, dedupe_key: str) -> str | None:
        """Return the id of the event with a dedupe key; None if the key is not stored.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        value: bytes | None = await self._client.command("GET", self._keys.named(f"dedupe:{source}:{dedupe_key}"))
        return unpack_holder(value) if value else None

    async def heartbeats(self) -> list[Heartbeat]:
        """Return the last heartbeat of every worker, including expired ones.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        flat: list[bytes] = await self._client.command("HGETALL", self._keys.named("workers"))
        now = int((await self._client.command("TIME"))[0])
        found: list[Heartbeat] = []
        for name, heartbeat in zip(flat[::2], flat[1::2], strict=True):
            until, running, difference = parse_heartbeat(heartbeat)
            found.append(Heartbeat(name.decode(errors="replace"), int(running), until, until >= now, difference))
        return sorted(found, key=lambda heartbeat: heartbeat.worker)

    async def sweep(self) -> SweepState:
        """Return the state of the sweep.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        sweeper: bytes | None = await self._client.command("GET", self._keys.named("sweeper"))
        fields = await self._hash("sweep")
        return SweepState(
            sweeper.decode(errors="replace") if sweeper else None,
            _number(fields, "open"),
            _number(fields, "queue"),
            _number(fields, "clock"),
            "set_back" in fields,
        )

    async def polls(self, sources: Sequence[str]) -> list[PollState]:
        """Return the state of the polls of these sources, without polls that never started.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        found: list[PollState] = []
        for source in sources:
            fields = await self._hash(f"poll:{source}")
            polling: int = await self._client.command("EXISTS", self._keys.named(f"poll:{source}:lock"))
            if fields or polling:
                counts = (_number(fields, name) for name in ("pass", "records_listed", "changed", "missed", "due"))
                found.append(PollState(source, *counts, polling=bool(polling)))
        return found

    async def erase_poll_state(self, source: str, record_id: str, *, erase: bool) -> int:
        """Erase the fingerprint of a record. Without `erase`, only count it.

        Returns:
            The number of fingerprints, 0 or 1.

        Raises:
            StoreUnavailable: The store does not answer; safe to repeat.
        """
        key = self._keys.named(f"polled:{source}:{bucket_of(record_id)}")
        return await self._client.command("HDEL" if erase else "HEXISTS", key, record_id)

    async def erase_stream_entries(self, event_ids: frozenset[str], *, erase: bool) -> int:
        """Erase the entries of events from the streams of `publish` actions. Without `erase`, only count them.

        Returns:
            The number of entries.

        Raises:
            StoreUnavailable: The store does not answer; safe to repeat.
        """
        found = 0
        for stream in await self._streams():
            begin = b"-"
            while True:
                part = await self._client.command("XRANGE", stream, begin, "+", "COUNT", STREAM_ENTRIES_PER_CALL)
                entries = [entry for entry, fields in part if _event_of(fields) in event_ids]
                found += len(entries)
                if entries and erase:
                    await self._client.command("XDEL", stream, *entries)
                if len(part) < STREAM_ENTRIES_PER_CALL:
                    break
                begin = b"(" + part[-1][0]
        return found

    async def _streams(self) -> list[bytes]:
        found: list[bytes] = []
        cursor, pattern = b"0", self._keys.named("stream:*")
        while True:
            cursor, keys = await self._client.command("SCAN", cursor, "MATCH", pattern, "COUNT", 1_000)
            found += keys
            if cursor == b"0":
                return sorted(set(found))

    async def _hash(self, name: str) -> dict[str, str]:
        flat: list[bytes] = await self._client.command("HGETALL", self._keys.named(name))
        texts = [item.decode(errors="replace") for item in flat]
        return dict(zip(texts[::2], texts[1::2], strict=True))


def _number(fields: Mapping[str, str], name: str) -> int:
    """Return a number of a hash; 0 if there is none, or if it is damaged: the next script sets the key aside."""
    try:
        return int(float(fields.get(name, 0)))
    except (ValueError, OverflowError):
        return 0


def _event_of(fields: Sequence[bytes]) -> str:
    named = dict(zip(fields[::2], fields[1::2], strict=True))
    return named.get(b"event_id", named.get(b"event", b"")).decode(errors="replace")
