"""Row `isolation`: latency of events for one target while another target accepts connections and never answers."""

from collections import defaultdict

from tests.bench.clock import percentile
from tests.bench.row_idle import send_paced
from tests.bench.row_whole import sink_times
from tests.bench.seeding import seed_own
from tests.bench.stage import Stage
from tests.bench.table import Line, within

PACE_MS = 15.0
OTHER_EVENTS = 300
RULES = """\
- id: other
  type: purchase_order
  when: {field: id, op: matches, value: "po-.*"}
  actions: [{id: call, do: http, url: "OTHER/sink", body: {order: "{id}"}}]
- id: healthy
  type: purchase_order
  when: {field: id, op: matches, value: "paced.*"}
  actions: [{id: call, do: http, url: "HEALTHY/sink", body: {order: "{id}"}}]
"""


def measure(stage: Stage, repeats: int, *, quick: bool) -> list[Line]:
    """Send paced deliveries beside a backlog for another target, which answers or hangs, in turn."""
    events = 200 if quick else 400
    stub, silent = stage.listen("stub", None), stage.listen("stub", None, "silent")
    stage.write_config(stub.url)
    ingress = stage.serve(None)
    times: dict[str, list[float]] = defaultdict(list)
    for turn in range(repeats):
        for other in (stub, silent):
            seed_own(stage, RULES.replace("OTHER", other.url).replace("HEALTHY", stub.url), OTHER_EVENTS)
            worker = stage.run("own_worker", None, "idle", environ={"WAYBILL_DRAIN_TIMEOUT_SECONDS": "1"})
            run = f"paced-{turn}"
            moments = send_paced(stage, ingress, worker, run, events=events, pace_ms=PACE_MS)
            worker.stop()
            acted = sink_times(stub)
            times[other.url] += [
                (acted[f"{run}-po-{number:08d}"] - sent) * 1000 for number, (sent, _) in enumerate(moments)
            ][3:]
    for child in (stub, silent, ingress):
        child.stop()
    normal, beside = percentile(times[stub.url], 0.99), percentile(times[silent.url], 0.99)
    detail = f"p99 {beside:.1f} ms beside {OTHER_EVENTS} events of a target that hangs, {normal:.1f} ms if it answers"
    return [within("isolation: POST to action of a healthy target, p99", beside / normal, "times", 3, detail)]
