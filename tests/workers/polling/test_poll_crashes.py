"""Real workers that poll are killed in the midst of it: another process goes on, and each change is one event."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from service.dev.embedded_valkey import EmbeddedValkey
from service.sandbox.faults import Fault
from service.settings import load_settings
from tests.platform_accounts import pexip_token_url
from tests.service.store.proxy import Wire, wire_to
from tests.waiting import PATIENCE_SECONDS, until
from tests.workers.harness import House, open_house
from tests.workers.worker_processes import Pods

pytestmark = pytest.mark.crash

LEASE_SECONDS = 3.0
LIST = "/pexip_engage/enterprises/acme/customers?offset="
CONFIG = """
platforms:
  engage:
    kind: pexip_engage
    enterprise: acme
    client_id: {{env: ENGAGE_TOKEN}}
    client_secret: {{env: ENGAGE_TOKEN}}
    base_url: "{url}"
    token_url: "{token_url}"
sources:
  engage-customers: {{platform: engage, poll: {{every: 1s, record: customer}}}}
outbound: {{allow_private_hosts: [127.0.0.1]}}
"""
RULE = """
- id: tell
  type: customer
  actions:
    - {id: one, do: http, url: "SINK/changes", body: {customer: "{id}", change: "{event.change}"}}
"""
CHANGES = [("120", "updated"), ("230", "updated"), ("250", "created"), ("3", "updated"), ("77", "deleted")]
"""On the first, the second and the third page; the deleted one is on none."""


class Desk:
    """250 customers on three pages, and workers that poll them."""

    def __init__(self, house: House, pods: Pods) -> None:
        self.house = house
        self.pods = pods

    def put(self, number: int, at: str = "2026-01-01T00:00:00.000Z", **fields: Any) -> None:
        customer: dict[str, object] = {"firstName": f"c{number}", "updatedAt": at, "deletedAt": None, **fields}
        self.house.sandbox.sandbox.catalog.put("pexip_engage", "customer", str(number), customer)

    def change(self) -> None:
        """Make CHANGES be true."""
        for number in (3, 120, 230, 250):
            self.put(number, "2026-02-01T00:00:00.000Z")
        at = "2026-02-01T00:00:00.000Z"
        self.put(77, at, deletedAt=at)

    def meet(self, **fault: Any) -> Fault:
        made = Fault(**fault)
        self.house.sandbox.sandbox.faults.add(made)
        return made

    def told(self) -> list[tuple[str, str]]:
        effects = dict(zip(self.house.keys(), self.house.sunk(), strict=True))  # one that was repeated has the same key
        return sorted((item["customer"], item["change"]) for item in effects.values())

    async def settles(self) -> None:
        """Wait for all changes, and for two passes more that find nothing."""
        await until(lambda: len(self.told()) >= len(CHANGES))
        before = len(self.pods.said("poll.finished"))
        await until(lambda: len(self.pods.said("poll.finished")) >= before + 2)

    async def events(self) -> int:
        """How many events there were, whatever became of them."""
        return len(await self.house.store.client.command("KEYS", "wb:delivery:*"))


@pytest.fixture
async def wired(own_valkey: Callable[..., EmbeddedValkey], tmp_path: Path) -> AsyncIterator[tuple[Desk, Wire]]:
    server = own_valkey()
    settings, beside = load_settings({"WAYBILL_REDIS_URL": server.url}), Path(server.url.removeprefix("unix://")).parent
    async with open_house(settings) as house, wire_to(server.url, beside) as wire:
        box = house.sandbox
        config = CONFIG.format(url=box.base_url("pexip_engage"), token_url=pexip_token_url(box))
        pods = Pods(tmp_path, server.url, config, {"ENGAGE_TOKEN": box.token})
        await house.publish(RULE)
        desk = Desk(house, pods)
        for number in range(250):
            desk.put(number)
        try:
            yield desk, wire
        finally:
            pods.kill()


async def test_a_worker_killed_while_it_waits_for_a_page_is_followed_by_another_from_that_page_on(
    wired: tuple[Desk, Wire],
) -> None:
    desk, _ = wired
    dying = await desk.pods.start(lease_seconds=LEASE_SECONDS)
    first = await desk.pods.hears(dying, "poll.finished")
    assert (first["records_listed"], first["changed"]) == (250, 0)
    desk.change()
    desk.meet(match=f"{LIST}100", delay_ms=30_000)
    await until(lambda: not desk.house.sandbox.sandbox.faults.waiting)
    begins, goes_on = desk.meet(match=f"{LIST}0&", times=99), desk.meet(match=f"{LIST}100", times=99)
    heir = await desk.pods.start(lease_seconds=LEASE_SECONDS)
    assert begins.times == 99, "the one who dies still has the turn"
    dying.kill()
    finished = await desk.pods.hears(heir, "poll.finished")
    assert (finished["records_listed"], finished["changed"]) == (251, len(CHANGES)), (
        "what the dead one had counted counts"
    )
    assert (begins.times, goes_on.times) == (99, 98), "the first page was not asked for again"
    await desk.settles()
    assert desk.told() == CHANGES
    assert await desk.events() == len(CHANGES)


async def test_a_worker_killed_after_taking_in_a_page_and_before_noting_it_makes_no_second_event(
    wired: tuple[Desk, Wire],
) -> None:
    desk, wire = wired
    dying = await desk.pods.start(wire.url, lease_seconds=LEASE_SECONDS)
    await desk.pods.hears(dying, "poll.finished")
    desk.change()
    held = wire.hold(b"\r\n$4\r\nnote\r\n")
    async with asyncio.timeout(PATIENCE_SECONDS):
        await held.wait()
    await until(lambda: len(desk.told()) == 2)
    dying.kill()
    begins = desk.meet(match=f"{LIST}0&", times=99)
    heir = await desk.pods.start(lease_seconds=LEASE_SECONDS)
    await desk.pods.hears(heir, "poll.finished")
    assert begins.times == 98, "the page that was not noted was looked at again"
    await desk.settles()
    assert desk.told() == CHANGES
    assert await desk.events() == len(CHANGES)


async def test_a_worker_that_slept_through_its_turn_writes_nothing_when_it_wakes_up(wired: tuple[Desk, Wire]) -> None:
    desk, _ = wired
    sleeper = await desk.pods.start(lease_seconds=2)
    await desk.pods.hears(sleeper, "poll.finished")
    desk.change()
    desk.meet(match=f"{LIST}100", delay_ms=5_000)
    await until(lambda: not desk.house.sandbox.sandbox.faults.waiting)
    with stopped(sleeper.process.pid):
        heir = await desk.pods.start(lease_seconds=2)
        await desk.pods.hears(heir, "poll.finished")
    await desk.pods.hears(sleeper, "poll.lease_lost")
    await desk.settles()
    assert desk.told() == CHANGES
    assert await desk.events() == len(CHANGES)


@contextlib.contextmanager
def stopped(pid: int) -> Generator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
