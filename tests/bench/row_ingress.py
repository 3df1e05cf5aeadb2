"""Row `ingress`: deliveries per second of one process, compared with arq and with almost no work."""

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from tests.bench.stage import MEASURED, OTHERS, Child, Stage
from tests.bench.table import Line, Sample, faster, middle

PATHS = {"waybill": "/webhooks/pack-orders", "arq": "/webhooks/pack-orders", "bare": "/webhooks/bare", "echo": "/"}
CONNECTIONS = (32, 256)
RATE_MAX = {"waybill": 30_000, "arq": 12_000, "bare": 45_000, "echo": 90_000}
"""How many requests a second are prepared; a side that used them all up would show as such."""


def measure(stage: Stage, repeats: int, *, quick: bool) -> list[Line]:
    """Measure all sides in turn with two numbers of connections."""
    seconds = 1.5 if quick else 2.5
    sides = {
        "waybill": stage.serve(MEASURED),
        "arq": stage.listen("rival_ingress", MEASURED, "arq"),
        "bare": stage.listen("rival_ingress", MEASURED, "bare"),
        "echo": stage.listen("stub", MEASURED, "echo"),
    }
    lines: list[Line] = []
    for connections in CONNECTIONS:
        results: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for turn in range(repeats):
            for side, child in sides.items():
                if side != "echo" or turn == 0:
                    results[side].append(run_load(stage, side, child, connections, seconds))
        lines += _lines(connections, results)
    for child in sides.values():
        child.stop()
    return lines


def run_load(stage: Stage, side: str, child: Child, connections: int, seconds: float) -> dict[str, Any]:
    """Measure once on an empty store."""
    stage.clear()
    order = {
        "port": child.port,
        "path": PATHS[side],
        "run": f"{side}{connections}",
        "connections": connections,
        "seconds": seconds,
        "requests": int((seconds + 1) * RATE_MAX[side]),
        "pids": {"server": child.process.pid, "store": stage.valkey.pid},
    }
    result = stage.run("load", OTHERS, json.dumps(order)).result()
    if side != "echo" and set(result["statuses"]) != {"202"}:
        raise RuntimeError(f"{side} answered {result['statuses']}")
    return result


def _lines(connections: int, results: dict[str, list[dict[str, Any]]]) -> list[Line]:
    samples = {side: [sample(one) for one in each] for side, each in results.items()}
    detail = "; ".join(describe(side, each) for side, each in results.items())
    what = f"ingress, {connections} connections"
    return [
        faster(f"{what}: accepted", samples, "arq", 3.5, detail),
        faster(f"{what}: against reading and answering only", samples, "bare", 0.6),
    ]


def sample(result: dict[str, Any]) -> Sample:
    """Return the rate of a load and the CPU time of the server per request."""
    return Sample(result["rate"], result["shares"]["server"] / result["rate"] * 1_000_000)


def describe(side: str, each: Sequence[dict[str, Any]]) -> str:
    """Return response times and shares of the cores."""
    p50, p99 = (middle([one[name] for one in each]) for name in ("p50_ms", "p99_ms"))
    shares = {name: middle([one["shares"][name] for one in each]) for name in each[0]["shares"]}
    busy = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    return f"{side}: p50 {p50:.1f} ms, p99 {p99:.1f} ms; cores: {busy}"
