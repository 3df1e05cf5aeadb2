"""Fairness: neither a busy record nor a busy source starves others."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from service.settings import Settings
from tests.workers.harness import SINK_RULE, WorkerHarness, open_harness
from workers.processing.attempt_log import FINAL_OUTCOMES

pytestmark = pytest.mark.store

CONCURRENCY, LANE_EVENTS_MAX = 2, 5


@pytest.fixture
async def harness(make_settings: Callable[..., Settings]) -> AsyncIterator[WorkerHarness]:
    async with open_harness(make_settings(concurrency=CONCURRENCY, lane_events_max=LANE_EVENTS_MAX)) as opened:
        await opened.publish(SINK_RULE)
        yield opened


def order_of_ends(harness: WorkerHarness) -> list[str]:
    # An attempt that waits for the limit of the target, as on a busy machine, does not end its event.
    lines = harness.log_lines("attempt.finished")
    return [line["event_id"] for line in lines if line["outcome"] in FINAL_OUTCOMES]


@pytest.mark.slow
async def test_busy_record_does_not_starve_other_records(
    harness: WorkerHarness,
) -> None:
    busy = [await harness.send("busy") for _ in range(100)]
    others = [await harness.send(f"other-{number}") for number in range(4)]
    await harness.run_worker()
    ends = order_of_ends(harness)
    assert sorted(ends) == sorted([*busy, *others])
    assert [event_id for event_id in ends if event_id in busy] == busy  # and in order
    assert max(ends.index(event_id) for event_id in others) < 2 * LANE_EVENTS_MAX + len(others) + CONCURRENCY


async def test_event_waits_only_for_events_received_before_it(harness: WorkerHarness) -> None:
    before = [await harness.send(f"noisy-{number}") for number in range(40)]
    quiet = await harness.send("quiet")
    await asyncio.sleep(0.002)  # the queue orders by milliseconds: later events of the same millisecond may run first
    after = [await harness.send(f"noisy-{number}") for number in range(40, 120)]
    await harness.run_worker()
    ends = order_of_ends(harness)
    assert sorted(ends) == sorted([*before, quiet, *after])
    assert ends.index(quiet) <= len(before) + CONCURRENCY
