"""Arrivals by source and hour: counted once, kept while the store does not answer, and expired after a day."""

import tempfile
import time
from pathlib import Path
from typing import get_args

import pytest

from service.errors import StoreUnavailable
from service.store import IngestRequest, Store
from service.store.management.arrivals import RETENTION_MS
from tests.service.store.builders import WINDOW_MS, contents, make_event, store_on
from tests.service.store.proxy import Cut, wire_to

pytestmark = pytest.mark.store

HOUR_MS = 3_600_000


async def ingest(store: Store, *sources: str) -> None:
    events = [make_event(str(number), source=source) for number, source in enumerate(sources)]
    await store.ingest_all([IngestRequest(event, event.id, WINDOW_MS) for event in events])


async def totals(store: Store) -> dict[str, int]:
    """Return the arrivals of the last two hours, since the hour may change during the test."""
    first = int(time.time() * 1000) // HOUR_MS - 1
    return {source: sum(counts) for source, counts in (await store.arrivals.by_hour(first, 2)).items()}


async def test_events_are_counted_by_source_when_the_counts_are_flushed(store: Store) -> None:
    await ingest(store, "shop", "till", "shop")
    assert await totals(store) == {}
    await store.flush_arrivals()
    await ingest(store, "shop")
    await store.flush_arrivals()
    await store.flush_arrivals()
    assert await totals(store) == {"shop": 3, "till": 1}
    last = await store.arrivals.last_at_ms()
    assert last["till"] <= last["shop"] <= (await store.queue_stats.clock() + 1) * 1000
    assert last.keys() == {"shop", "till"}


async def test_a_duplicate_is_no_arrival(store: Store) -> None:
    event = make_event()
    for _ in range(2):
        await store.ingest(make_event(), "k", WINDOW_MS)
    await store.ingest(event, event.id, WINDOW_MS)
    await store.flush_arrivals()
    assert await totals(store) == {"shop": 2}


async def test_counts_are_of_their_hour_and_expire(store: Store) -> None:
    await ingest(store, "shop")
    await store.flush_arrivals()
    (key,) = [key for key in await contents(store) if key.startswith(b"wb:arrivals:4")]
    assert abs(int(key.rpartition(b":")[2]) - await store.queue_stats.clock() * 1000 // HOUR_MS) <= 1
    assert 0 < await store.client.command("PTTL", key) <= RETENTION_MS
    assert await store.arrivals.by_hour(0, 3) == {}


@pytest.mark.parametrize("where", get_args(Cut))
async def test_a_call_without_an_answer_is_repeated_and_counts_once(valkey_url: str, where: Cut) -> None:
    with tempfile.TemporaryDirectory(prefix="wb-") as directory:
        async with wire_to(valkey_url, Path(directory)) as wire, store_on(wire.url) as store:
            await ingest(store, "shop")
            wire.cut(0, where)
            with pytest.raises(StoreUnavailable):
                await store.flush_arrivals()
            await ingest(store, "shop", "shop")
            await store.flush_arrivals()
            assert await totals(store) == {"shop": 3}


async def test_a_key_of_another_type_is_set_aside_and_arrivals_are_counted_once(store: Store) -> None:
    await store.client.command("SET", "wb:arrived", "x")
    await ingest(store, "shop")
    await store.flush_arrivals()
    assert await store.arrivals.last_at_ms()
    (damaged,) = await store.damaged_keys()
    assert await store.client.command("GET", damaged.moved_to) == b"x"
    assert await totals(store) == {"shop": 1}
