"""Writes that a run could not make while its lease was valid: results of effects, and releases of jobs.

The store was unreachable for longer than a lease, or the worker was frozen. The worker writes them before its next
claim. A late result settles its effect unless somebody started the effect again. An effect that another worker
dead-lettered with `outcome_unknown` meanwhile continues.
"""

import time
from collections.abc import Callable

import structlog
from msgspec import Struct

from service.errors import WaybillError
from service.metrics.families import LATE_RESULTS
from service.store import JobEnd, SettlementWrite, Store
from service.store.queue.leases import Leases

LATE_RESULT_SECONDS_MAX = 600.0
"""Longest time for which a result is kept while another attempt of its event runs."""
RELEASES_PER_CALL_MAX = 200


class LateResult(Struct, frozen=True):
    """Settlement of the step `late`, and the monotonic time of its loss."""

    write: SettlementWrite
    lost_at: float


class LateWrites:
    """Late writes of one shard of a worker: at most one result and one release per run that lost its lease."""

    def __init__(self, store: Store, leases: Leases, clock: Callable[[], float] = time.monotonic) -> None:
        self._lanes, self._leases = store.lanes, leases
        self._clock = clock
        self._results: list[LateResult] = []
        self._releases: list[JobEnd] = []
        self._log = structlog.get_logger()

    def add_result(self, write: SettlementWrite) -> None:
        """Keep the results of one run."""
        self._results.append(LateResult(write, self._clock()))

    def add_release(self, job_id: str, token: str) -> None:
        """Keep the release of a job. No attempt and no worker crash is counted."""
        self._releases.append(JobEnd(job_id, token, "release"))

    async def write(self) -> None:
        """Write all results, then release the jobs. Keep results whose event another attempt runs now.

        Raises:
            StoreUnavailable, StoreNotDurable: the store accepts no writes; the rest is kept.
        """
        await self._write_results()
        while ends := self._releases[:RELEASES_PER_CALL_MAX]:
            await self._leases.finish(ends, seconds_max=0)
            del self._releases[: len(ends)]

    async def _write_results(self) -> None:
        results, self._results = self._results, []
        while results:
            result = results[0]
            try:
                outcome = await self._lanes.settle_late(result.write)
            except WaybillError:
                self._results = results + self._results
                raise
            del results[0]
            if outcome == "running" and self._clock() - result.lost_at < LATE_RESULT_SECONDS_MAX:
                self._results.append(result)
            else:
                self._report(result.write, "expired" if outcome == "running" else outcome)

    def _report(self, write: SettlementWrite, outcome: str) -> None:
        LATE_RESULTS.inc((outcome,))
        fields = {"job": write.job, "event_id": write.event_id, "outcome": outcome}
        if outcome == "settled":
            self._log.info("late_result.finished", **fields)
        else:
            self._log.warning("late_result.finished", **fields)
