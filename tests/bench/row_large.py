"""Row `large`: whole events of large records, compared with tuned arq, and the longest block of the event loop."""

from collections import defaultdict

from tests.bench.material import ten_rules
from tests.bench.row_whole import check_sink
from tests.bench.row_worker import run_arq, run_own
from tests.bench.seeding import seed_arq, seed_own
from tests.bench.stage import MEASURED, OTHERS, Stage
from tests.bench.table import Line, Sample, faster, middle, within

LINES = 2_000
ALONE = 10
BLOCK_MS_MAX = 50.0
"""Budget of the longest piece of work that nothing interrupts."""


def measure(stage: Stage, repeats: int, *, quick: bool) -> list[Line]:
    """Fill the queue, then let one worker of each side empty it, in turn."""
    own, theirs = (60, 40) if quick else (200, 120)
    stub = stage.listen("stub", OTHERS, LINES)
    stage.write_config(stub.url)
    runs: dict[str, list[Sample]] = defaultdict(list)
    blocks_ms: list[float] = []
    for _ in range(repeats):
        seed_own(stage, ten_rules(f"{stub.url}/sink"), own)
        runs["waybill"].append(run_own(stage, "whole", own))
        check_sink(stub, own)
        seed_own(stage, ten_rules(f"{stub.url}/sink"), ALONE)
        # One event at a time, so that a late timer shows one piece of work.
        result = stage.run("own_worker", MEASURED, "large", environ={"WAYBILL_CONCURRENCY": "1"}).result()
        blocks_ms.append(result["block_ms"])
        check_sink(stub, ALONE)
        seed_arq(stage, theirs)
        runs["tuned arq"].append(run_arq(stage, "tuned arq", "whole", stub.url, theirs))
        check_sink(stub, theirs)
    stub.stop()
    what = f"worker, whole event, {LINES:,} lines"
    return [
        faster(f"{what}: events", runs, "tuned arq", 0, "the same work as in the row whole"),
        within(f"{what}: longest block of the event loop", middle(blocks_ms), "ms", BLOCK_MS_MAX),
    ]
