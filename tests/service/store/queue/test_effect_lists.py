"""Lists of events per effect: late results that make effects unfinished again, after their event left the lists."""

import pytest

from service.store import Job, Store, encode_order
from tests.service.store.builders import WINDOW_MS, claim_one, decision, make_event, settlement

pytestmark = pytest.mark.store

LANE = "pack:purchase_order:1"
FIRST_ORDER = encode_order(LANE, [("r", "a")])


async def first_waits_for_a_retry(store: Store) -> tuple[str, str, Job]:
    """Ingest two events. Effect r/a of the first one is retried in an hour; the second one has an attempt."""
    first, second = make_event(), make_event()
    for event in (first, second):
        await store.ingest(event, event.id, WINDOW_MS)
    job = await claim_one(store)
    await store.lanes.decide(decision(job, first.id, ledger="s", order=FIRST_ORDER))
    await store.lanes.settle(
        settlement(job, first.id, "defer", ledger="w", delay_ms=3_600_000, order=FIRST_ORDER, more=True)
    )
    return first.id, second.id, job


async def ids_in(store: Store, key: str) -> list[bytes]:
    return await store.client.command("LRANGE", f"wb:order:{LANE}:{key}", 0, -1)


async def due_time(store: Store, event_id: str) -> bytes | None:
    """Return the due time of the job that finishes the effects of an event; None if it has no job."""
    return await store.client.command("ZSCORE", store.settings.queue, f"wb:effects:{event_id}")


async def check_second_waits_and_continues(store: Store, first: str, second: str) -> None:
    """Check that nothing needs a repair, and that the end of the first event creates the job of the second one."""
    swept = await store.sweeper.sweep("w1")
    assert swept is not None
    assert not swept.counts
    assert await due_time(store, second) is None
    await store.client.command("ZADD", store.settings.queue, 1, f"wb:effects:{first}")
    await store.lanes.settle(settlement(await claim_one(store, "w3"), first, "end", ledger="d", outcome="matched"))
    assert (await claim_one(store, "w4")).id == f"wb:effects:{second}"


async def test_effect_that_a_late_result_defers_waits_in_its_list_again(store: Store) -> None:
    first, second, job = await first_waits_for_a_retry(store)
    await store.lanes.decide(decision(job, second, ledger="s", order=FIRST_ORDER))
    await store.lanes.settle(settlement(job, second, "postpone", ledger="u", order=FIRST_ORDER))
    assert await ids_in(store, "r/a") == [first.encode()]
    assert await store.lanes.settle_late(settlement(job, second, "late", ledger="w")) == "settled"
    assert await ids_in(store, "r/a") == [first.encode(), second.encode()]
    again = await claim_one(store, "w2")
    await store.lanes.settle(settlement(again, second, "behind", ledger="w", order=FIRST_ORDER))
    await check_second_waits_and_continues(store, first, second)


async def test_late_result_creates_the_job_of_an_event_that_waits_for_another_effect(store: Store) -> None:
    first, second, job = await first_waits_for_a_retry(store)
    order = encode_order(LANE, [("r", "a"), ("q", "b")])
    await store.lanes.decide(decision(job, second, ledger="ss", order=order))
    await store.lanes.settle(settlement(job, second, "behind", ledger="pu", order=order))
    assert await due_time(store, second) is None
    assert await store.lanes.settle_late(settlement(job, second, "late", ledger="pw")) == "settled"
    assert await ids_in(store, "q/b") == [second.encode()]
    again = await claim_one(store, "w2")
    assert again.id == f"wb:effects:{second}"
    await store.lanes.settle(settlement(again, second, "behind", ledger="pd", order=order))
    assert await ids_in(store, "q/b") == []
    await check_second_waits_and_continues(store, first, second)


async def test_late_result_keeps_the_due_time_of_a_job(store: Store) -> None:
    _, second, job = await first_waits_for_a_retry(store)
    order = encode_order(LANE, [("r", "a"), ("q", "b")])
    await store.lanes.decide(decision(job, second, ledger="ss", order=order))
    await store.lanes.settle(settlement(job, second, "defer", ledger="wu", delay_ms=3_600_000, order=order))
    due = await due_time(store, second)
    assert due is not None
    assert await store.lanes.settle_late(settlement(job, second, "late", ledger="wd")) == "settled"
    assert await due_time(store, second) == due
