import asyncio

from service.events import EVENT_VERSION, Event, RecordRef, new_event_id
from service.store import Store

WINDOW_MS = 60_000


def make_event(record_id: str = "1", source: str = "shop") -> Event:
    record = RecordRef("pack", "purchase_order", record_id)
    return Event(
        EVENT_VERSION, new_event_id(), source, "purchase_order.updated", "updated", record, None, {}, None, b"{}"
    )


async def test_a_second_event_with_the_same_key_is_a_duplicate_of_the_first(store: Store) -> None:
    first, second = make_event(), make_event()
    assert (await store.ingest(first, "k", WINDOW_MS)).status == "queued"
    receipt = await store.ingest(second, "k", WINDOW_MS)
    assert (receipt.status, receipt.event_id) == ("duplicate", first.id)
    assert await store.events.show(second.id) is None


async def test_the_same_call_made_twice_takes_the_event_in_once(store: Store) -> None:
    event = make_event()
    receipts = [await store.ingest(event, "k", WINDOW_MS) for _ in range(3)]
    assert [receipt.status for receipt in receipts] == ["queued"] * 3
    assert (await store.sample()).waiting == 1


async def test_concurrent_deliveries_of_one_event_are_queued_once(store: Store) -> None:
    receipts = await asyncio.gather(*(store.ingest(make_event(), "k", WINDOW_MS) for _ in range(100)))
    assert sorted(receipt.status for receipt in receipts) == ["duplicate"] * 99 + ["queued"]
    assert len({receipt.event_id for receipt in receipts}) == 1
