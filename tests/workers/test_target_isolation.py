"""Isolation of destinations: no target waits for another one that hangs."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from service.config.throttles import ThrottleConfig
from service.destinations.registry import Destinations, DestinationSetup
from service.errors import Deferred, TransientError
from service.http_client import HttpClient
from service.settings import Settings
from service.store import Store
from service.throttles import shared_throttle, slot
from service.throttles.job_slots import JobSlots
from service.throttles.throttle import Throttle
from service.throttles.throttles import SharedThrottles
from tests.waiting import until
from tests.workers.harness import open_harness

pytestmark = pytest.mark.store

EVENTS = 20
CONCURRENCY = 6
RULES = """
- id: hanging
  type: purchase_order
  when: {field: id, op: matches, value: "hang.*"}
  actions: [{id: call, do: http, destination: hanging, path: "/{id}"}]
- id: healthy
  type: purchase_order
  when: {field: id, op: matches, value: "fine.*"}
  actions: [{id: call, do: http, destination: healthy, path: "/{id}"}]
"""


class Target:
    """Server that answers at once or not until `release`. Counts the calls, and those in progress."""

    def __init__(self, *, hangs: bool) -> None:
        self.release = asyncio.Event()
        self.calls: Counter[str] = Counter()
        self.now = self.most = 0
        self.url = ""
        if not hangs:
            self.release.set()

    async def answer(self, request: web.Request) -> web.Response:
        self.calls[request.path] += 1
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.release.wait()
        finally:
            self.now -= 1
        return web.json_response({})


@asynccontextmanager
async def running(*, hangs: bool) -> AsyncGenerator[Target]:
    target, app = Target(hangs=hangs), web.Application()
    app.router.add_route("*", "/{path:.*}", target.answer)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    target.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield target
    target.release.set()
    await runner.cleanup()


@pytest.mark.slow
async def test_target_that_hangs_does_not_delay_another_target(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(concurrency=CONCURRENCY, action_timeout_seconds=60.0, attempt_timeout_seconds=120.0)
    async with running(hangs=True) as hanging, running(hangs=False) as healthy, open_harness(settings) as harness:
        timeouts = {"total_seconds": 60}
        harness.declare(hanging={"url": hanging.url, "timeouts": timeouts}, healthy={"url": healthy.url})
        await harness.publish(RULES)
        for number in range(EVENTS):
            await harness.send(f"hang-{number}")
        working = asyncio.create_task(harness.run_worker())
        await until(lambda: hanging.now == CONCURRENCY // 2)
        for number in range(EVENTS):
            await harness.send(f"fine-{number}")
        await until(lambda: len(healthy.calls) == EVENTS)
        assert hanging.most == CONCURRENCY // 2
        hanging.release.set()
        await working
        assert len(hanging.calls) == EVENTS
        assert set(hanging.calls.values()) == set(healthy.calls.values()) == {1}
        outcomes = {line["outcome"] for line in harness.log_lines("attempt.finished")}
        assert outcomes <= {"matched", "deferred"}


@pytest.mark.slow
async def test_waits_for_a_target_that_hangs_leave_jobs_for_another_target(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without a limit of its own the wait in place does not end: the result does not depend on time.
    monkeypatch.setattr(shared_throttle, "WAIT_SECONDS_MAX", 600.0)
    monkeypatch.setattr(slot, "STALL_SECONDS_MIN", 600.0)
    settings = make_settings(concurrency=8, action_timeout_seconds=60.0, attempt_timeout_seconds=120.0)
    async with running(hangs=True) as hanging, running(hangs=False) as healthy, open_harness(settings) as harness:
        harness.declare(hanging={"url": hanging.url, "timeouts": {"total_seconds": 60}}, healthy={"url": healthy.url})
        await harness.publish(RULES)
        for number in range(EVENTS):
            await harness.send(f"hang-{number}")
        working = asyncio.create_task(harness.run_worker())
        await until(lambda: hanging.now == 4)
        for number in range(EVENTS):
            await harness.send(f"fine-{number}")
        await until(lambda: len(healthy.calls) == EVENTS)
        assert hanging.now == 4
        hanging.release.set()
        await working
        assert set(hanging.calls.values()) == set(healthy.calls.values()) == {1}


@pytest.mark.slow
async def test_two_targets_that_hang_leave_jobs_for_a_third(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(concurrency=8, action_timeout_seconds=60.0, attempt_timeout_seconds=120.0)
    other, _, _ = RULES.partition("- id: healthy")
    rules = RULES + other.replace("hanging", "silent").replace("hang.*", "mute.*")
    async with (
        running(hangs=True) as hanging,
        running(hangs=True) as silent,
        running(hangs=False) as healthy,
        open_harness(settings) as harness,
    ):
        targets = {"hanging": hanging, "silent": silent, "healthy": healthy}
        timeouts = {"total_seconds": 60}
        harness.declare(**{name: {"url": target.url, "timeouts": timeouts} for name, target in targets.items()})
        await harness.publish(rules)
        for number in range(EVENTS):
            await harness.send(f"hang-{number}")
            await harness.send(f"mute-{number}")
        working = asyncio.create_task(harness.run_worker())
        await until(lambda: hanging.now + silent.now >= 6)
        for number in range(EVENTS):
            await harness.send(f"fine-{number}")
        await until(lambda: len(healthy.calls) == EVENTS)
        assert hanging.now + silent.now < 8
        hanging.release.set()
        silent.release.set()
        await working
        for target in (hanging, silent, healthy):
            assert len(target.calls) == EVENTS
            assert set(target.calls.values()) == {1}


@pytest.fixture
def throttles(store: Store) -> SharedThrottles:
    return SharedThrottles(store.limits, store.tokens, 1.0, chance=lambda: 0.0)


async def fail(throttle: Throttle, path: str, error: TransientError) -> None:
    async with throttle.slot(repeatable=True, target=path):
        raise error


async def test_failures_in_a_row_open_the_circuit_of_one_destination_only(
    throttles: SharedThrottles, store: Store
) -> None:
    erp, crm = (throttles.destination(name, ThrottleConfig(failures_max=3)) for name in ("erp", "crm"))
    for _ in range(2):
        with pytest.raises(TransientError):
            await fail(erp, "/1", TransientError("timeout", "no answer"))
    with pytest.raises(Deferred) as opened:
        await fail(erp, "/2", TransientError("timeout", "no answer"))
    assert opened.value.account == "destination:erp"
    with pytest.raises(Deferred) as raised:
        async with erp.slot(repeatable=True, target="/3"):
            pass
    assert raised.value.kind == "circuit_open"
    async with crm.slot(repeatable=True, target="/"):
        pass
    assert set(await store.limits.open_circuits()) == {"destination:erp"}


async def test_plain_urls_share_the_destination_of_their_host_and_port() -> None:
    async with HttpClient(Settings()) as client:
        destinations = Destinations({}, DestinationSetup(http_client=client, environ={}))
        urls = ("http://a.test/1", "http://a.test:80/2?x", "https://a.test/", "http://a.test:81/", "http://[::1]/")
        names = [destinations.host(url).name for url in urls]
    assert names == ["a.test:80", "a.test:80", "a.test:443", "a.test:81", "::1:80"]


@pytest.mark.parametrize(("status", "opens"), [(429, True), (503, True), (500, False), (409, False)])
async def test_statuses_that_concern_the_host_open_its_circuit(
    throttles: SharedThrottles, store: Store, status: int, *, opens: bool
) -> None:
    error = TransientError("target_unavailable", "no", http_status=status, retry_after_seconds=7)
    with contextlib.suppress(Deferred, TransientError):
        await fail(throttles.destination("erp", ThrottleConfig()), "/", error)
    assert bool(await store.limits.open_circuits()) is opens


async def test_calls_above_the_limit_of_a_process_are_deferred_without_a_call(store: Store) -> None:
    throttles = SharedThrottles(store.limits, store.tokens, 1.0, job_slots=JobSlots(2))
    erp = throttles.destination("erp", ThrottleConfig())
    async with erp.slot(repeatable=True, target="/1"), erp.slot(repeatable=True, target="/2"):
        with pytest.raises(Deferred) as raised:
            async with erp.slot(repeatable=True, target="/3"):
                pass
        assert raised.value.kind == "destination_throttled"
    async with erp.slot(repeatable=True, target="/4"):
        pass


@pytest.mark.slow
async def test_action_whose_host_has_an_open_circuit_is_not_called(make_settings: Callable[..., Settings]) -> None:
    async with running(hangs=False) as healthy, open_harness(make_settings()) as harness:
        harness.declare(hanging={"url": healthy.url}, healthy={"url": healthy.url})
        with contextlib.suppress(Deferred):
            error = TransientError("target_unavailable", "no", http_status=429, retry_after_seconds=3600)
            other_process = SharedThrottles(harness.store.limits, harness.store.tokens, 1.0)
            await fail(other_process.destination("healthy", ThrottleConfig()), "/", error)
        await harness.publish(RULES)
        event_id = await harness.send("fine-1")
        await harness.run_until_idle(harness.worker("parker"))
        assert (await harness.stored_event(event_id))["waiting_for"] == "circuit_open"
        assert not healthy.calls
        assert await harness.store.parking.resume("destination:healthy")
        await harness.run_worker()
        stored = await harness.stored_event(event_id)
        assert (stored["outcome"], stored["attempts"], len(healthy.calls)) == ("matched", "1", 1)
