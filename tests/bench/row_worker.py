"""Row `worker`: one worker with records in memory, compared with arq and empty jobs."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from tests.bench.material import REFERENCE_RULE
from tests.bench.seeding import seed_arq, seed_own
from tests.bench.stage import MEASURED, Stage
from tests.bench.table import Line, faster


class WorkerResult(Struct, frozen=True):
    """Jobs per second, and CPU time per job."""

    rate: float
    cpu_us: float


def measure(stage: Stage, repeats: int, *, quick: bool) -> list[Line]:
    """Fill the queue, then let one worker of each side empty it, in turn."""
    counts = {"waybill": 4_000, "tuned arq": 1_500, "default arq": 200}
    if not quick:
        counts = {"waybill": 12_000, "tuned arq": 4_000, "default arq": 400}
    rates: dict[str, list[float]] = defaultdict(list)
    for _ in range(repeats):
        seed_own(stage, REFERENCE_RULE, counts["waybill"])
        rates["waybill"].append(run_own(stage, "cached", counts["waybill"]).rate)
        for side in ("tuned arq", "default arq"):
            seed_arq(stage, counts[side])
            rates[side].append(run_arq(stage, side, "empty", "", counts[side]).rate)
    what = "worker, record from memory, decision, log lines"
    return [
        faster(f"{what}: events, against empty jobs", rates, "tuned arq", 2.5),
        faster(f"{what}: events, against empty jobs", rates, "default arq", 40),
    ]


def run_own(stage: Stage, what: str, events: int) -> WorkerResult:
    """Run a Waybill worker until its queue is empty."""
    return parse_result(stage.run("own_worker", MEASURED, what).result(), events)


def run_arq(stage: Stage, side: str, what: str, stub: str, jobs: int) -> WorkerResult:
    """Run an arq worker until its queue is empty."""
    return parse_result(stage.run("rival_worker", MEASURED, side.partition(" ")[0], what, stub).result(), jobs)


def parse_result(result: Mapping[str, Any], expected: int) -> WorkerResult:
    """Build the result from the output of a worker. Every job must have run."""
    if result.get("failed"):
        raise RuntimeError(f"{result['failed']} jobs failed")
    if result["jobs"] != expected:
        raise RuntimeError(f"{result['jobs']} jobs ran of {expected}")
    return WorkerResult(expected / result["seconds"], result["cpu_seconds"] / expected * 1_000_000)
