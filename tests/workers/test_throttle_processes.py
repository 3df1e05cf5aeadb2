"""Throttle over two worker processes with one account: concurrency limit, rate limit and circuit breaker.

The platform is a real server that records the time and the concurrency of its requests.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from service.dev.embedded_valkey import EmbeddedValkey
from service.events import EVENT_VERSION, Event, RecordRef, new_event_id
from tests.one_shard import one_shard_settings
from tests.waiting import until
from tests.workers.harness import WorkerHarness, open_harness
from tests.workers.worker_processes import WorkerProcesses

pytestmark = pytest.mark.crash

CONFIG = """
platforms:
  engage:
    kind: pexip_engage
    enterprise: acme
    client_id: {{env: ENGAGE_SECRET}}
    client_secret: {{env: ENGAGE_SECRET}}
    base_url: "{url}"
    token_url: "{url}/token"
sources:
  engage-hooks: {{platform: engage, verify: {{scheme: bearer, secrets: [{{env: ENGAGE_SECRET}}]}}, envelope: platform}}
outbound: {{allow_private_hosts: [127.0.0.1]}}
"""
RULE = """
- id: tell
  type: customer
  actions:
    - {id: one, do: log, message: "{id}"}
"""
PER_MINUTE_MAX = 3_000


class FakeEngage:
    """Customers and tokens of Pexip Engage. `failure` may return another response."""

    def __init__(self, seconds: float = 0.02) -> None:
        self.request_times: list[float] = []
        self.concurrency_max = self.concurrency = self.token_requests = 0
        self.seconds = seconds
        self.failure: Callable[[], web.Response | None] = lambda: None

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/enterprises/acme/customers/{id}", self._customer)
        app.router.add_post("/token", self._token)
        return app

    async def _token(self, _: web.Request) -> web.Response:
        self.token_requests += 1
        return web.json_response({"access_token": "t", "expires_in": 300})

    async def _customer(self, request: web.Request) -> web.Response:
        self.request_times.append(time.time())
        self.concurrency += 1
        self.concurrency_max = max(self.concurrency_max, self.concurrency)
        try:
            await asyncio.sleep(self.seconds)
            at = "2026-01-01T00:00:00Z"
            customer = {"id": request.match_info["id"], "existing": True, "createdAt": at, "updatedAt": at}
            return self.failure() or web.json_response({"data": customer | {"deletedAt": None}})
        finally:
            self.concurrency -= 1


class ThrottleHarness:
    """The platform, a store, and two worker processes."""

    def __init__(self, engage: FakeEngage, harness: WorkerHarness, processes: WorkerProcesses) -> None:
        self.engage = engage
        self.harness = harness
        self.processes = processes
        self.ids: list[str] = []

    async def start(self) -> None:
        await asyncio.gather(
            *(self.processes.start(backoff_base_seconds=0.05, wake_timeout_seconds=0.2) for _ in range(2))
        )

    async def send(self, count: int) -> None:
        """Ingest one event of each of `count` customers."""
        for number in range(len(self.ids), len(self.ids) + count):
            record = RecordRef("engage", "customer", str(number))
            name = new_event_id()
            event = Event(EVENT_VERSION, name, "engage-hooks", "x", "updated", record, None, {}, None, b"{}")
            await self.harness.store.ingest(event, name, 60_000)
            self.ids.append(name)

    async def has_ended(self) -> bool:
        return (await self.harness.store.sample()).pending == 0

    async def attempts(self) -> set[tuple[Any, Any, Any]]:
        """Return state, outcome and attempts of all events."""
        stored_events = [await self.harness.stored_event(event_id) for event_id in self.ids]
        return {(stored["state"], stored["outcome"], stored["attempts"]) for stored in stored_events}

    def workers_with(self, event: str) -> int:
        return sum(1 for child in self.processes.children if self.processes.log_lines(event, [child]))


@pytest.fixture
async def throttle(own_valkey: Callable[..., EmbeddedValkey], tmp_path: Path) -> AsyncIterator[ThrottleHarness]:
    server, engage = own_valkey(), FakeEngage()
    runner = web.AppRunner(engage.app())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with open_harness(one_shard_settings({"WAYBILL_REDIS_URL": server.url})) as harness:
        await harness.publish(RULE)
        processes = WorkerProcesses(
            tmp_path, server.url, CONFIG.format(url=url), {"ENGAGE_SECRET": "engage-secret-0123456789"}
        )
        throttle = ThrottleHarness(engage, harness, processes)
        try:
            await throttle.start()
            yield throttle
        finally:
            processes.kill()
            await runner.cleanup()


async def test_concurrency_limit_holds_over_all_workers(throttle: ThrottleHarness) -> None:
    await throttle.send(80)
    await until(throttle.has_ended)
    assert throttle.engage.concurrency_max == 4
    await until(lambda: throttle.workers_with("record.fetched") == 2)
    assert len(throttle.engage.request_times) == 80
    assert throttle.engage.token_requests == 1, "one token for both workers"
    assert await throttle.attempts() == {("ended", "matched", "1")}


async def test_rate_limit_per_minute_holds_over_all_workers(throttle: ThrottleHarness) -> None:
    free = 40
    used = int(time.time()) - 57
    key = f"{throttle.harness.settings.key_prefix}rate:engage"
    await throttle.harness.store.client.command("HSET", key, used, PER_MINUTE_MAX - free)
    await throttle.send(free + 30)
    await until(throttle.has_ended)
    times = sorted(throttle.engage.request_times)
    assert len(times) == free + 30
    assert times[free] >= used + 60, "no further call within the minute"
    waiting = throttle.processes.log_lines("attempt.finished")
    assert {line["error_kind"] for line in waiting if line["outcome"] == "deferred"} <= {"account_throttled"}
    await until(lambda: throttle.workers_with("record.fetched") == 2)
    assert await throttle.attempts() == {("ended", "matched", "1")}


@pytest.mark.parametrize(("status", "form"), [(429, "seconds"), (503, "date")])
async def test_circuit_opens_on_429_or_503_and_closes_after_one_probe_without_using_attempts(
    throttle: ThrottleHarness, status: int, form: str
) -> None:
    engage, ends = throttle.engage, list[float]()

    def reject() -> web.Response | None:
        """Reject requests with Retry-After until the first of these times has passed."""
        if ends and time.time() >= ends[0]:
            return None
        end = datetime.fromtimestamp(int(time.time()) + 3, UTC)
        ends.append(end.timestamp() if form == "date" else time.time() + 3)
        after = format_datetime(end, usegmt=True) if form == "date" else "3"
        return web.Response(status=status, headers={"Retry-After": after})

    engage.failure = reject
    await throttle.send(60)
    await until(throttle.has_ended)
    rejected = len(ends)
    assert 1 <= rejected <= 4, "only requests in flight"
    times = sorted(engage.request_times)
    probe = times[rejected]
    assert probe >= max(ends) - 0.01, "no request in the meantime"
    assert times[rejected + 1] >= probe + engage.seconds, "one probe, alone"
    assert engage.concurrency_max <= 4
    assert await throttle.attempts() == {("ended", "matched", "1")}
    assert len(await throttle.processes.wait_for_log_lines("platform.circuit_opened")) == 1
    assert len(await throttle.processes.wait_for_log_lines("platform.circuit_closed")) == 1
