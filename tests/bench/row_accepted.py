"""Row `accepted`: deliveries per second of one process, compared with Fastify + BullMQ and FastAPI + Celery."""

import json
from collections import defaultdict
from typing import Any

from tests.bench import others
from tests.bench.row_ingress import CONNECTIONS
from tests.bench.stage import MEASURED, OTHERS, Child, Stage
from tests.bench.table import Line, faster, middle

PATH = "/webhooks/pack-orders"
RATE_MAX = 40_000
WARM_SECONDS = 1.5
"""Before the first measurement: what a compiler learns while it runs is part of what a rival is."""

Results = dict[str, list[dict[str, Any]]]


def measure(stage: Stage, repeats: int, *, quick: bool) -> list[Line]:
    """Warm up all sides, then measure them in turn with two numbers of connections."""
    seconds = 1.5 if quick else 2.5
    sides = {"waybill": stage.serve(MEASURED)}
    sides |= {rival: others.serve(stage, rival, MEASURED) for rival in others.installed()}
    for side, child in sides.items():
        _run_load(stage, child, f"warm {side}", max(CONNECTIONS), WARM_SECONDS)
    lines: list[Line] = []
    for connections in CONNECTIONS:
        results: Results = defaultdict(list)
        for _ in range(repeats):
            for side, child in sides.items():
                results[side].append(_run_load(stage, child, side, connections, seconds))
        lines += _lines(f"ingress, {connections} connections: accepted", results)
    for child in sides.values():
        child.stop()
    return lines


def _run_load(stage: Stage, child: Child, run: str, connections: int, seconds: float) -> dict[str, Any]:
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


def _lines(what: str, results: Results) -> list[Line]:
    rates = {side: [one["rate"] for one in each] for side, each in results.items()}
    return [
        faster(
            what,
            rates,
            rival,
            others.BUDGETS[rival],
            "; ".join(map(_describe, ("waybill", rival), (results["waybill"], results[rival]))),
        )
        for rival in others.installed()
    ]


def _describe(side: str, each: list[dict[str, Any]]) -> str:
    rate, p50, p99 = (middle([one[name] for one in each]) for name in ("rate", "p50_ms", "p99_ms"))
    busy = {name: middle([one["shares"][name] for one in each]) for name in ("server", "store", "client")}
    shares = ", ".join(f"{name} {share:.0%}" for name, share in busy.items())
    cost = busy["server"] / rate * 1_000_000
    return f"{side} {rate:,.0f}/s, {cost:.0f} us of CPU each (p50 {p50:.1f} ms, p99 {p99:.1f} ms; cores: {shares})"
