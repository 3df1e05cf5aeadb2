"""Row `memory`: what the store's memory holds for a waiting event, and for one that ended and lost its body."""

import time

from tests.bench.material import REFERENCE_RULE
from tests.bench.seeding import seed_own
from tests.bench.stage import MEASURED, Stage
from tests.bench.table import Line, within

EXPIRY_SECONDS_MAX = 60.0
BODY_HOURS = 0.0005
"""1.8 seconds, so that the bodies are gone while we watch."""


def measure(stage: Stage, repeats: int, *, quick: bool) -> list[Line]:
    """Count once; memory does not vary."""
    _ = repeats
    events = 5_000 if quick else 20_000
    seed_own(stage, REFERENCE_RULE, 0)
    empty = stage.memory_bytes()
    body_bytes = seed_own(stage, REFERENCE_RULE, events)
    waiting = (stage.memory_bytes() - empty - body_bytes) / events
    stage.run("own_worker", MEASURED, "cached", environ={"WAYBILL_BODY_HOURS": str(BODY_HOURS)}).result()
    _await_expiry(stage)
    ended = (stage.memory_bytes() - empty) / events
    detail = f"{events:,} events of {body_bytes // events:,} B, a lane each"
    return [
        within("store: waiting event beyond its body", waiting, "B", 700, detail=detail),
        within("store: ended event without its body", ended, "B", 800, detail="claim, decision and history included"),
    ]


def _await_expiry(stage: Stage) -> None:
    """Wait until no body is left; looking at a key that is due removes it."""
    deadline = time.monotonic() + EXPIRY_SECONDS_MAX
    time.sleep(2.0)
    while time.monotonic() < deadline:
        if not stage.bodies():
            time.sleep(0.5)
            return
    raise RuntimeError("bodies of ended events are still there")
