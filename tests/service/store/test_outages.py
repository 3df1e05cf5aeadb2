"""Outages: the server stops, hangs, loses its scripts or is killed under load; no acknowledged event is lost."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from service.dev.embedded_valkey import EmbeddedValkey
from service.errors import StoreUnavailable
from service.store import IngestResult, Store
from tests.service.store.builders import WINDOW_MS, claim_one, ids_in_lanes, make_arrivals, make_event, store_on
from tests.waiting import PATIENCE_SECONDS

OwnValkey = Callable[..., EmbeddedValkey]


async def test_missing_server_is_unavailable_immediately(free_port: int) -> None:
    async with store_on(f"redis://127.0.0.1:{free_port}/0", ingest_timeout_seconds=0.2) as store:
        with pytest.raises(
            StoreUnavailable, match=rf":{free_port}\..*; check WAYBILL_REDIS_URL and that the store is running"
        ):
            await store.check()
        with pytest.raises(StoreUnavailable):
            await store.ingest(make_event(), "k", WINDOW_MS)


async def test_hanging_server_error_names_the_timeout_setting(own_valkey: OwnValkey) -> None:
    server = own_valkey()
    async with store_on(server.url, store_timeout_seconds=0.2) as store:
        for _ in range(100):  # on a busy machine, a server that works answers late, too
            with suppress(StoreUnavailable):
                await store.check()
                break
        else:
            pytest.fail("no check succeeded")
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            with pytest.raises(
                StoreUnavailable, match=r"the store did not answer within 0.2 s \(WAYBILL_STORE_TIMEOUT_SECONDS\)"
            ):
                await store.check()
        finally:
            os.kill(server.process.pid, signal.SIGCONT)


@pytest.mark.store
async def test_scripts_are_sent_again_after_the_script_cache_is_flushed(store: Store) -> None:
    await store.ingest(make_event("1"), "a", WINDOW_MS)
    await store.client.command("SCRIPT", "FLUSH")
    await store.ingest(make_event("2"), "b", WINDOW_MS)
    await store.client.command("SCRIPT", "FLUSH")
    assert (await claim_one(store)).head is not None
    assert (await store.sample()).pending == 2


async def test_running_call_survives_a_server_restart(own_valkey: OwnValkey) -> None:
    server = own_valkey()
    async with store_on(server.url, ingest_timeout_seconds=30) as store:
        first = make_event("1")
        await store.ingest(first, "a", WINDOW_MS)
        store.client.server.memory_checked_until = 0
        server.kill()
        waiting = asyncio.create_task(store.ingest(make_event("2"), "b", WINDOW_MS))
        await asyncio.sleep(0.1)
        own_valkey()
        assert (await waiting).status == "queued"
        assert (await store.ingest(make_event("1"), "a", WINDOW_MS)) == IngestResult("duplicate", first.id)


async def test_hanging_server_is_unavailable_until_it_answers(
    own_valkey: OwnValkey,
) -> None:
    server = own_valkey()
    async with store_on(server.url, store_timeout_seconds=0.2, ingest_timeout_seconds=0.3) as store:
        await store.ingest(make_event(), "a", WINDOW_MS)
        os.kill(server.pid, signal.SIGSTOP)
        started = time.monotonic()
        event = make_event()
        with pytest.raises(StoreUnavailable):
            await store.ingest(event, "b", WINDOW_MS)
        with pytest.raises(StoreUnavailable):
            await store.leases("w1").claim(1)
        assert time.monotonic() - started < 20
        os.kill(server.pid, signal.SIGCONT)
        receipt = await store.ingest(make_event(), "b", WINDOW_MS)
        assert receipt in {IngestResult("duplicate", event.id), IngestResult("queued", receipt.event_id)}
        assert (await store.sample()).pending == 2


async def deliver(store: Store, acknowledged: set[str], stop: asyncio.Event) -> None:
    """Ingest events one after the other until `stop` is set. Rejected events are not repeated."""
    while not stop.is_set():
        for arrival in make_arrivals(20):
            try:
                receipt = await store.ingest(arrival.event, arrival.dedupe_key, WINDOW_MS)
            except StoreUnavailable:
                continue
            acknowledged.add(receipt.event_id)


async def more(acknowledged: set[str], count: int) -> None:
    enough = len(acknowledged) + count
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(acknowledged) < enough:  # noqa: ASYNC110 - many senders, no single event to await
            await asyncio.sleep(0.01)


@pytest.mark.crash
async def test_acknowledged_events_survive_a_killed_server(
    own_valkey: OwnValkey,
) -> None:
    server, acknowledged, stop = own_valkey(), set[str](), asyncio.Event()
    async with store_on(server.url, ingest_timeout_seconds=0.05) as store:
        senders = [asyncio.create_task(deliver(store, acknowledged, stop)) for _ in range(30)]
        for _ in range(3):
            await more(acknowledged, 1_000)
            server.kill()
            server = own_valkey()
        stop.set()
        await asyncio.gather(*senders)
        held = await ids_in_lanes(store)
        still_open = {name.decode() for name in await store.client.command("ZRANGE", "wb:open", 0, -1)}
    assert len(acknowledged) > 3_000
    assert acknowledged - held == set()
    assert held == still_open


async def test_cancelled_call_leaves_the_connection_usable(store: Store) -> None:
    async def go_on(number: int) -> None:
        for _ in range(number):
            await store.leases("w1").claim(1)

    for ticks in range(40):
        calls = asyncio.create_task(go_on(1_000))
        for _ in range(ticks):
            await asyncio.sleep(0)
        calls.cancel()
        assert isinstance((await asyncio.gather(calls, return_exceptions=True))[0], asyncio.CancelledError)
