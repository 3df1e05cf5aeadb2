"""Damaged indexes and queue: no event is lost, decided twice or out of order, and the sweep rebuilds the keys."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from service.sandbox.faults import Fault
from service.settings import Settings
from tests.service.store.builders import claim_one, settlement
from tests.workers.harness import SINK_RULE, WorkerHarness, open_harness, shorten_circuits

pytestmark = [pytest.mark.store, pytest.mark.slow]

INDEXES = ("wb:open", "wb:dead", "wb:ended")
REBUILT = (*INDEXES, "wb:queue", "wb:parked")
SWEEPS_MAX = 50


@pytest.fixture
async def harness(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[WorkerHarness]:
    shorten_circuits(monkeypatch)
    # With a damaged wb:open, an event waits for the end of a lease.
    settings = make_settings(
        shards=1, backoff_base_seconds=3_600, wake_timeout_seconds=0.05, sweep_items_max=7, lease_seconds=3
    )
    async with open_harness(settings) as opened:
        await opened.publish(SINK_RULE)
        yield opened


async def command(harness: WorkerHarness, *parts: str | float) -> Any:
    return await harness.store.client.command(*parts)


async def members(harness: WorkerHarness) -> dict[str, set[bytes]]:
    return {key: set(await command(harness, "ZRANGE", key, 0, -1)) for key in INDEXES}


async def outcomes(harness: WorkerHarness, event_ids: list[str]) -> list[str]:
    return [(await harness.stored_event(event_id))["outcome"] for event_id in event_ids]


async def rebuild(harness: WorkerHarness) -> None:
    """Sweep until the rebuild is complete."""
    for _ in range(SWEEPS_MAX):
        swept = await harness.store.sweeper.sweep("w1")
        assert swept is not None
        if not swept.rebuilding:
            return
    raise AssertionError("the rebuild does not end")


async def fill(harness: WorkerHarness) -> list[str]:
    """Store an ended event, a dead letter, one with a deferred effect, and events that wait. Return the last ones."""
    await harness.send("ended")
    await harness.run_worker()
    dead = await harness.send("dead")
    await command(harness, "SET", f"wb:delivery:{dead}", "rubbish")
    await harness.run_worker()
    harness.sandbox.sandbox.faults.add(Fault(match="/_sandbox/sink", status=503))
    deferred = await harness.send("deferred")
    await harness.run_until_idle(harness.worker())
    assert (await harness.stored_event(deferred))["state"] == "decided"
    return [deferred, *[await harness.send(record) for record in ("a", "b", "a", "b", "a")]]


async def make_due(harness: WorkerHarness) -> None:
    """Make all jobs due."""
    for job in await command(harness, "ZRANGE", "wb:queue", 0, -1):
        await command(harness, "ZADD", "wb:queue", "XX", 0, job)


@pytest.mark.parametrize("key", REBUILT)
async def test_no_event_is_lost_with_an_index(harness: WorkerHarness, key: str) -> None:
    waiting = await fill(harness)
    before = await members(harness)
    await command(harness, "SET", key, "rubbish")
    waiting.append(await harness.send("a"))
    await harness.store.sample()  # reads every index
    await command(harness, "ZCARD", key) if key != "wb:parked" else None
    await rebuild(harness)
    after = await members(harness)
    assert {name: found - {waiting[-1].encode()} for name, found in after.items()} == before
    await make_due(harness)
    await harness.run_worker()
    assert await outcomes(harness, waiting) == ["matched"] * len(waiting)
    bodies = [body["order"] for body in harness.sink_bodies()]
    assert len(set(harness.idempotency_keys())) == len(waiting) + 1
    assert [order for order in bodies if order == "a"] == ["a"] * 4


@pytest.mark.parametrize("key", ["wb:open", "wb:dead", "wb:ended", "wb:parked"])
async def test_events_are_processed_in_order_before_the_rebuild(harness: WorkerHarness, key: str) -> None:
    waiting = await fill(harness)
    await command(harness, "SET", key, "rubbish")
    await make_due(harness)
    await harness.run_worker()
    assert await outcomes(harness, waiting) == ["matched"] * len(waiting)
    ends = [(await harness.stored_event(event_id))["history"][-1]["at_ms"] for event_id in waiting]
    assert [ends[i] for i in (1, 3, 5)] == sorted(ends[i] for i in (1, 3, 5))
    await rebuild(harness)
    assert {event_id.encode() for event_id in waiting} <= (await members(harness))["wb:ended"]


async def test_parked_events_stay_parked_after_a_damage(harness: WorkerHarness) -> None:
    event_id = await harness.send()
    job = await claim_one(harness.store)
    await harness.store.lanes.settle(settlement(job, event_id, "release", outcome="circuit_open", account="pack"))
    for key in ("wb:queue", "wb:open", "wb:parked"):
        await command(harness, "SET", key, "rubbish")
        await harness.store.sample()
        await rebuild(harness)
        stats = await harness.store.sample()
        assert (stats.parked, stats.due, stats.pending) == (1, 0, 1)
    await harness.run_worker()  # its recovery frees the job, because no circuit is open
    assert await outcomes(harness, [event_id]) == ["matched"]


async def test_damage_during_an_attempt_repeats_no_effect(harness: WorkerHarness) -> None:
    event_ids = [await harness.send() for _ in range(2)]
    store = harness.store
    (job,) = (await store.leases("other").claim(1)).jobs
    for key in REBUILT:
        await command(harness, "SET", key, "rubbish")
    assert await store.leases("other").renew([job]) == []
    await rebuild(harness)
    assert await command(harness, "ZCARD", "wb:queue") == 1
    await command(harness, "DEL", f"arq:in-progress:{job.id}")  # its worker crashed
    await make_due(harness)
    await harness.run_worker()
    assert await outcomes(harness, event_ids) == ["matched", "matched"]
