"""Backlog and memory limits: new events are rejected without writes, and stored events can still be processed."""

import asyncio
from collections.abc import Callable

import pytest

from service.dev.embedded_valkey import EmbeddedValkey
from service.errors import StoreFull
from service.settings import Settings
from service.store import IngestRequest, Store, open_store
from tests.service.store.builders import (
    WINDOW_MS,
    claim_one,
    contents,
    decision,
    make_arrivals,
    make_event,
    retry_until_stored,
    settlement,
    store_on,
)

pytestmark = pytest.mark.store

OwnValkey = Callable[..., EmbeddedValkey]


async def test_event_above_the_backlog_limit_is_rejected_without_writes(
    make_settings: Callable[..., Settings],
) -> None:
    store = await open_store(make_settings(backlog_events_max=3, shards=1))
    for arrival in make_arrivals(3):
        assert (await store.ingest(arrival.event, arrival.dedupe_key, WINDOW_MS)).status == "queued"
    before = await contents(store)
    with pytest.raises(StoreFull, match="3 events are pending"):
        await store.ingest(make_event("new"), "new", WINDOW_MS)
    assert await contents(store) == before
    await store.close()


async def test_backlog_accepts_events_again_after_one_has_ended(make_settings: Callable[..., Settings]) -> None:
    store = await open_store(make_settings(backlog_events_max=1, shards=1))
    event = make_event()
    await store.ingest(event, "k", WINDOW_MS)
    with pytest.raises(StoreFull):
        await store.ingest(make_event(), "l", WINDOW_MS)
    job = await claim_one(store)
    await store.lanes.decide(decision(job, event.id))
    assert (await store.ingest(make_event(), "l", WINDOW_MS)).status == "queued"
    await store.close()


async def test_concurrent_deliveries_do_not_exceed_the_backlog_limit(
    make_settings: Callable[..., Settings],
) -> None:
    store = await open_store(
        make_settings(shards=1, backlog_events_max=10, store_batch_max=4, store_batches_in_flight_max=1)
    )
    arrivals = make_arrivals(60)
    outcomes = await asyncio.gather(*(store.ingest_all((one,)) for one in arrivals), return_exceptions=True)
    taken = [one for one in outcomes if not isinstance(one, BaseException)]
    assert all(isinstance(one, StoreFull) for one in outcomes if isinstance(one, BaseException))
    assert len(taken) == (await store.sample()).pending == 10
    await store.close()


async def test_ingest_at_the_memory_limit_writes_nothing(own_valkey: OwnValkey) -> None:
    server = own_valkey("--maxmemory", "20mb")
    async with store_on(server.url, store_memory_percent_max=1) as store:
        with pytest.raises(StoreFull, match="% full"):
            await store.ingest(make_event(), "k", WINDOW_MS)
        with pytest.raises(StoreFull, match="% full"):
            await store.check()
        assert await contents(store) == {}


async def fill(store: Store, kilobytes: int) -> list[IngestRequest]:
    """Ingest events, then fill the memory of the server with other data."""
    taken: list[IngestRequest] = []
    for arrival in make_arrivals(20):
        await store.ingest_all((arrival,))
        taken.append(arrival)
    used = int((await store.client.command("INFO", "memory")).split(b"used_memory:")[1].split(b"\r")[0])
    await store.client.command("SET", "ballast", b"x" * (kilobytes * 1024))
    await store.client.command("CONFIG", "SET", "maxmemory", used + kilobytes * 512)
    return taken


async def test_server_out_of_memory_rejects_events_but_workers_continue(own_valkey: OwnValkey) -> None:
    server = own_valkey()
    async with store_on(server.url, store_memory_percent_max=100) as store:
        taken = await fill(store, 2048)
        before = await contents(store)
        store.client.server.memory_checked_until, store.client.server.memory_percent = (
            float("inf"),
            0,
        )  # the server itself must reject
        with pytest.raises(StoreFull, match="memory limit"):
            await store.ingest(make_event(), "k", WINDOW_MS)
        with pytest.raises(StoreFull):
            await store.rulebook.publish("v1", b"{}", "me", "", None)
        assert await contents(store) == before
        leases = store.leases("w1")
        jobs = (await leases.claim(10)).jobs
        assert await leases.renew(jobs) == []
        for job in jobs:
            head = job.head
            while head is not None:
                assert (await store.lanes.decide(decision(job, head.id, ledger="s"))).kept
                assert (await store.lanes.settle(settlement(job, head.id, "note", ledger="d"))).kept
                head = (await store.lanes.settle(settlement(job, head.id, "end", outcome="matched", more=True))).head
        assert (await store.sample()).pending == 0
        assert [(await store.events.get(one.event.id) or {})["outcome"] for one in taken] == ["matched"] * 20
        await store.client.command("DEL", "ballast")
        assert (await store.ingest(make_event(), "k", WINDOW_MS)).status == "queued"


async def test_memory_limit_is_detected_within_a_second(own_valkey: OwnValkey) -> None:
    server = own_valkey("--maxmemory", "100mb")
    async with store_on(server.url, store_memory_percent_max=10) as store:
        await store.ingest(make_event(), "a", WINDOW_MS)
        await store.client.command("SET", "ballast", b"x" * 12 * 1024 * 1024)
        store.client.server.memory_checked_until = 0
        with pytest.raises(StoreFull):
            await store.ingest(make_event(), "b", WINDOW_MS)
        await store.client.command("DEL", "ballast")
        assert (await retry_until_stored(lambda: store.ingest(make_event(), "b", WINDOW_MS))).status == "queued"
