"""Row `worker`: one worker with records in memory, compared with arq and empty jobs."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from tests.bench.material import REFERENCE_RULE
from tests.bench.seeding import seed_arq, seed_own
from tests.bench.stage import MEASURED, Stage
from tests.bench.table import Line, Sample, faster


def measure(stage: Stage, repeats: int, *, quick: bool) -> list[Line]:
    """Fill the queue, then let one worker of each side empty it, in turn."""
    counts = {"waybill": 4_000, "tuned arq": 1_500, "default arq": 200}
    if not quick:
        counts = {"waybill": 12_000, "tuned arq": 4_000, "default arq": 400}
    runs: dict[str, list[Sample]] = defaultdict(list)
    for _ in range(repeats):
        seed_own(stage, REFERENCE_RULE, counts["waybill"])
        runs["waybill"].append(run_own(stage, "cached", counts["waybill"]))
        for side in ("tuned arq", "default arq"):
            seed_arq(stage, counts[side])
            runs[side].append(run_arq(stage, side, "empty", "", counts[side]))
    what = "worker, record from memory, decision, log lines"
    return [
        faster(f"{what}: events, against empty jobs", runs, "tuned arq", 2.5),
        faster(f"{what}: events, against empty jobs", runs, "default arq", 40),
    ]


def run_own(stage: Stage, what: str, events: int) -> Sample:
    """Run a Waybill worker until its queue is empty."""
    return parse_result(stage.run("own_worker", MEASURED, what).result(), events)


def run_arq(stage: Stage, side: str, what: str, stub: str, jobs: int) -> Sample:
    """Run an arq worker until its queue is empty."""
    return parse_result(stage.run("rival_worker", MEASURED, side.partition(" ")[0], what, stub).result(), jobs)


def parse_result(result: Mapping[str, Any], expected: int) -> Sample:
    """Build the result from the output of a worker. Every job must have run; a deferred one runs again."""
    if result.get("failed"):
        raise RuntimeError(f"{result['failed']} jobs failed")
    if result["jobs"] < expected:
        raise RuntimeError(f"{result['jobs']} jobs ran of {expected}")
    measured = result.get("measured", expected)
    return Sample(measured / result["seconds"], result["cpu_seconds"] / measured * 1_000_000)
