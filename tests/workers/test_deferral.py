"""An event that was put off says what it waits for and until when, as long as it waits and no longer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from service.management.event_view import EventView, view_event
from service.rules.explain import explain
from service.sandbox.faults import Fault
from service.settings import Settings
from tests.waiting import PATIENCE_SECONDS
from tests.workers.harness import House, open_house

pytestmark = pytest.mark.store

RULES = """
- id: tell
  type: purchase_order
  actions: [{id: tell, do: http, url: "SINK/tell", body: {order: "{id}"}}]
"""
LATER = "2026-01-02T00:00:00Z"


@pytest.fixture
async def house(make_settings: Callable[..., Settings]) -> AsyncIterator[House]:
    limits = {
        "attempts_max": 2,
        "backoff_base_seconds": 0.4,
        "backoff_seconds_max": 0.4,
        "stale_read_wait_seconds": 1.2,
    }
    async with open_house(make_settings(lease_seconds=2, **limits)) as opened:
        await opened.publish(RULES)
        yield opened


async def view(house: House, event_id: str) -> EventView:
    return view_event("main", await house.story(event_id), 0, "raw")


async def put_off(house: House, event_id: str) -> dict[str, Any]:
    """The event as the store shows it once its first attempt has put it off."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            shown = await house.story(event_id)
            if "next_ms" in shown and "running" not in shown:
                return shown
            await asyncio.sleep(0.005)


def lag(house: House) -> None:
    order: dict[str, object] = {"id": "po-1", "status": "ordered", "updated_at": "2026-01-01T00:00:00Z"}
    house.sandbox.sandbox.catalog.put("pack_cloud", "purchase_order", "po-1", order)


def fail_once(house: House) -> None:
    house.sandbox.sandbox.faults.add(Fault(match="/pack_cloud", status=500))


def fail_an_effect_once(house: House) -> None:
    house.sandbox.sandbox.faults.add(Fault(match="/_sandbox/sink", status=500))


@pytest.mark.parametrize(
    ("cause", "reason"),
    [(lag, "stale_read"), (fail_once, "platform_unavailable"), (fail_an_effect_once, "target_unavailable")],
)
async def test_what_waits_tells_why_and_until_when_and_what_has_ended_no_more(
    house: House, cause: Callable[[House], None], reason: str
) -> None:
    cause(house)
    event_id = await house.send(at=LATER if cause is lag else None)
    assert (await view(house, event_id)).next_attempt_at is None
    working = asyncio.create_task(house.work())
    shown = await put_off(house, event_id)
    seen = view_event("main", shown, 0, "raw")
    assert seen.waiting_for == reason
    assert seen.next_attempt_at is not None
    assert datetime.fromisoformat(seen.next_attempt_at).tzinfo is not None
    told = list(explain(shown | {"next_attempt_at": seen.next_attempt_at}, None, datetime.now(UTC)))
    waiting = f"  waiting: {reason.replace('_', ' ')}; next attempt {seen.next_attempt_at} ("
    assert any(line.startswith(waiting) for line in told)
    await working
    after = await view(house, event_id)
    assert (after.state, after.waiting_for, after.next_attempt_at) == ("ended", None, None)


async def test_a_dead_letter_waits_for_nothing(house: House) -> None:
    for _ in range(2):
        fail_once(house)
    event_id = await house.send()
    await house.work()
    after = await view(house, event_id)
    assert (after.state, after.waiting_for, after.next_attempt_at) == ("dead", None, None)
