"""Row `accepted`: deliveries per second of one process, compared with Fastify + BullMQ and FastAPI + Celery."""

import json
from collections import defaultdict
from typing import Any

from tests.bench import others
from tests.bench.row_ingress import CONNECTIONS, describe, sample
from tests.bench.stage import MEASURED, OTHERS, Child, Stage
from tests.bench.table import Line, faster

PATH = "/webhooks/pack-orders"
BUDGETS = {32: 0.9, 256: 1.1}
"""Budget against BullMQ by number of connections."""
RATE_MAX = 40_000
WARM_SECONDS = 1.5
WARM_RUNS_MAX = 10
STABLE_RATIO = 1.03
"""Each side is warmed up until its rate grows by less than this: a compiler learns while it runs."""

Results = dict[str, list[dict[str, Any]]]


def measure(stage: Stage, repeats: int, *, quick: bool) -> list[Line]:
    """Warm up all sides, then measure them in turn with two numbers of connections."""
    seconds = 1.5 if quick else 2.5
    sides = {"waybill": stage.serve(MEASURED)}
    sides |= {rival: others.serve(stage, rival, MEASURED) for rival in others.installed()}
    for side, child in sides.items():
        _warm_up(stage, child, side)
    lines: list[Line] = []
    for connections in CONNECTIONS:
        results: Results = defaultdict(list)
        for _ in range(repeats):
            for side, child in sides.items():
                results[side].append(run_accepted(stage, child, side, connections, seconds))
        lines += _lines(connections, results)
    for child in sides.values():
        child.stop()
    return lines


def _warm_up(stage: Stage, child: Child, side: str) -> None:
    """Run loads until the rate is stable."""
    before = 0.0
    for run in range(WARM_RUNS_MAX):
        rate = run_accepted(stage, child, f"warm {side} {run}", max(CONNECTIONS), WARM_SECONDS)["rate"]
        if rate < before * STABLE_RATIO:
            return
        before = max(rate, before)


def run_accepted(stage: Stage, child: Child, run: str, connections: int, seconds: float) -> dict[str, Any]:
    """Measure the deliveries of one server, once and on an empty store."""
    stage.clear()
    order = {
        "port": child.port,
        "path": PATH,
        "run": run,
        "connections": connections,
        "seconds": seconds,
        "requests": int((seconds + 1) * RATE_MAX),
        "pids": {"server": child.process.pid, "store": stage.valkey.pid},
    }
    result = stage.run("load", OTHERS, json.dumps(order)).result()
    if set(result["statuses"]) != {"202"}:
        raise RuntimeError(f"{run} answered {result['statuses']}")
    return result


def _lines(connections: int, results: Results) -> list[Line]:
    samples = {side: [sample(one) for one in each] for side, each in results.items()}
    return [
        faster(
            f"ingress, {connections} connections: accepted",
            samples,
            rival,
            BUDGETS[connections] if rival == others.BULLMQ else 0,
            "; ".join(map(describe, ("waybill", rival), (results["waybill"], results[rival]))),
        )
        for rival in others.installed()
    ]
