"""Queue statistics: jobs, events, age of the oldest event, memory, workers. Also writes heartbeats."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec import Struct

from service.store.connection.client import Client
from service.store.connection.durability import parse_info
from service.store.keys import Keys
from service.store.scripts import QUEUE_STATS


class QueueStats(Struct, frozen=True):
    """Numbers of jobs (`due`, `deferred`, `running`, `parked`), events (`pending`, `dead_letters`) and live `workers`.

    `oldest_age_ms` is the age of the oldest pending event, `parked_age_ms` that of the job parked for longest,
    and `oldest_due_ms` the time since the longest waiting due job became due.
    `damaged_keys` is the number of keys that were set aside, because another program had changed their type.
    `memory_percent` is relative to maxmemory; 0 if it has none. Of the shards of one server, the first one has the
    memory; the others have 0 bytes.
    """

    due: int
    deferred: int
    running: int
    pending: int
    oldest_age_ms: int
    dead_letters: int
    memory_bytes: int
    memory_percent: int
    workers: int
    parked: int
    parked_age_ms: int
    oldest_due_ms: int
    damaged_keys: int


NO_MEMORY = (0, 0)
"""Memory of a shard whose server is counted with another shard."""


class Beat(NamedTuple):
    """Content of a heartbeat."""

    until: float
    running: float
    clock_difference_seconds: float


def parse_heartbeat(stored: bytes) -> Beat:
    """Return the content of a heartbeat; one that has expired if it cannot be read: its worker writes the next one."""
    try:
        until, running, difference = map(float, stored.split())
    except ValueError:
        return Beat(0.0, 0.0, 0.0)
    beat = Beat(until, running, difference)
    return beat if all(map(math.isfinite, beat)) else Beat(0.0, 0.0, 0.0)


class QueueStatsReader:
    """Reads the statistics, and writes heartbeats, which contain the number of running jobs."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._workers_key = keys.named("workers")

    async def clock(self) -> float:
        """Return the time of the store, in seconds since the epoch.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        seconds, microseconds = map(int, await self._client.command("TIME"))
        return seconds + microseconds / 1_000_000

    async def heartbeat(
        self, worker: str, running: int, now: float, seconds_max: float, difference_seconds: float = 0.0
    ) -> None:
        """Write a heartbeat that expires `seconds_max` after `now`, which is the time of the store.

        `difference_seconds` is the store's clock minus the clock of the worker.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        await self._client.command(
            "HSET", self._workers_key, worker, f"{now + seconds_max:.0f} {running} {difference_seconds:.3f}"
        )

    async def remove_worker(self, worker: str) -> None:
        """Remove the heartbeat of a worker that stops.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        await self._client.command("HDEL", self._workers_key, worker)

    async def sample(self) -> QueueStats:
        """Return the statistics.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        return decode_stats(await self._client.call(QUEUE_STATS, (), seconds_max=0), await self.memory())

    async def memory(self) -> tuple[int, int]:
        """Return the used bytes and the percentage of maxmemory, 0 without a limit.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        info = parse_info(await self._client.command("INFO", "memory"))
        used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
        return used, used * 100 // limit if limit else 0


def decode_stats(reply: Sequence[Any], memory: tuple[int, int]) -> QueueStats:
    """Return the statistics from the reply of the script, and bytes and percentage of the server's memory."""
    due, queued, pending, oldest_age_ms, dead_letters, parked, parked_age_ms, oldest_due_ms, now_ms, *rest = reply
    damaged, heartbeats = rest
    beats = [parse_heartbeat(each) for each in heartbeats]
    alive = [int(beat.running) for beat in beats if beat.until * 1000 >= now_ms]
    # From the heartbeats: counting leases would require a scan of all keys.
    running = sum(alive)
    # Never negative: heartbeats are older than the queue.
    deferred = max(queued - due - running - parked, 0)
    return QueueStats(
        due, deferred, running, pending, oldest_age_ms, dead_letters, *memory, len(alive),
        parked, parked_age_ms, oldest_due_ms, damaged,
    )  # fmt: skip
