"""Row `idle`: latency of one event without other load."""

import json
import time
from collections import defaultdict

from tests.bench.clock import percentile
from tests.bench.material import ten_rules
from tests.bench.row_whole import sink_times
from tests.bench.seeding import seed_own
from tests.bench.stage import Child, Stage
from tests.bench.table import Line, quicker

PACE_MS = 90.0
SETTLE_SECONDS = 1.5

Times = dict[str, list[float]]


def measure(stage: Stage, repeats: int, *, quick: bool) -> list[Line]:
    """Send single deliveries to each side in turn, and measure the start of the job and the call of the sink."""
    events = 25 if quick else 40
    stub = stage.listen("stub", None)
    stage.write_config(stub.url)
    own, arq = stage.serve(None), stage.listen("rival_ingress", None, "arq")
    times: dict[str, Times] = defaultdict(lambda: defaultdict(list))
    for turn in range(repeats):
        for side in ("waybill", "default arq", "tuned arq"):
            stage.clear()
            if side == "waybill":
                seed_own(stage, ten_rules(f"{stub.url}/sink"), 0)
                worker = stage.run("own_worker", None, "idle")
            else:
                worker = stage.run("rival_worker", None, side.partition(" ")[0], "idle", stub.url)
            ingress = own if side == "waybill" else arq
            _one(stage, (ingress, worker, stub), f"{side[0]}{turn}", events, times[side])
    for child in (stub, own, arq):
        child.stop()
    return _lines(times)


def _one(stage: Stage, children: tuple[Child, Child, Child], run: str, events: int, times: Times) -> None:
    ingress, worker, stub = children
    moments = send_paced(stage, ingress, worker, run, events=events, pace_ms=PACE_MS)
    worker.process.terminate()
    claimed: dict[str, float] = worker.result()["moments"]
    acted = sink_times(stub)
    # The first three open connections and fill caches, on each side.
    for number, (sent, answered) in list(enumerate(moments))[3:]:
        record_id = f"{run}-po-{number:08d}"
        times["claim"].append((claimed[record_id] - answered) * 1000)
        times["sent to claim"].append((claimed[record_id] - sent) * 1000)
        times["action"].append((acted[record_id] - sent) * 1000)


def send_paced(
    stage: Stage, ingress: Child, worker: Child, run: str, *, events: int, pace_ms: float
) -> list[list[float]]:
    """Send deliveries at random intervals. Return the times of each request and response, the first three included.

    The first three open connections and fill caches.
    """
    worker.wait_for_start()  # else the first events would wait for its imports
    order = {"port": ingress.port, "path": "/webhooks/pack-orders", "run": run, "requests": events + 3}
    load = stage.run("load", None, json.dumps({**order, "pace_ms": pace_ms}))
    moments: list[list[float]] = load.result()["moments"]
    time.sleep(SETTLE_SECONDS)  # the last job has its time
    return moments


def _lines(times: dict[str, Times]) -> list[Line]:
    own, default, tuned = times["waybill"], times["default arq"], times["tuned arq"]

    def at(side: Times, what: str, part: float) -> float:
        return percentile(side[what], part)

    claim = max(at(own, "claim", 0.5), 0.05)
    detail = (
        f"median of claim minus answer {at(own, 'claim', 0.5):.2f} ms (below zero: claimed before the sender has its "
        f"202), counted as 0.05 ms at least; from the first byte sent {at(own, 'sent to claim', 0.5):.2f} ms, "
        f"default arq {at(default, 'sent to claim', 0.5):.1f} ms, tuned arq {at(tuned, 'sent to claim', 0.5):.2f} ms"
    )
    sides = {"waybill": claim, "default arq": at(default, "claim", 0.5)}
    lines = [quicker("idle: answer to claim, p50", sides, "default arq", 150, detail)]
    for name, part, budget in (("p50", 0.5, 40), ("p99", 0.99, 20)):
        what = f"idle: POST to action with a fetch, {name}"
        beside = f"tuned arq {at(tuned, 'action', part):.1f} ms; {len(own['action'])} events a side"
        sides = {"waybill": at(own, "action", part), "default arq": at(default, "action", part)}
        lines.append(quicker(what, sides, "default arq", budget, beside))
    return lines
