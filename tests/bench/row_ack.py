"""Row `ack`: latency of a 202 beside a million pending events, and during a rewrite of the append-only file.

Takes about three minutes, 3 GB of memory and 5 GB of disk. With --quick it runs only by name.
"""

import json
import time
from typing import Any, cast

import uvloop

from service.store import open_shards
from tests.bench.clock import percentile
from tests.bench.row_backlog import EVENTS, QUICK_EVENTS, fill
from tests.bench.stage import MEASURED, OTHERS, Child, Stage
from tests.bench.table import Line, middle, within

CONNECTIONS, PAUSE_MS = 16, 8.0
"""Something under 2,000 deliveries a second: what is asked is how long one takes, not how many there can be."""
SECONDS, QUICK_SECONDS = 4.0, 2.0
REWRITE_SECONDS_MAX = 240.0
LEAD_SECONDS = 2.0
"""The client's start, and a while before and after the rewrite."""
RATE_MAX = 4_000

Moments = list[tuple[float, float]]


def measure(stage: Stage, repeats: int, *, quick: bool) -> list[Line]:
    """Measure with an empty queue, with a full queue, and during a rewrite of the append-only file."""
    events, seconds = (QUICK_EVENTS, QUICK_SECONDS) if quick else (EVENTS, SECONDS)
    ingress = stage.serve(MEASURED, backlog_events_max=2 * events)
    _p99(stage, ingress, "warm", seconds)
    empty = [_p99(stage, ingress, f"empty{turn}", seconds) for turn in range(repeats)]
    began = time.monotonic()
    uvloop.run(_fill(stage, events))
    filled_seconds = time.monotonic() - began
    full = [_p99(stage, ingress, f"full{turn}", seconds) for turn in range(repeats)]
    moments, rewrite = _load_during_rewrite(stage, ingress)
    ingress.stop()
    taken = [ms for _, ms in moments]
    size = sum(path.stat().st_size for path in (stage.directory / "data").glob("appendonlydir/*")) / 1e6
    acks = f"p99 {middle(empty):.2f} ms with none, {middle(full):.2f} ms with {events:,} waiting"
    filled = f"filled in {filled_seconds:.0f} s"
    during = (
        f"{len(taken):,} deliveries in the {rewrite:.1f} s that the rewrite took ({size:,.0f} MB): "
        f"p50 {percentile(taken, 0.5):.2f} ms, slowest {max(taken):.0f} ms"
    )
    what = "ack p99 while the append-only file is rewritten"
    return [
        within(
            f"ack p99 with {events:,} waiting, against none",
            middle(full) / middle(empty),
            "times",
            2,
            f"{acks}; {filled}",
        ),
        within(what, percentile(taken, 0.99), "ms", 1_000, during),
    ]


async def _fill(stage: Stage, events: int) -> None:
    store = await open_shards(stage.settings(backlog_events_max=2 * events))
    await fill(store, 0, events)
    await store.close()


def _p99(stage: Stage, ingress: Child, run: str, seconds: float) -> float:
    return percentile([ms for _, ms in _moments(_load(stage, ingress, run, seconds))], 0.99)


def _load(stage: Stage, ingress: Child, run: str, seconds: float) -> Child:
    order = {
        "port": ingress.port,
        "path": "/webhooks/pack-orders",
        "run": run,
        "connections": CONNECTIONS,
        "pause_ms": PAUSE_MS,
        "seconds": seconds,
        "requests": int((seconds + 1) * RATE_MAX),
    }
    return stage.run("load", OTHERS, json.dumps(order))


def _moments(load: Child) -> Moments:
    result = load.result()
    if set(result["statuses"]) != {"202"}:
        raise RuntimeError(f"answered {result['statuses']}")
    return [(at, ms) for at, ms in result["moments"]]


def _load_during_rewrite(stage: Stage, ingress: Child) -> tuple[Moments, float]:
    """Return the deliveries in flight during a rewrite, and the seconds of the rewrite."""
    load = _load(stage, ingress, "rewrite", REWRITE_SECONDS_MAX)
    time.sleep(LEAD_SECONDS)
    began = time.monotonic()
    stage.redis.bgrewriteaof()  # pyright: ignore[reportUnknownMemberType] - redis-py's types have holes
    while _info(stage)["aof_rewrite_in_progress"] or _info(stage)["aof_rewrite_scheduled"]:
        if time.monotonic() > began + REWRITE_SECONDS_MAX:
            raise RuntimeError("the rewrite does not end")
        time.sleep(0.05)
    ended = time.monotonic()
    if _info(stage)["aof_last_bgrewrite_status"] != "ok":
        raise RuntimeError("the rewrite failed")
    time.sleep(LEAD_SECONDS)
    load.process.terminate()
    return [(at, ms) for at, ms in _moments(load) if at > began and at - ms / 1000 < ended], ended - began


def _info(stage: Stage) -> dict[str, Any]:
    return cast("dict[str, Any]", cast("Any", stage.redis).info("persistence"))
