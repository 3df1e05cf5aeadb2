"""How full the store is: what waits, how long, and how much memory is taken."""

from msgspec import Struct

from service.store.connection.client import Client
from service.store.connection.durability import parse_info
from service.store.keys import Keys
from service.store.scripts import QUEUE_STATS


class QueueStats(Struct, frozen=True):
    """Counts of jobs (`due`, `deferred`, `running`), of events (`pending`, `dead_letters`) and of `workers` alive.

    `oldest_age_ms` is the oldest event's age, `memory_percent` the part of the store's limit, 0 where it has none.
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


class QueueStatsReader:
    """Takes samples, and writes each worker's heartbeat, from which the number of running jobs is known."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._workers_key = keys.named("workers")

    async def heartbeat(self, worker: str, running: int, now: float, seconds_max: float) -> None:
        """Say that `worker` lives and runs that many jobs; believed for `seconds_max`.

        Raises:
            StoreUnavailable: no answer.
        """
        await self._client.command("HSET", self._workers_key, worker, f"{now + seconds_max:.0f} {running}")

    async def remove_worker(self, worker: str) -> None:
        """Say that `worker` is going.

        Raises:
            StoreUnavailable: no answer.
        """
        await self._client.command("HDEL", self._workers_key, worker)

    async def sample(self, now: float) -> QueueStats:
        """Count.

        Raises:
            StoreUnavailable: no answer.
        """
        due, queued, pending, oldest_age_ms, dead_letters = await self._client.call(QUEUE_STATS, (), seconds_max=0)
        memory_bytes, memory_percent = await self.memory()
        beats: list[bytes] = await self._client.command("HVALS", self._workers_key)
        alive = [int(running) for until, running in (beat.split() for beat in beats) if float(until) >= now]
        # By the heartbeats, since locks could only be counted by looking at every key.
        running = sum(alive)
        # Seen at three moments: what moved in between must not make it negative.
        deferred = max(queued - due - running, 0)
        return QueueStats(
            due, deferred, running, pending, oldest_age_ms, dead_letters, memory_bytes, memory_percent, len(alive)
        )

    async def memory(self) -> tuple[int, int]:
        """Give the bytes in use and the percent of the limit, 0 where there is no limit.

        Raises:
            StoreUnavailable: no answer.
        """
        info = parse_info(await self._client.command("INFO", "memory"))
        used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
        return used, used * 100 // limit if limit else 0
