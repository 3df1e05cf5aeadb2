"""Ingest: queued events, duplicates, and rejections at the backlog limit."""

import asyncio
from collections.abc import Sequence

import pytest

from service.errors import StoreFull
from service.store import IngestRequest, IngestResult, Store
from tests.service.store.builders import WINDOW_MS, claim_one, decision, make_arrivals, make_event, settlement, store_on

pytestmark = pytest.mark.store


async def outcome(store: Store, arrivals: Sequence[IngestRequest]) -> Sequence[IngestResult] | None:
    try:
        return await store.ingest_all(arrivals)
    except StoreFull:
        return None


async def test_batch_at_the_backlog_limit_has_a_result_per_delivery(valkey_url: str) -> None:
    async with store_on(valkey_url, backlog_events_max=5, shards=1) as store:
        deliveries = [make_arrivals(1) for _ in range(40)]
        taken = await asyncio.gather(*(outcome(store, delivery) for delivery in deliveries))
        assert sum(results is not None for results in taken) == 5
        assert (await store.sample()).pending == 5


async def test_delivery_of_several_events_is_ingested_atomically(valkey_url: str) -> None:
    async with store_on(valkey_url, backlog_events_max=4, shards=1) as store:
        deliveries = [make_arrivals(3) for _ in range(3)]
        taken = await asyncio.gather(*(outcome(store, delivery) for delivery in deliveries))
        assert sorted(len(results) if results else 0 for results in taken) == [0, 3, 3]
        assert (await store.sample()).pending == 6
        for results, delivery in zip(taken, deliveries, strict=True):
            shown = [await store.events.get(arrival.event.id) for arrival in delivery]
            assert [each is not None for each in shown] == [results is not None] * 3


async def test_duplicates_are_answered_at_the_backlog_limit(valkey_url: str) -> None:
    async with store_on(valkey_url, backlog_events_max=2, shards=1) as store:
        (known,) = make_arrivals(1)
        other, unknown = make_arrivals(2)
        await store.ingest_all([known])
        await store.ingest_all([other])
        again = IngestRequest(make_event(), known.dedupe_key, WINDOW_MS)
        assert await store.ingest_all([again]) == [IngestResult("duplicate", known.event.id)]
        assert await store.ingest_all([known, other]) == [
            IngestResult("queued", known.event.id),
            IngestResult("queued", other.event.id),
        ]
        with pytest.raises(StoreFull):
            await store.ingest_all([unknown])
        with pytest.raises(StoreFull):
            await store.ingest_all([again, unknown])


async def test_second_event_with_the_same_dedupe_key_is_a_duplicate(store: Store) -> None:
    first, second = make_event(), make_event()
    assert (await store.ingest(first, "k", WINDOW_MS)).status == "queued"
    receipt = await store.ingest(second, "k", WINDOW_MS)
    assert (receipt.status, receipt.event_id) == ("duplicate", first.id)
    assert await store.events.get(second.id) is None


async def test_duplicate_with_other_content_is_reported_and_stored(valkey_url: str) -> None:
    def request(content: bytes, record: str = "1") -> IngestRequest:
        return IngestRequest(make_event(record), "k", WINDOW_MS, content)

    async with store_on(valkey_url, backlog_events_max=1, shards=1) as store:
        first = request(b"a")
        assert await store.ingest_all([first]) == [IngestResult("queued", first.event.id)]
        # At the backlog limit too.
        for content, differs in ((b"a", False), (b"", False), (b"b", True), (b"a", False)):
            (result,) = await store.ingest_all([request(content)])
            assert result == IngestResult("duplicate", first.event.id, differs)
        assert await store.ingest_all([first]) == [IngestResult("queued", first.event.id)]
        newest = request(b"c", "2")
        for _ in range(2):  # the same id is a repeated call
            assert (await store.ingest_all([newest]))[0].differs
        shown = await store.events.get(first.event.id)
        assert shown is not None
        assert (shown["differing"]["count"], shown["differing"]["event"]["record"].id) == (2, "2")
        key = f"differing:{first.event.id}"
        assert 0 < await store.client.command("PTTL", store.keys.named(key)) <= WINDOW_MS
        await store.client.command("SET", store.keys.named(key), "another type")
        assert (await store.ingest_all([request(b"d")]))[0].differs
        await store.memory_usage.erase_events(first.event.record.lane, [first.event.id])
        assert await store.client.command("EXISTS", store.keys.named(key)) == 0


async def test_dedupe_key_without_a_digest_is_not_compared(store: Store) -> None:
    first = make_event()
    await store.ingest(first, "k", WINDOW_MS)
    other = IngestRequest(make_event(), "k", WINDOW_MS, b"b")
    assert await store.ingest_all([other]) == [IngestResult("duplicate", first.id)]


async def test_repeated_ingest_stores_the_event_once(store: Store) -> None:
    event = make_event()
    receipts = [await store.ingest(event, "k", WINDOW_MS) for _ in range(3)]
    assert [receipt.status for receipt in receipts] == ["queued"] * 3
    assert (await store.sample()).pending == 1


async def test_concurrent_deliveries_of_one_event_are_queued_once(store: Store) -> None:
    receipts = await asyncio.gather(*(store.ingest(make_event(), "k", WINDOW_MS) for _ in range(100)))
    assert sorted(receipt.status for receipt in receipts) == ["duplicate"] * 99 + ["queued"]
    assert len({receipt.event_id for receipt in receipts}) == 1


async def test_concurrent_reads_return_consistent_events(store: Store) -> None:
    events = [make_event() for _ in range(60)]
    for event in events:
        await store.ingest(event, event.id, WINDOW_MS)
    done = asyncio.Event()

    async def read_repeatedly() -> set[str]:
        seen: set[str] = set()
        while not done.is_set():
            for event in events:
                shown = await store.events.get(event.id)
                assert shown is not None
                assert {line["entry"] for line in shown["history"]} <= {"decided"}
                seen.add(shown["state"])
        return seen

    looking = asyncio.create_task(read_repeatedly())
    job = await claim_one(store)
    for event in events:
        await store.lanes.decide(decision(job, event.id, ledger="s"))
        await store.lanes.settle(settlement(job, event.id, "end", ledger="d", outcome="matched", more=True))
    done.set()
    assert await looking >= {"queued", "ended"}
