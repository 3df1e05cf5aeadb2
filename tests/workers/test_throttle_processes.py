"""Two real workers against one account: what the account is asked at once and in a minute, and how it is left in peace.

The platform is a server of its own here, which counts on its side what arrives, when, and how much of it at once.
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
from service.settings import load_settings
from tests.waiting import until
from tests.workers.harness import House, open_house
from tests.workers.worker_processes import Pods

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


class Engage:
    """Pexip Engage's customers and tokens; `trouble` may answer a call in their stead."""

    def __init__(self, seconds: float = 0.02) -> None:
        self.began: list[float] = []
        self.most = self.now = self.tokens = 0
        self.seconds = seconds
        self.trouble: Callable[[], web.Response | None] = lambda: None

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/enterprises/acme/customers/{id}", self._customer)
        app.router.add_post("/token", self._token)
        return app

    async def _token(self, _: web.Request) -> web.Response:
        self.tokens += 1
        return web.json_response({"access_token": "t", "expires_in": 300})

    async def _customer(self, request: web.Request) -> web.Response:
        self.began.append(time.time())
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(self.seconds)
            at = "2026-01-01T00:00:00Z"
            customer = {"id": request.match_info["id"], "existing": True, "createdAt": at, "updatedAt": at}
            return self.trouble() or web.json_response({"data": customer | {"deletedAt": None}})
        finally:
            self.now -= 1


class Office:
    """The platform, a store, and two workers."""

    def __init__(self, engage: Engage, house: House, pods: Pods) -> None:
        self.engage = engage
        self.house = house
        self.pods = pods
        self.ids: list[str] = []

    async def open(self) -> None:
        for _ in range(2):
            await self.pods.start(backoff_base_seconds=0.05, wake_timeout_seconds=0.2)

    async def send(self, count: int) -> None:
        """Take in events of as many customers."""
        for number in range(len(self.ids), len(self.ids) + count):
            record = RecordRef("engage", "customer", str(number))
            name = new_event_id()
            event = Event(EVENT_VERSION, name, "engage-hooks", "x", "updated", record, None, {}, None, b"{}")
            await self.house.store.ingest(event, name, 60_000)
            self.ids.append(name)

    async def settled(self) -> bool:
        return (await self.house.store.sample()).pending == 0

    async def attempts(self) -> set[tuple[Any, Any, Any]]:
        """State, fate and attempts of all events."""
        stories = [await self.house.story(event_id) for event_id in self.ids]
        return {(story["state"], story["outcome"], story["attempts"]) for story in stories}

    def workers_that(self, event: str) -> int:
        return sum(1 for child in self.pods.children if self.pods.said(event, [child]))


@pytest.fixture
async def office(own_valkey: Callable[..., EmbeddedValkey], tmp_path: Path) -> AsyncIterator[Office]:
    server, engage = own_valkey(), Engage()
    runner = web.AppRunner(engage.app())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with open_house(load_settings({"WAYBILL_REDIS_URL": server.url})) as house:
        await house.publish(RULE)
        pods = Pods(tmp_path, server.url, CONFIG.format(url=url), {"ENGAGE_SECRET": "engage-secret-0123456789"})
        office = Office(engage, house, pods)
        try:
            await office.open()
            yield office
        finally:
            pods.kill()
            await runner.cleanup()


async def test_no_more_than_four_calls_are_under_way_in_all_workers_together(office: Office) -> None:
    await office.send(80)
    await until(office.settled)
    assert office.engage.most == 4
    assert office.workers_that("record.fetched") == 2
    assert len(office.engage.began) == 80
    assert office.engage.tokens == 1, "one token for both"
    assert await office.attempts() == {("ended", "matched", "1")}


async def test_a_minute_holds_3000_calls_of_all_workers_and_the_others_wait_for_its_end(office: Office) -> None:
    room = 40
    used = int(time.time()) - 54
    key = f"{office.house.settings.key_prefix}rate:engage"
    await office.house.store.client.command("HSET", key, used, PER_MINUTE_MAX - room)
    await office.send(room + 30)
    await until(office.settled)
    began = sorted(office.engage.began)
    assert len(began) == room + 30
    assert began[room] >= used + 60, "not one more, before what was used a minute ago is free again"
    waiting = office.pods.said("attempt.finished")
    assert {line["error_kind"] for line in waiting if line["outcome"] == "deferred"} <= {"account_throttled"}
    assert office.workers_that("record.fetched") == 2
    assert await office.attempts() == {("ended", "matched", "1")}


@pytest.mark.parametrize("form", ["seconds", "date"])
@pytest.mark.parametrize("status", [429, 503])
async def test_not_now_leaves_the_account_in_peace_until_a_probe_finds_it_well_and_costs_no_attempt(
    office: Office, status: int, form: str
) -> None:
    engage, ends = office.engage, list[float]()

    def not_now() -> web.Response | None:
        """Until the first to be refused has waited: that many whole seconds, or up to the second they end in."""
        if ends and time.time() >= ends[0]:
            return None
        end = datetime.fromtimestamp(int(time.time()) + 3, UTC)
        ends.append(end.timestamp() if form == "date" else time.time() + 3)
        after = format_datetime(end, usegmt=True) if form == "date" else "3"
        return web.Response(status=status, headers={"Retry-After": after})

    engage.trouble = not_now
    await office.send(60)
    await until(office.settled)
    refused = len(ends)
    assert 1 <= refused <= 4, "only what was under way already"
    began = sorted(engage.began)
    probe = began[refused]
    assert probe >= max(ends) - 0.01, "nobody asked in the meantime"
    assert began[refused + 1] >= probe + engage.seconds, "one goes first, alone"
    assert engage.most <= 4
    assert await office.attempts() == {("ended", "matched", "1")}
    assert len(office.pods.said("platform.circuit_opened")) == 1
    assert len(office.pods.said("platform.circuit_closed")) == 1
