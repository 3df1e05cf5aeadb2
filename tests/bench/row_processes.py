"""Row `processes`: whole events of two workers with different names, compared with one worker. Nothing is pinned."""

from collections import defaultdict

from tests.bench.material import ten_rules
from tests.bench.row_whole import check_sink
from tests.bench.seeding import seed_own
from tests.bench.stage import Stage
from tests.bench.table import Line, Sample, faster

ONE = "one worker"


def measure(stage: Stage, repeats: int, *, quick: bool) -> list[Line]:
    """Let one worker and two workers empty the same queue, in turn."""
    events = 2_000 if quick else 10_000
    stub = stage.listen("stub", None)
    stage.write_config(stub.url)
    runs: dict[str, list[Sample]] = defaultdict(list)
    for _ in range(repeats):
        for side, names in ((ONE, ("one",)), ("waybill", ("one", "two"))):
            seed_own(stage, ten_rules(f"{stub.url}/sink"), events)
            runs[side].append(_empty_queue(stage, names, events))
            check_sink(stub, events)
    stub.stop()
    detail = "worker, store and platform share all cores, so that two workers gain less than on a larger machine"
    return [faster("worker, whole event, two processes: events", runs, ONE, 0, detail)]


def _empty_queue(stage: Stage, names: tuple[str, ...], events: int) -> Sample:
    workers = [stage.run("own_worker", None, "whole", name) for name in names]
    results = [worker.result() for worker in workers]
    if sum(result["jobs"] for result in results) != events:
        raise RuntimeError(f"{[result['jobs'] for result in results]} jobs ran of {events}")
    # From the readiness of the first worker to the end of the last one.
    began = min(result["ended"] - result["seconds"] for result in results)
    seconds = max(result["ended"] for result in results) - began
    spent = sum(result["cpu_seconds"] for result in results)
    return Sample(events / seconds, spent / events * 1_000_000)
