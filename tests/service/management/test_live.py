"""Live view: events since a position, limits and filters."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from service.errors import Rejection
from service.events import EVENT_VERSION, Event, RecordRef, new_event_id
from service.management import live
from service.management.event_filter import EventFilter
from service.management.live import LiveBatch
from service.management.operations import AdminOperations
from service.settings import Settings
from service.store import Store, open_shards
from tests.service.management.conftest import make_dead_letters, operations_on
from tests.waiting import until
from tests.workers.harness import WorkerHarness

pytestmark = pytest.mark.store


async def ingest(store: Store, source: str = "shop", record_id: str = "po-1") -> str:
    record = RecordRef("pack", "purchase_order", record_id)
    event = Event(EVENT_VERSION, new_event_id(), source, "po.updated", "updated", record, None, {}, None, b"{}")
    await store.ingest(event, event.id, 60_000)
    return event.id


async def read_until(operations: AdminOperations, position: str, number: int, **fields: str) -> LiveBatch:
    """Read batches until `number` events were returned; return them as one batch."""
    found = LiveBatch([], 0, position)

    async def is_complete() -> bool:
        nonlocal found
        batch = await operations.read_live(EventFilter(**fields), found.next)  # type: ignore[arg-type]
        found = LiveBatch([*found.items, *batch.items], found.skipped + batch.skipped, batch.next)
        return len(found.items) >= number

    await until(is_complete)
    return found


@pytest.mark.parametrize("position", ["x", "1,", ",1", "-1", "1.5", "1" * 16, "1," * 300 + "1"])
async def test_an_invalid_position_is_rejected(store: Store, position: str) -> None:
    with pytest.raises(Rejection) as rejected:
        await operations_on(store).read_live(EventFilter(), position)
    assert (rejected.value.status, rejected.value.code) == (422, "invalid")


async def test_a_filter_with_an_end_is_rejected(store: Store) -> None:
    with pytest.raises(Rejection, match="has no end"):
        await operations_on(store).read_live(EventFilter(until=datetime.now(UTC)), None)


async def test_without_a_position_only_later_events_are_returned(harness: WorkerHarness) -> None:
    operations = operations_on(harness.store)
    [dead] = await make_dead_letters(harness)
    await asyncio.sleep(0.002)  # an event of the same millisecond is a later one
    first = await operations.read_live(EventFilter(), None)
    assert (first.items, first.skipped) == ([], 0)
    ended = await harness.send("po-2")
    await harness.run_worker()
    batch = await read_until(operations, first.next, 1)
    assert [(row.id, row.outcome, row.effects_done) for row in batch.items] == [(ended, "matched", 2)]
    assert (await operations.read_live(EventFilter(), batch.next)).items == []
    earlier = await operations.read_live(EventFilter(since=datetime.now(UTC) - timedelta(minutes=5)), None)
    assert [row.id for row in earlier.items] == [dead, ended]
    assert (await operations.read_live(EventFilter(), "1,2")).items == [], "a position of two stores starts anew"


async def test_filters_of_the_live_view(harness: WorkerHarness) -> None:
    operations = operations_on(harness.store)
    start = (await operations.read_live(EventFilter(), None)).next
    [dead] = await make_dead_letters(harness)
    ended = await harness.send("po-2")
    await harness.run_worker()
    await read_until(operations, start, 2)
    cases: list[tuple[EventFilter, list[str]]] = [
        (EventFilter(state="dead"), [dead]),
        (EventFilter(state="ended"), [ended]),
        (EventFilter(record="po-2"), [ended]),
        (EventFilter(rule="other"), [ended]),  # its effect on the dead letter is done
        (EventFilter(outcome="dead_lettered"), [dead]),
        (EventFilter(source="nobody"), []),
    ]
    for event_filter, expected in cases:
        found = await operations.read_live(event_filter, start)
        assert [row.id for row in found.items] == expected, event_filter


async def test_an_event_is_returned_as_pending_after_two_seconds(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    operations = operations_on(store)
    start = (await operations.read_live(EventFilter(), None)).next
    pending = await ingest(store)
    monkeypatch.setattr(live, "PENDING_MS", 600_000)
    assert (await operations.read_live(EventFilter(), start)).items == []
    monkeypatch.setattr(live, "PENDING_MS", 0)
    batch = await read_until(operations, start, 1)
    assert [(row.id, row.state, row.outcome) for row in batch.items] == [(pending, "queued", None)]


async def test_of_more_events_than_the_limit_the_newest_are_returned_and_the_others_counted(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PENDING_MS", 0)
    monkeypatch.setattr(live, "READ_EVENTS_MAX", 3)
    operations = operations_on(store)
    start = (await operations.read_live(EventFilter(), None)).next
    ids = [await ingest(store, record_id=str(place)) for place in range(3)]
    batch = await read_until(operations, start, 3)
    assert (sorted(row.id for row in batch.items), batch.skipped) == (sorted(ids), 0)
    for place in range(5):
        await ingest(store, record_id=str(place))

    async def are_counted() -> bool:
        whole = await operations.read_live(EventFilter(), start)
        return (len(whole.items), whole.skipped) == (3, 5)

    await until(are_counted)


async def test_a_position_has_a_time_for_each_shard(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PENDING_MS", 0)
    opened = await open_shards(make_settings(shards=32))
    try:
        operations = operations_on(opened)
        start = (await operations.read_live(EventFilter(), None)).next
        assert start.count(",") == 31
        sent = {await ingest(store) for store in opened.stores}
        batch = await read_until(operations, start, 32)
        assert {row.id for row in batch.items} == sent
    finally:
        await opened.close()
