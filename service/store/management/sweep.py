"""The sweep: look at a slice of what is kept, mend what breaks an invariant, forget what outlived its time.

Waybill's own calls leave nothing to mend; a sweep is for what they cannot see: keys changed by hand, a restore from an
older copy, a failover that lost writes. What was mended is counted by name, and more than zero deserves a look.
"""

from msgspec import Struct

from service.settings import Settings
from service.store.connection.client import Client
from service.store.queue.arq_jobs import encode_job
from service.store.queue.ingest import EFFECTS_FUNCTION, LANE_FUNCTION
from service.store.scripts import SWEEP


class SweepReport(Struct, frozen=True):
    """What one sweep mended or forgot, by name, such as `lane_without_job`, `open_without_lane`, `ended_expired`.

    `more`: the pass is not over, the next slice need not wait long.
    """

    counts: dict[str, int]
    more: bool = False

    @property
    def repaired(self) -> int:
        """How many invariants were found broken, retention not counted."""
        return sum(number for name, number in self.counts.items() if name not in RETENTION)


RETENTION = frozenset({"ended_expired", "dead_letters_expired", "dead_jobs_expired", "workers_expired"})


class Sweeper:
    """Sweeps on behalf of one worker; the store lets one at a time."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        # Three turns: a sweeper that missed two of them is gone, and another one goes on.
        self._turn_ms = int(settings.sweep_interval_seconds * 3_000)
        self._items_max = settings.sweep_items_max
        self._keep_ms = int(settings.decision_retention_days * 86_400_000)
        self._dead_ms = int(settings.dead_letter_retention_days * 86_400_000)
        self._ends = int(settings.body_retention_hours * 3_600_000), int(settings.lease_seconds * 1000)

    async def sweep(self, sweeper: str) -> SweepReport | None:
        """Sweep one slice; None if another one is at it.

        Raises:
            StoreUnavailable: no answer; may be repeated.
        """
        jobs = encode_job(LANE_FUNCTION, ()), encode_job(EFFECTS_FUNCTION, ())
        limits = (sweeper, self._turn_ms, self._items_max, self._keep_ms, self._dead_ms)
        answer = await self._client.call(SWEEP, (*limits, *jobs, *self._ends), seconds_max=0)
        if not answer:
            return None
        flat: list[bytes | int] = answer[1]
        names = [name.decode() for name in flat[::2] if isinstance(name, bytes)]
        return SweepReport(dict(zip(names, (int(number) for number in flat[1::2]), strict=True)), bool(answer[2]))
