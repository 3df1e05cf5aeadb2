"""Sweep: checks slices of the stored data, repairs inconsistencies and removes expired data.

Waybill's own calls cause no inconsistencies. Manual changes of keys, a restored backup or a failover that lost writes
can. Repairs are counted by name; investigate them.
"""

from msgspec import Struct

from service.settings import Settings
from service.store.connection.client import Client
from service.store.queue.arq_jobs import encode_job
from service.store.queue.ingest import LANE_FUNCTION
from service.store.scripts import SWEEP


class SweepReport(Struct, frozen=True):
    """Counts of repairs and removals of one sweep by name, such as `lane_without_job` or `ended_expired`.

    `more`: the pass is not complete, so the next slice can follow soon. `expired_left`: so does the next removal.
    `rebuilding`: indexes are being rebuilt after a damage, so the next part can follow at once.
    """

    counts: dict[str, int]
    more: bool = False
    expired_left: bool = False
    rebuilding: bool = False

    @property
    def repaired(self) -> int:
        """Number of repairs, without removals of expired data."""
        return sum(number for name, number in self.counts.items() if name not in RETENTION)


RETENTION = frozenset({"ended_expired", "dead_letters_expired", "dead_jobs_expired", "workers_expired"})


class Sweeper:
    """Sweeps the store. One worker sweeps at a time."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        # Three intervals: after two missed sweeps another worker takes over.
        self._sweeper_lease_ms = int(settings.sweep_interval_seconds * 3_000)
        # All shards together cost a server what one would.
        self._items_max = -(-settings.sweep_items_max // settings.shards)
        self._retention_ms = int(settings.decision_retention_days * 86_400_000)
        self._dead_letter_ms = int(settings.dead_letter_retention_days * 86_400_000)
        self._body_and_lease_ms = int(settings.body_retention_hours * 3_600_000), int(settings.lease_seconds * 1000)

    async def sweep(self, sweeper: str) -> SweepReport | None:
        """Sweep one slice.

        Returns:
            The report; None if another worker sweeps.

        Raises:
            StoreUnavailable: The store does not answer; safe to repeat.
        """
        limits = (sweeper, self._sweeper_lease_ms, self._items_max, self._retention_ms, self._dead_letter_ms)
        job = encode_job(LANE_FUNCTION, ())
        reply = await self._client.call(SWEEP, (*limits, job, *self._body_and_lease_ms), seconds_max=0)
        if not reply:
            return None
        flat: list[bytes | int] = reply[1]
        names = [name.decode() for name in flat[::2] if isinstance(name, bytes)]
        counts = dict(zip(names, (int(number) for number in flat[1::2]), strict=True))
        return SweepReport(counts, *map(bool, reply[2:]))
