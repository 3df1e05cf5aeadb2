"""Row `parked`: CPU time of an idle worker with parked events, compared with the same worker without events."""

import time

from tests.bench.clock import cpu_seconds
from tests.bench.material import REFERENCE_RULE
from tests.bench.seeding import seed_own
from tests.bench.stage import MEASURED, OTHERS, START_SECONDS_MAX, Child, Stage
from tests.bench.table import Line, within

HEARTBEATS = "{wb:00:st}:workers"
EVENTS = 100_000
"""Parked events; `--parked 1000000` takes minutes to fill."""

PARK_SECONDS_MAX = 3_600.0
PARKED_SHARE_MIN = 0.9
SETTLE_SECONDS = 2.0
IDLE_MS_PER_SECOND_MAX = 2.0
"""Budget of CPU time that parked events may add per second, in the worker and in the store together."""


def measure(stage: Stage, repeats: int, *, quick: bool) -> list[Line]:
    """Pause the account, let a worker park all events, then measure worker and store while nothing is due."""
    seconds = 5.0 if quick else 10.0 * repeats
    stub = stage.listen("stub", OTHERS)
    stage.write_config(stub.url)
    seed_own(stage, REFERENCE_RULE, 0)
    worker = stage.work(MEASURED)
    _wait_until_started(stage)
    empty = _cpu_ms_per_second(stage, worker, seconds)
    worker.stop()
    began = time.monotonic()
    seed_own(stage, REFERENCE_RULE, EVENTS)
    stage.command("platforms", "pause", "pack")
    worker = stage.work(MEASURED)
    _wait_until_parked(stage, worker)
    filled = time.monotonic() - began
    parked = _cpu_ms_per_second(stage, worker, seconds)
    worker.stop()
    stub.stop()
    detail = (
        f"CPU of worker and store in ms per second: {sum(empty):.1f} ({empty[0]:.1f} + {empty[1]:.1f}) with an empty "
        f"queue, {sum(parked):.1f} ({parked[0]:.1f} + {parked[1]:.1f}) with parked events; parked within {filled:.0f} s"
    )
    what = f"parked: CPU that {EVENTS:,} parked events add per second"
    return [within(what, max(sum(parked) - sum(empty), 0.0), "ms", IDLE_MS_PER_SECOND_MAX, detail)]


def _cpu_ms_per_second(stage: Stage, worker: Child, seconds: float) -> tuple[float, float]:
    time.sleep(SETTLE_SECONDS)
    pids = worker.process.pid, stage.valkey.pid
    before, began = [cpu_seconds(pid) for pid in pids], time.monotonic()
    time.sleep(seconds)
    spent = time.monotonic() - began
    of_worker, of_store = ((cpu_seconds(pid) - then) * 1_000 / spent for pid, then in zip(pids, before, strict=True))
    return of_worker, of_store


def _wait_until_started(stage: Stage) -> None:
    """Wait for the first heartbeat, so that no CPU time of the start is measured."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while not stage.redis.hlen(HEARTBEATS):
        if time.monotonic() > deadline:
            raise RuntimeError("the worker sent no heartbeat")
        time.sleep(0.1)


def _wait_until_parked(stage: Stage, worker: Child) -> None:
    """Wait until the number of parked events is stable. A worker fetches some before it learns of the pause."""
    deadline, before = time.monotonic() + PARK_SECONDS_MAX, -1
    while (parked := stage.parked_jobs()) < EVENTS * PARKED_SHARE_MIN or parked != before:
        if worker.process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{parked} of {EVENTS} events were parked")
        before = parked
        time.sleep(SETTLE_SECONDS)
