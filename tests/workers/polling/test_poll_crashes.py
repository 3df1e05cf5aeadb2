"""Crash tests of polls: another worker continues the pass of a killed one, and each change is one event."""

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
from tests.one_shard import PREFIX, one_shard_settings
from tests.platform_accounts import pexip_token_url
from tests.service.store.proxy import Wire, wire_to
from tests.waiting import PATIENCE_SECONDS, until
from tests.workers.harness import WorkerHarness, open_harness
from tests.workers.worker_processes import WorkerProcesses

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
"""Changes on the first, second and third page. The deleted customer is on no page."""


class PollHarness:
    """250 customers on three pages, and worker processes that poll them."""

    def __init__(self, harness: WorkerHarness, processes: WorkerProcesses) -> None:
        self.harness = harness
        self.processes = processes

    def put(self, number: int, at: str = "2026-01-01T00:00:00.000Z", **fields: Any) -> None:
        customer: dict[str, object] = {"firstName": f"c{number}", "updatedAt": at, "deletedAt": None, **fields}
        self.harness.sandbox.sandbox.catalog.put("pexip_engage", "customer", str(number), customer)

    def apply_changes(self) -> None:
        """Apply CHANGES to the platform."""
        for number in (3, 120, 230, 250):
            self.put(number, "2026-02-01T00:00:00.000Z")
        at = "2026-02-01T00:00:00.000Z"
        self.put(77, at, deletedAt=at)

    def add_fault(self, **fields: Any) -> Fault:
        fault = Fault(**fields)
        self.harness.sandbox.sandbox.faults.add(fault)
        return fault

    def effects(self) -> list[tuple[str, str]]:
        effects = dict(
            zip(self.harness.idempotency_keys(), self.harness.sink_bodies(), strict=True)
        )  # a repeated effect has the same key
        return sorted((item["customer"], item["change"]) for item in effects.values())

    async def wait_for_changes(self) -> None:
        """Wait for all changes, and for two further passes."""
        await until(lambda: len(self.effects()) >= len(CHANGES))
        before = len(self.processes.log_lines("poll.finished"))
        await until(lambda: len(self.processes.log_lines("poll.finished")) >= before + 2)

    async def event_count(self) -> int:
        """Return the number of events, in any state."""
        return len(await self.harness.store.client.command("KEYS", f"{PREFIX}delivery:*"))


@pytest.fixture
async def wired(own_valkey: Callable[..., EmbeddedValkey], tmp_path: Path) -> AsyncIterator[tuple[PollHarness, Wire]]:
    server = own_valkey()
    settings = one_shard_settings({"WAYBILL_REDIS_URL": server.url})
    directory = Path(server.url.removeprefix("unix://")).parent
    async with open_harness(settings) as harness, wire_to(server.url, directory) as wire:
        box = harness.sandbox
        config = CONFIG.format(url=box.base_url("pexip_engage"), token_url=pexip_token_url(box))
        processes = WorkerProcesses(tmp_path, server.url, config, {"ENGAGE_TOKEN": box.token})
        await harness.publish(RULE)
        polls = PollHarness(harness, processes)
        for number in range(250):
            polls.put(number)
        try:
            yield polls, wire
        finally:
            processes.kill()


async def test_another_worker_continues_at_the_page_of_a_killed_worker(
    wired: tuple[PollHarness, Wire],
) -> None:
    polls, _ = wired
    killed = await polls.processes.start(lease_seconds=LEASE_SECONDS)
    first = await polls.processes.wait_for_line(killed, "poll.finished")
    assert (first["records_listed"], first["changed"]) == (250, 0)
    polls.apply_changes()
    polls.add_fault(match=f"{LIST}100", delay_ms=30_000)
    await until(lambda: not polls.harness.sandbox.sandbox.faults.waiting)
    first_page, second_page = (
        polls.add_fault(match=f"{LIST}0&", times=99),
        polls.add_fault(match=f"{LIST}100", times=99),
    )
    successor = await polls.processes.start(lease_seconds=LEASE_SECONDS)
    assert first_page.times == 99, "the killed worker still has the lease"
    killed.kill()
    finished = await polls.processes.wait_for_line(successor, "poll.finished")
    assert (finished["records_listed"], finished["changed"]) == (251, len(CHANGES)), (
        "the counts of the killed worker are included"
    )
    assert (first_page.times, second_page.times) == (99, 98), "the first page was not listed again"
    await polls.wait_for_changes()
    assert polls.effects() == CHANGES
    assert await polls.event_count() == len(CHANGES)


async def test_kill_between_ingestion_and_saved_page_causes_no_second_event(
    wired: tuple[PollHarness, Wire],
) -> None:
    polls, wire = wired
    killed = await polls.processes.start(wire.url, lease_seconds=LEASE_SECONDS)
    await polls.processes.wait_for_line(killed, "poll.finished")
    polls.apply_changes()
    held = wire.hold(b"\r\n$9\r\nsave_page\r\n")
    async with asyncio.timeout(PATIENCE_SECONDS):
        await held.wait()
    await until(lambda: len(polls.effects()) == 2)
    killed.kill()
    first_page = polls.add_fault(match=f"{LIST}0&", times=99)
    successor = await polls.processes.start(lease_seconds=LEASE_SECONDS)
    await polls.processes.wait_for_line(successor, "poll.finished")
    assert first_page.times == 98, "the page that was not saved was listed again"
    await polls.wait_for_changes()
    assert polls.effects() == CHANGES
    assert await polls.event_count() == len(CHANGES)


async def test_poller_writes_nothing_after_its_lease_expired(wired: tuple[PollHarness, Wire]) -> None:
    polls, _ = wired
    stopped_worker = await polls.processes.start(lease_seconds=2)
    await polls.processes.wait_for_line(stopped_worker, "poll.finished")
    polls.apply_changes()
    polls.add_fault(match=f"{LIST}100", delay_ms=5_000)
    await until(lambda: not polls.harness.sandbox.sandbox.faults.waiting)
    with stopped(stopped_worker.process.pid):
        successor = await polls.processes.start(lease_seconds=2)
        await polls.processes.wait_for_line(successor, "poll.finished")
    await polls.processes.wait_for_line(stopped_worker, "poll.lease_lost")
    await polls.wait_for_changes()
    assert polls.effects() == CHANGES
    assert await polls.event_count() == len(CHANGES)


@contextlib.contextmanager
def stopped(pid: int) -> Generator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
