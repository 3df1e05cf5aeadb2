"""Isolation of the targets of `http` actions: no target waits for another one that hangs."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from aiohttp import web

from service.errors import Deferred, TransientError
from service.platforms.api.shared_throttle import FAILURE_THRESHOLD, SharedThrottles
from service.platforms.api.target_throttle import TargetThrottles
from service.settings import Settings
from service.store import Store
from tests.waiting import until
from tests.workers.harness import open_harness

pytestmark = pytest.mark.store

EVENTS = 20
CONCURRENCY = 6
RULES = """
- id: hanging
  type: purchase_order
  when: {field: id, op: matches, value: "hang.*"}
  actions: [{id: call, do: http, url: "HANGING/{id}", timeout_seconds: 60}]
- id: healthy
  type: purchase_order
  when: {field: id, op: matches, value: "fine.*"}
  actions: [{id: call, do: http, url: "HEALTHY/{id}"}]
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
        await harness.publish(RULES.replace("HANGING", hanging.url).replace("HEALTHY", healthy.url))
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


@pytest.fixture
def targets(store: Store) -> TargetThrottles:
    return TargetThrottles(SharedThrottles(store.limits, store.tokens, 1.0, chance=lambda: 0.0), 2)


async def fail(targets: TargetThrottles, url: str, error: TransientError) -> None:
    async with targets.throttle(url).slot(url):
        raise error


async def test_failures_in_a_row_open_the_circuit_of_one_host_only(targets: TargetThrottles, store: Store) -> None:
    for _ in range(FAILURE_THRESHOLD - 1):
        with pytest.raises(TransientError):
            await fail(targets, "http://a.test/1", TransientError("timeout", "no answer"))
    with pytest.raises(Deferred):
        await fail(targets, "http://a.test/2", TransientError("timeout", "no answer"))
    with pytest.raises(Deferred) as raised:
        async with targets.throttle("http://a.test:80/3").slot("http://a.test:80/3"):
            pass
    assert raised.value.kind == "circuit_open"
    for other in ("https://a.test/", "http://a.test:81/", "http://b.test/"):
        async with targets.throttle(other).slot(other):
            pass
    assert set(await store.limits.open_circuits()) == {"target:a.test:80"}


@pytest.mark.parametrize(("status", "opens"), [(429, True), (503, True), (500, False), (409, False)])
async def test_statuses_that_concern_the_host_open_its_circuit(
    targets: TargetThrottles, store: Store, status: int, *, opens: bool
) -> None:
    error = TransientError("target_unavailable", "no", http_status=status, retry_after_seconds=7)
    with contextlib.suppress(Deferred, TransientError):
        await fail(targets, "http://a.test/", error)
    assert bool(await store.limits.open_circuits()) is opens


async def test_calls_above_the_limit_of_a_host_are_deferred_without_a_call(targets: TargetThrottles) -> None:
    throttle = targets.throttle("http://a.test/")
    async with throttle.slot("http://a.test/1"), throttle.slot("http://a.test/2"):
        with pytest.raises(Deferred) as raised:
            async with throttle.slot("http://a.test/3"):
                pass
        assert (raised.value.kind, raised.value.seconds) == ("target_throttled", 1.0)
    async with throttle.slot("http://a.test/4"):
        pass


async def test_action_whose_host_has_an_open_circuit_is_not_called(make_settings: Callable[..., Settings]) -> None:
    async with running(hangs=False) as healthy, open_harness(make_settings()) as harness:
        throttles = cast("Any", harness.dependencies.effects.resources)["targets"]
        with contextlib.suppress(Deferred):
            error = TransientError("target_unavailable", "no", http_status=429, retry_after_seconds=1)
            await fail(throttles, healthy.url, error)
        await harness.publish(RULES.replace("HANGING", healthy.url).replace("HEALTHY", healthy.url))
        event_id = await harness.send("fine-1")
        await harness.run_worker()
        stored = await harness.stored_event(event_id)
        assert (stored["outcome"], stored["attempts"], len(healthy.calls)) == ("matched", "1", 1)
        assert harness.log_lines("attempt.finished")[0]["outcome"] == "deferred"
