"""Counts of arrivals: the service adds them to the store periodically and at its end, and reports a denied command."""

import asyncio
import time
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from service.ingress import store_monitor
from service.ingress.store_monitor import StoreMonitor
from service.settings import Settings
from service.store import IngestRequest, Shards, Store, open_store
from tests.service.store.builders import WINDOW_MS, make_event, run_on_server
from tests.waiting import until

pytestmark = pytest.mark.store

HOUR_MS = 3_600_000


async def counted(store: Store) -> int:
    """Return the arrivals of the last two hours, since the hour may change during the test."""
    hours = await store.arrivals.by_hour(int(time.time() * 1000) // HOUR_MS - 1, 2)
    return sum(hours.get("shop", ()))


async def open_monitor(settings: Settings) -> StoreMonitor:
    async def open_shard(settings: Settings) -> Shards:
        return Shards([await open_store(settings)])

    monitor = StoreMonitor(settings, open_shard)
    await monitor.probe()
    return monitor


async def ingest(monitor: StoreMonitor) -> None:
    event = make_event()
    await monitor.ingest_all([IngestRequest(event, event.id, WINDOW_MS)])


async def test_counts_are_added_while_the_service_runs_and_at_its_end(
    make_settings: Callable[..., Settings], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_monitor, "PROBE_INTERVAL_SECONDS", 0.01)
    monitor = await open_monitor(make_settings())
    running = asyncio.create_task(monitor.run())
    await ingest(monitor)

    async def is_counted() -> bool:
        return await counted(store) == 1

    await until(is_counted)
    running.cancel()
    await asyncio.wait([running])
    await ingest(monitor)
    assert await counted(store) == 1
    await monitor.close()
    assert await counted(store) == 2


async def test_a_denied_command_is_reported_once_and_rejects_no_delivery(
    make_settings: Callable[..., Settings], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_monitor, "PROBE_INTERVAL_SECONDS", 0.01)
    settings = make_settings()
    monitor = await open_monitor(settings)
    run_on_server(settings.redis_url, "ACL", "SETUSER", "default", "-hincrby")
    try:
        with capture_logs() as lines:
            running = asyncio.create_task(monitor.run())
            await ingest(monitor)
            await until(lambda: bool(lines))
            await asyncio.sleep(0.1)
            running.cancel()
            await asyncio.wait([running])
    finally:
        run_on_server(settings.redis_url, "ACL", "SETUSER", "default", "+hincrby")
    assert [(line["event"], line["error_kind"]) for line in lines] == [("store.unavailable", "store_unavailable")]
    assert "check the permissions of the store's user" in lines[0]["reason"]
    await monitor.close()
    assert await counted(store) == 1
