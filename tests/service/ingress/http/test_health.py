"""Health on both ports, and what readiness says while the store is gone, unsafe, full or declared."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import aiohttp
import pytest

from service.dev.embedded_valkey import EmbeddedValkey
from service.errors import StoreFull, StoreNotDurable, StoreUnavailable, WaybillError
from service.ingress.app import build_admin_app
from service.ingress.http.health import Readiness
from service.ingress.server import Listener, bind
from service.ingress.store_monitor import StoreMonitor
from service.settings import Settings
from service.store import IngestRequest, IngestResult, QuarantinedDelivery, QueueStats, Store, open_store
from tests.service.ingress.conftest import Lines, Order, Serve, encode, signed
from tests.waiting import PATIENCE_SECONDS


class Failing:
    """A store that is asked and fails each time."""

    def __init__(self, error: Exception | None, seconds: float = 0) -> None:
        self.error = error
        self.seconds = seconds
        self.asked = 0

    async def ingest_all(self, arrivals: Sequence[IngestRequest], /) -> list[IngestResult]:
        raise self.error or StoreUnavailable(f"{len(arrivals)} arrivals")

    async def quarantine_deliveries(self, refused: Sequence[QuarantinedDelivery], /) -> int:
        raise self.error or StoreUnavailable(f"{len(refused)} refused")

    async def sample(self) -> QueueStats:
        raise self.error or StoreUnavailable("no sample")

    async def check(self) -> None:
        self.asked += 1
        await asyncio.sleep(self.seconds)
        if self.error:
            raise self.error


async def test_both_ports_say_that_they_are_up_and_ready(
    settings: Settings, store: Store, serve: Serve, client: aiohttp.ClientSession
) -> None:
    with bind("127.0.0.1", 0, "WAYBILL_ADMIN_PORT") as port:
        operators = Listener(build_admin_app(settings, store), port, settings)
        await operators.start()
        for url in (await serve(settings, store), f"http://127.0.0.1:{operators.port}"):
            async with client.get(f"{url}/healthz") as response:
                assert (response.status, await response.json()) == (200, {"status": "up"})
            async with client.get(f"{url}/readyz") as response:
                assert (response.status, await response.json()) == (200, {"status": "ready", "durability": "fsync"})
        await operators.stop()


@pytest.mark.parametrize("error", [StoreUnavailable("x"), StoreFull("x"), StoreNotDurable("x")], ids=lambda e: e.kind)
async def test_unready_says_why_in_one_word_and_nothing_of_the_error(
    error: WaybillError, settings: Settings, serve: Serve, client: aiohttp.ClientSession
) -> None:
    url = await serve(settings, Failing(error))
    async with client.get(f"{url}/readyz") as response:
        told = {"status": "unready", "reason": error.kind, "durability": "fsync"}
        assert (response.status, await response.json()) == (503, told)
    async with client.get(f"{url}/healthz") as response:
        assert response.status == 200


async def test_a_mistake_of_ours_in_readiness_is_a_500_and_logged_once(
    settings: Settings, serve: Serve, client: aiohttp.ClientSession, lines: Lines
) -> None:
    url = await serve(settings, Failing(ZeroDivisionError("ours")))
    async with client.get(f"{url}/readyz") as response:
        assert (response.status, (await response.json(content_type=None))["code"]) == (500, "internal")
    [line] = lines("request.crashed")
    assert line["error_type"] == "ZeroDivisionError"


async def test_a_declared_durability_comes_with_its_loss_window(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(durability="declared", declared_loss_window_seconds=2)
    told = Readiness(settings, Failing(None)).describe(None)
    assert told == {"status": "ready", "durability": "declared", "loss_window_seconds": 2.0}


async def test_many_probes_cost_the_store_one_check(settings: Settings) -> None:
    store = Failing(None, 0.05)
    readiness = Readiness(settings, store)
    assert await asyncio.gather(*[readiness.reason() for _ in range(50)]) == [None] * 50
    assert store.asked == 1


async def test_a_check_that_hangs_is_unready(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.ingress.http.health.CHECK_TIMEOUT_SECONDS", 0.05)
    assert await Readiness(settings, Failing(None, 10)).reason() == "store_unavailable"


async def test_a_stopping_process_wants_no_new_senders(settings: Settings) -> None:
    readiness = Readiness(settings, Failing(None))
    readiness.stopping = True
    assert await readiness.reason() == "stopping"


async def test_nothing_is_acknowledged_on_a_store_that_became_unsafe(
    *,
    own_valkey: Callable[..., EmbeddedValkey],
    make_settings: Callable[..., Settings],
    serve: Serve,
    client: aiohttp.ClientSession,
    lines: Lines,
) -> None:
    server = own_valkey()
    settings = make_settings(redis_url=server.url, ingest_timeout_seconds=1)
    late = StoreMonitor(settings, open_store)
    await late.probe()
    url = await serve(settings, late)
    server.kill()
    own_valkey("--appendfsync", "everysec")
    for _ in range(3):  # the first may still meet the dead connection
        await late.probe()
    body = encode(Order("1"))
    async with client.post(f"{url}/webhooks/erp-orders", data=body, headers=signed(body)) as response:
        assert response.status == 503
        assert (await response.json(content_type=None))["code"] == "store_unavailable"
    async with client.get(f"{url}/readyz") as response:
        assert (await response.json())["reason"] == "store_not_durable"
    assert "appendfsync" in lines("store.not_durable")[-1]["reason"]
    await late.close()


@pytest.mark.parametrize("error", [StoreUnavailable("gone"), StoreNotDurable("unsafe"), ValueError("a library's own")])
async def test_the_watch_outlasts_whatever_opening_raises(
    error: Exception, settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.ingress.store_monitor.PROBE_INTERVAL_SECONDS", 0.01)
    outcomes: list[Exception | Store] = [error, error, store]
    opened = asyncio.Event()

    async def open_or_raise(_: Settings) -> Store:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        opened.set()
        return outcome

    late = StoreMonitor(settings, open_or_raise)
    with pytest.raises(StoreUnavailable):
        await _checked(late)
    async with asyncio.timeout(PATIENCE_SECONDS):
        watch = asyncio.create_task(late.run())
        await opened.wait()
        await asyncio.sleep(0)
    assert late.opened is store
    await late.check()
    watch.cancel()


async def test_a_store_that_was_never_opened_closes_in_peace(settings: Settings) -> None:
    await StoreMonitor(settings, open_store).close()


async def _checked(store: StoreMonitor) -> None:
    asked: Awaitable[None] = store.check()
    await asked


async def test_a_probe_that_sends_head_is_answered_as_one_that_sends_get_and_without_a_body(
    settings: Settings, store: Store, serve: Serve, client: aiohttp.ClientSession
) -> None:
    for found, status in ((store, 200), (Failing(StoreFull("x")), 503)):
        url = await serve(settings, found)
        for path, answered in (("healthz", 200), ("readyz", status)):
            async with client.get(f"{url}/{path}") as got, client.head(f"{url}/{path}") as asked:
                assert (got.status, asked.status, await asked.read()) == (answered, answered, b"")
                for name in ("content-length", "content-type"):
                    assert asked.headers[name] == got.headers[name]
