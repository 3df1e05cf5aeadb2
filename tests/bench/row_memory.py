"""Row `memory`: memory of the store per pending event, per ended event without its body, and per record."""

import hashlib
import time

from tests.bench.material import BODY_BYTES, REFERENCE_RULE, realistic_body
from tests.bench.seeding import EVENTS_PER_CALL, seed_own
from tests.bench.stage import MEASURED, Stage
from tests.bench.table import Line, within

SETTLE_SECONDS = 2.0
"""For tables that shrink step by step."""


def measure(stage: Stage, repeats: int, *, quick: bool) -> list[Line]:
    """Measure once; memory does not vary."""
    _ = repeats
    events = 5_000 if quick else 20_000
    # The server keeps the scripts of all calls, which are no memory of an event.
    seed_own(stage, REFERENCE_RULE, EVENTS_PER_CALL, realistic_body)
    stage.run("own_worker", MEASURED, "cached").result()
    seed_own(stage, REFERENCE_RULE, 0)
    empty = stage.memory_bytes()
    noise_bytes = seed_own(stage, REFERENCE_RULE, events, _noise)
    noise = (stage.memory_bytes() - empty - noise_bytes) / events
    body_bytes = seed_own(stage, REFERENCE_RULE, events, realistic_body)
    waiting = (stage.memory_bytes() - empty - body_bytes) / events
    stage.run("own_worker", MEASURED, "cached").result()
    require_all(stage.unlink("delivery"), events)
    time.sleep(SETTLE_SECONDS)
    ended = (stage.memory_bytes() - empty) / events
    require_all(stage.unlink("record"), events)
    time.sleep(SETTLE_SECONDS)
    history = (stage.memory_bytes() - empty) / events
    detail = f"{events:,} events of {body_bytes // events:,} B, a lane each; with bodies of noise {noise:,.0f} B"
    return [
        within("store: waiting event beyond its body", waiting, "B", 700, detail=detail),
        within("store: ended event without its body", ended, "B", 800, detail="claim, decision and history included"),
        within("store: last state of a record", ended - history, "B", 200, detail="part of the line before"),
    ]


def require_all(unlinked: int, events: int) -> None:
    """Require that each event had a key.

    Raises:
        RuntimeError: Another number of keys was there.
    """
    if unlinked != events:
        raise RuntimeError(f"{unlinked} keys of {events} were there")


def _noise(number: int) -> bytes:
    return hashlib.shake_256(str(number).encode()).digest(BODY_BYTES)
