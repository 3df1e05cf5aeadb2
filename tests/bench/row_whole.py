"""Row `whole`: one worker with whole events over HTTP, compared with tuned arq, Celery and BullMQ."""

import json
import urllib.request
from collections import defaultdict

from tests.bench import others
from tests.bench.material import ten_rules
from tests.bench.row_worker import parse_result, run_arq, run_own
from tests.bench.seeding import seed_arq, seed_own
from tests.bench.stage import OTHERS, Child, Stage
from tests.bench.table import Line, Sample, faster

OTHERS_QUICK = {others.CELERY: 600, others.BULLMQ: 15_000}
OTHERS_JOBS = {others.CELERY: 2_000, others.BULLMQ: 30_000}


def measure(stage: Stage, repeats: int, *, quick: bool) -> list[Line]:
    """Fill the queue, then let one worker of each side empty it, in turn. The sink counts all effects."""
    own, theirs, of_others = (1_500, 300, OTHERS_QUICK) if quick else (5_000, 1_000, OTHERS_JOBS)
    stub = stage.listen("stub", OTHERS)
    stage.write_config(stub.url)
    runs: dict[str, list[Sample]] = defaultdict(list)
    for _ in range(repeats):
        seed_own(stage, ten_rules(f"{stub.url}/sink"), own)
        runs["waybill"].append(run_own(stage, "whole", own))
        check_sink(stub, own)
        seed_arq(stage, theirs)
        runs["tuned arq"].append(run_arq(stage, "tuned arq", "whole", stub.url, theirs))
        check_sink(stub, theirs)
        for rival in others.installed():
            others.seed(stage, rival, of_others[rival])
            result = others.work(stage, rival, stub.url, of_others[rival])
            runs[rival].append(parse_result(result, of_others[rival]))
            check_sink(stub, of_others[rival])
    stub.stop()
    detail = "fetch of 30 lines, 10 rules of which one matches, one ledgered POST, log lines"
    what = "worker, whole event: events"
    lines = [faster(what, runs, "tuned arq", 4, detail)]
    return lines + [faster(what, runs, rival, others.BUDGETS[rival]) for rival in others.installed()]


def sink_times(stub: Child) -> dict[str, float]:
    """Return the time of each order at the sink, by the monotonic clock, and clear the times."""
    with urllib.request.urlopen(f"{stub.url}/_moments", timeout=5) as answer:  # noqa: S310 - our own stub
        return json.load(answer)


def check_sink(stub: Child, count: int) -> None:
    """Check that the sink received every effect."""
    if len(seen := sink_times(stub)) != count:
        raise RuntimeError(f"{len(seen)} of {count} effects came to the sink")
