"""Health endpoints on both ports, with a store that is unavailable, not durable, full or of declared durability."""

import asyncio
from collections.abc import Callable, Sequence

import aiohttp
import pytest

from service.dev.embedded_valkey import EmbeddedValkey
from service.errors import StoreFull, StoreNotDurable, StoreUnavailable, WaybillError
from service.ingress.app import build_admin_app
from service.ingress.http.health import Readiness
from service.ingress.server import Listener
from service.ingress.store_monitor import StoreMonitor
from service.listening_socket import bind
from service.settings import Settings
from service.store import (
    IngestRequest,
    IngestResult,
    QuarantinedDelivery,
    QueueStats,
    Shards,
    Store,
    open_shards,
    open_store,
)
from tests.service.ingress.conftest import Lines, Order, Serve, encode, signed
from tests.service.store.builders import run_on_server
from tests.waiting import PATIENCE_SECONDS, until


class FailingStore:
    """Store that fails every call, and counts its checks."""

    def __init__(self, error: Exception | None, seconds: float = 0) -> None:
        self.error = error
        self.seconds = seconds
        self.checks = 0

    async def ingest_all(self, requests: Sequence[IngestRequest], /) -> list[IngestResult]:
        raise self.error or StoreUnavailable(f"{len(requests)} requests")

    async def quarantine_deliveries(self, deliveries: Sequence[QuarantinedDelivery], /) -> int:
        raise self.error or StoreUnavailable(f"{len(deliveries)} deliveries")

    async def record_untrusted_proxy(self, peer: str, /) -> None:
        raise self.error or StoreUnavailable(peer)

    async def samples(self) -> Sequence[QueueStats | None]:
        raise self.error or StoreUnavailable("no sample")

    async def open_circuits(self) -> dict[str, float]:
        raise self.error or StoreUnavailable("no circuits")

    async def check(self) -> None:
        self.checks += 1
        await asyncio.sleep(self.seconds)
        if self.error:
            raise self.error


async def test_both_ports_serve_health_endpoints(
    settings: Settings, store: Store, serve: Serve, client: aiohttp.ClientSession
) -> None:
    with bind("127.0.0.1", 0, "WAYBILL_ADMIN_PORT") as port:
        listener = Listener(build_admin_app(settings, store), port, settings)
        await listener.start()
        for url in (await serve(settings, store), f"http://127.0.0.1:{listener.port}"):
            async with client.get(f"{url}/healthz") as response:
                assert (response.status, await response.json()) == (200, {"status": "up"})
            await until(lambda url=url: is_ready(client, url))  # a check has 2 s, and a busy machine may stall
        await listener.stop()


async def is_ready(client: aiohttp.ClientSession, url: str) -> bool:
    async with client.get(f"{url}/readyz") as response:
        return (response.status, await response.json()) == (200, {"status": "ready", "durability": "fsync"})


@pytest.mark.parametrize("error", [StoreUnavailable("x"), StoreFull("x"), StoreNotDurable("x")], ids=lambda e: e.kind)
async def test_readyz_names_the_reason_without_details(
    error: WaybillError, settings: Settings, serve: Serve, client: aiohttp.ClientSession
) -> None:
    url = await serve(settings, FailingStore(error))
    async with client.get(f"{url}/readyz") as response:
        expected = {"status": "unready", "reason": error.kind, "durability": "fsync"}
        assert (response.status, await response.json()) == (503, expected)
    async with client.get(f"{url}/healthz") as response:
        assert response.status == 200


async def test_unexpected_exception_in_readyz_is_a_500_and_logged_once(
    settings: Settings, serve: Serve, client: aiohttp.ClientSession, lines: Lines
) -> None:
    url = await serve(settings, FailingStore(ZeroDivisionError("ours")))
    async with client.get(f"{url}/readyz") as response:
        assert (response.status, (await response.json(content_type=None))["code"]) == (500, "internal")
    [line] = lines("request.crashed")
    assert line["error_type"] == "ZeroDivisionError"


async def test_declared_durability_shows_its_loss_window(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(durability="declared", declared_loss_window_seconds=2)
    expected = Readiness(settings, FailingStore(None)).describe(None)
    assert expected == {"status": "ready", "durability": "declared", "loss_window_seconds": 2.0}


async def test_concurrent_probes_share_one_check(settings: Settings) -> None:
    store = FailingStore(None, 0.05)
    readiness = Readiness(settings, store)
    assert await asyncio.gather(*[readiness.reason() for _ in range(50)]) == [None] * 50
    assert store.checks == 1


async def test_check_that_times_out_is_store_unavailable(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.ingress.http.health.CHECK_TIMEOUT_SECONDS", 0.05)
    assert await Readiness(settings, FailingStore(None, 10)).reason() == "store_unavailable"


async def test_stopping_process_is_not_ready(settings: Settings) -> None:
    readiness = Readiness(settings, FailingStore(None))
    readiness.stopping = True
    assert await readiness.reason() == "stopping"


async def test_store_that_lost_durability_is_not_used(
    *,
    own_valkey: Callable[..., EmbeddedValkey],
    make_settings: Callable[..., Settings],
    serve: Serve,
    client: aiohttp.ClientSession,
    lines: Lines,
) -> None:
    server = own_valkey()
    settings = make_settings(redis_url=server.url, ingest_timeout_seconds=1)
    monitor = StoreMonitor(settings, open_shards)
    await monitor.probe()
    url = await serve(settings, monitor)
    server.kill()
    own_valkey("--appendfsync", "everysec")
    for _ in range(3):  # the first may still use the dead connection
        await monitor.probe()
    body = encode(Order("1"))
    async with client.post(f"{url}/webhooks/erp-orders", data=body, headers=signed(body)) as response:
        assert response.status == 503
        assert (await response.json(content_type=None))["code"] == "store_unavailable"
    async with client.get(f"{url}/readyz") as response:
        assert (await response.json())["reason"] == "store_not_durable"
    assert "appendfsync" in lines("store.not_durable")[-1]["reason"]
    await monitor.close()


async def test_delivery_is_not_accepted_without_a_permission_of_the_store(
    settings: Settings, store: Store, serve: Serve, client: aiohttp.ClientSession
) -> None:
    url, body = await serve(settings, store), encode(Order("1"))
    run_on_server(settings.redis_url, "ACL", "SETUSER", "default", "-zadd")
    try:
        async with client.post(f"{url}/webhooks/erp-orders", data=body, headers=signed(body)) as response:
            assert response.status == 503
        async with client.get(f"{url}/readyz") as response:
            assert (response.status, (await response.json())["reason"]) == (503, "store_unavailable")
    finally:
        run_on_server(settings.redis_url, "ACL", "SETUSER", "default", "+zadd")
    async with client.post(f"{url}/webhooks/erp-orders", data=body, headers=signed(body)) as response:
        assert response.status == 202
        assert (await response.json())["status"] == "queued"
    assert (await store.sample()).pending == 1


async def test_setting_changed_at_run_time_is_logged_once_with_reminders(
    *,
    own_valkey: Callable[..., EmbeddedValkey],
    make_settings: Callable[..., Settings],
    lines: Lines,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.store.connection.server.DURABILITY_CHECK_SECONDS", 0.0)
    server = own_valkey()
    monitor = StoreMonitor(make_settings(redis_url=server.url), open_shards)
    await monitor.probe()
    admin = await open_store(make_settings(redis_url=server.url, durability="declared"))
    await admin.client.command("CONFIG", "SET", "no-appendfsync-on-rewrite", "yes")
    for _ in range(3):
        await monitor.probe()
    (line,) = lines("store.not_durable")
    assert "CONFIG SET no-appendfsync-on-rewrite no" in line["reason"]
    await admin.client.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    await monitor.probe()
    (line,) = lines("store.not_durable")
    assert "CONFIG SET no-appendfsync-on-rewrite no maxmemory-policy noeviction" in line["reason"]
    monkeypatch.setattr(monitor, "_reminder_due", 0.0)
    await monitor.probe()
    assert len(lines("store.not_durable")) == 1
    await admin.client.command("CONFIG", "SET", "no-appendfsync-on-rewrite", "no", "maxmemory-policy", "noeviction")
    await monitor.probe()
    await monitor.check()
    assert len(lines("store.recovered", "store.not_durable")) == 1
    await admin.close()
    await monitor.close()


@pytest.mark.parametrize("error", [StoreUnavailable("gone"), StoreNotDurable("unsafe"), ValueError("a library's own")])
async def test_store_monitor_survives_errors_of_opening(
    error: Exception, settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.ingress.store_monitor.PROBE_INTERVAL_SECONDS", 0.01)
    shards = Shards([store])
    outcomes: list[Exception | Shards] = [error, error, shards]
    opened = asyncio.Event()

    async def open_or_raise(_: Settings) -> Shards:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        opened.set()
        return outcome

    monitor = StoreMonitor(settings, open_or_raise)
    with pytest.raises(StoreUnavailable):
        await _checked(monitor)
    async with asyncio.timeout(PATIENCE_SECONDS):
        task = asyncio.create_task(monitor.run())
        await opened.wait()
        await asyncio.sleep(0)
    assert monitor.opened is shards
    await monitor.check()
    task.cancel()


async def test_close_of_an_unopened_store_does_nothing(settings: Settings) -> None:
    await StoreMonitor(settings, open_shards).close()


async def _checked(store: StoreMonitor) -> None:
    await store.check()


async def test_head_probe_has_the_headers_of_get_and_no_body(
    settings: Settings, store: Store, serve: Serve, client: aiohttp.ClientSession
) -> None:
    for served, status in ((store, 200), (FailingStore(StoreFull("x")), 503)):
        url = await serve(settings, served)
        for path, answered in (("healthz", 200), ("readyz", status)):
            async with client.get(f"{url}/{path}") as got, client.head(f"{url}/{path}") as checks:
                assert (got.status, checks.status, await checks.read()) == (answered, answered, b"")
                for name in ("content-length", "content-type"):
                    assert checks.headers[name] == got.headers[name]
