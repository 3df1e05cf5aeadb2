"""Deferred events: reason and time of the next attempt, stored while the event waits."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from service.cli.explanation_output import format_explanation
from service.management.event_view import EventView, view_event
from service.management.explanation import build_explanation
from service.sandbox.faults import Fault
from service.settings import Settings
from tests.waiting import PATIENCE_SECONDS
from tests.workers.harness import WorkerHarness, open_harness

pytestmark = [pytest.mark.slow, pytest.mark.store]

RULES = """
- id: tell
  type: purchase_order
  actions: [{id: tell, do: http, url: "SINK/tell", body: {order: "{id}"}}]
"""
LATER = "2026-01-02T00:00:00Z"


@pytest.fixture
async def harness(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[WorkerHarness]:
    monkeypatch.setattr(random, "random", lambda: 1.0)  # the longest backoff: a short one ends before it is seen
    limits = {
        "attempts_max": 2,
        "backoff_base_seconds": 1.0,
        "backoff_seconds_max": 1.0,
        "stale_read_wait_seconds": 1.2,
    }
    async with open_harness(make_settings(lease_seconds=20, **limits)) as opened:
        await opened.publish(RULES)
        yield opened


async def view(harness: WorkerHarness, event_id: str) -> EventView:
    return view_event("main", await harness.stored_event(event_id), 0, "raw")


async def deferred_event(harness: WorkerHarness, event_id: str) -> dict[str, Any]:
    """Return the stored event after its first attempt was deferred."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            stored = await harness.stored_event(event_id)
            if "next_ms" in stored and "running" not in stored:
                return stored
            await asyncio.sleep(0.005)


def make_stale(harness: WorkerHarness) -> None:
    order: dict[str, object] = {"id": "po-1", "status": "ordered", "updated_at": "2026-01-01T00:00:00Z"}
    harness.sandbox.sandbox.catalog.put("pack_cloud", "purchase_order", "po-1", order)


def fail_once(harness: WorkerHarness) -> None:
    harness.sandbox.sandbox.faults.add(Fault(match="/pack_cloud", status=500))


def fail_an_effect_once(harness: WorkerHarness) -> None:
    harness.sandbox.sandbox.faults.add(Fault(match="/_sandbox/sink", status=500))


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (make_stale, "stale_read"),
        (fail_once, "platform_unavailable"),
        (fail_an_effect_once, "target_unavailable"),
    ],
)
async def test_deferred_event_has_a_reason_and_a_time_until_it_ends(
    harness: WorkerHarness, cause: Callable[[WorkerHarness], None], reason: str
) -> None:
    cause(harness)
    event_id = await harness.send(at=LATER if cause is make_stale else None)
    assert (await view(harness, event_id)).next_attempt_at is None
    working = asyncio.create_task(harness.run_worker())
    stored = await deferred_event(harness, event_id)
    seen = view_event("main", stored, 0, "raw")
    assert seen.waiting_for == reason
    assert seen.next_attempt_at is not None
    assert datetime.fromisoformat(seen.next_attempt_at).tzinfo is not None
    lines = list(format_explanation(build_explanation(seen, {}), datetime.now(UTC)))
    waiting = f"  waiting: {reason.replace('_', ' ')}; next attempt {seen.next_attempt_at} ("
    assert any(line.startswith(waiting) for line in lines)
    await working
    after = await view(harness, event_id)
    assert (after.state, after.waiting_for, after.next_attempt_at) == ("ended", None, None)


async def test_dead_letter_has_no_next_attempt(harness: WorkerHarness) -> None:
    for _ in range(2):
        fail_once(harness)
    event_id = await harness.send()
    await harness.run_worker()
    after = await view(harness, event_id)
    assert (after.state, after.waiting_for, after.next_attempt_at) == ("dead", None, None)
