"""Looking at the store itself, never on the hot path: who works on it, who sweeps, how its polls stand."""

from collections.abc import Sequence

from msgspec import Struct

from service.store.connection.client import Client
from service.store.connection.durability import parse_info
from service.store.keys import Keys
from service.store.management.events import Index
from service.store.platforms.polls import bucket_of

INDEXES: tuple[Index, ...] = ("open", "dead", "ended")
STREAM_ENTRIES_PER_CALL = 500


class Heartbeat(Struct, frozen=True):
    """A worker's last heartbeat: the jobs it ran, and until when (seconds since the epoch) it is believed to live."""

    worker: str
    running: int
    until: float


class SweepState(Struct, frozen=True):
    """Who sweeps (None: nobody at the moment), how far the slices of `open` and `queue` have come, the last clock seen.

    `clock_set_back`: jobs that wait for a clock which was set back are being made due.
    """

    sweeper: str | None
    open_position: int
    queue_position: int
    clock_ms: int
    clock_set_back: bool


class PollState(Struct, frozen=True):
    """How a source's poll stands: passes done, the one under way, when (ms) the next is due, who polls now."""

    source: str
    passes: int
    records_listed: int
    changed: int
    missed: int
    due_ms: int
    polling: bool


class StoreInspector:
    """Every method raises StoreUnavailable where the store does not answer."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def server(self) -> str:
        """Name the server and its version: `Valkey 8.1.1`.

        Raises:
            StoreUnavailable: no answer.
        """
        info = parse_info(await self._client.command("INFO", "server"))
        return "Valkey " + info["valkey_version"] if "valkey_version" in info else "Redis " + info["redis_version"]

    async def counts(self) -> dict[Index, int]:
        """How many events are in each index.

        Raises:
            StoreUnavailable: no answer.
        """
        return {index: await self._client.command("ZCARD", self._keys.named(index)) for index in INDEXES}

    async def event_time_ms(self, event_id: str) -> int:
        """When (ms) an event arrived, died or ended, whichever was last; 0 where no index has it.

        Raises:
            StoreUnavailable: no answer.
        """
        for index in INDEXES:
            score: bytes | None = await self._client.command("ZSCORE", self._keys.named(index), event_id)
            if score is not None:
                return int(float(score))
        return 0

    async def event_id_of_key(self, source: str, claim: str) -> str | None:
        """The id of the event that holds an event key.

        Raises:
            StoreUnavailable: no answer.
        """
        held: bytes | None = await self._client.command("GET", self._keys.named(f"claim:{source}:{claim}"))
        return held.decode() if held else None

    async def heartbeats(self) -> list[Heartbeat]:
        """Every worker's last heartbeat, those of workers that vanished included.

        Raises:
            StoreUnavailable: no answer.
        """
        flat: list[bytes] = await self._client.command("HGETALL", self._keys.named("workers"))
        found: list[Heartbeat] = []
        for name, beat in zip(flat[::2], flat[1::2], strict=True):
            until, _, running = beat.decode().partition(" ")
            found.append(Heartbeat(name.decode(), int(running), float(until)))
        return sorted(found, key=lambda beat: beat.worker)

    async def sweep(self) -> SweepState:
        """How the sweep stands.

        Raises:
            StoreUnavailable: no answer.
        """
        sweeper: bytes | None = await self._client.command("GET", self._keys.named("sweeper"))
        held = await self._hash("sweep")
        return SweepState(
            sweeper.decode() if sweeper else None,
            int(held.get("open", 0)),
            int(held.get("queue", 0)),
            int(float(held.get("clock", 0))),
            "set_back" in held,
        )

    async def polls(self, sources: Sequence[str]) -> list[PollState]:
        """How the polls of these sources stand; those that never began are left out.

        Raises:
            StoreUnavailable: no answer.
        """
        found: list[PollState] = []
        for source in sources:
            held = await self._hash(f"poll:{source}")
            polling: int = await self._client.command("EXISTS", self._keys.named(f"poll:{source}:lock"))
            if held or polling:
                counts = (int(float(held.get(name, 0))) for name in ("pass", "seen", "changed", "missed", "due"))
                found.append(PollState(source, *counts, polling=bool(polling)))
        return found

    async def erase_poll_state(self, source: str, record_id: str, *, erase: bool) -> int:
        """Forget what a poll has last seen of a record, or only look; give how much there was, 0 or 1.

        Raises:
            StoreUnavailable: no answer; may be repeated.
        """
        key = self._keys.named(f"polled:{source}:{bucket_of(record_id)}")
        return await self._client.command("HDEL" if erase else "HEXISTS", key, record_id)

    async def erase_stream_entries(self, event_ids: frozenset[str], *, erase: bool) -> int:
        """Take the entries of events out of the streams of `publish` actions, or only look; give how many there were.

        Raises:
            StoreUnavailable: no answer; may be repeated.
        """
        found = 0
        for stream in await self._streams():
            begin = b"-"
            while True:
                part = await self._client.command("XRANGE", stream, begin, "+", "COUNT", STREAM_ENTRIES_PER_CALL)
                ours = [entry for entry, fields in part if _event_of(fields) in event_ids]
                found += len(ours)
                if ours and erase:
                    await self._client.command("XDEL", stream, *ours)
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
        texts = [item.decode() for item in flat]
        return dict(zip(texts[::2], texts[1::2], strict=True))


def _event_of(fields: Sequence[bytes]) -> str:
    named = dict(zip(fields[::2], fields[1::2], strict=True))
    return named.get(b"event_id", named.get(b"event", b"")).decode(errors="replace")
