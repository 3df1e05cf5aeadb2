"""Crash tests of hints: after a kill, another worker resolves the hint, and each record has one derived event."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from service.dev.embedded_valkey import EmbeddedValkey
from service.events import EVENT_VERSION, Event, RecordRef, new_event_id
from service.sandbox.faults import Fault
from tests.one_shard import PREFIX, one_shard_settings
from tests.platform_accounts import pexip_token_url
from tests.service.store.proxy import Wire, wire_to
from tests.waiting import PATIENCE_SECONDS, until
from tests.workers.harness import WorkerHarness, open_harness
from tests.workers.worker_processes import WorkerProcesses

pytestmark = pytest.mark.crash

LEASE_SECONDS = 2.0
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
  hooks: {{platform: engage, verify: {{scheme: bearer, secrets: [{{env: ENGAGE_TOKEN}}]}}, envelope: platform}}
outbound: {{allow_private_hosts: [127.0.0.1]}}
"""
RULE = """
- id: tell
  type: customer
  actions:
    - {id: one, do: http, url: "SINK/customers", body: {customer: "{id}", change: "{event.change}"}}
"""


class HintHarness:
    """An appointment of two customers, and worker processes."""

    def __init__(self, harness: WorkerHarness, processes: WorkerProcesses) -> None:
        self.harness = harness
        self.processes = processes

    async def send_hint(self) -> str:
        participants = [{"type": "CUSTOMER", "participant": {"id": number}} for number in ("7", "8")]
        catalog = self.harness.sandbox.sandbox.catalog
        catalog.put("pexip_engage", "appointment", "a-1", {"appointmentParticipants": participants})
        record, name = RecordRef("engage", "appointment", "a-1"), new_event_id()
        event = Event(EVENT_VERSION, name, "hooks", "Appointment.CREATE", "changed", record, None, {}, None, b"{}")
        await self.harness.store.ingest(event, name, 60_000)
        return name

    async def wait_for_end(self, event_id: str) -> None:
        async def has_ended() -> bool:
            settled = (await self.harness.store.sample()).pending == 0
            return settled and (await self.harness.stored_event(event_id))["state"] == "ended"

        await until(has_ended)

    async def effects(self) -> list[tuple[str, str]]:
        """Return the effects by customer and change, repeated effects once. Asserts that there are no other events."""
        effects = dict(zip(self.harness.idempotency_keys(), self.harness.sink_bodies(), strict=True))
        assert len(await self.harness.store.client.command("KEYS", f"{PREFIX}delivery:*")) == 1 + len(effects)
        return sorted((item["customer"], item["change"]) for item in effects.values())


@pytest.fixture
async def wired(own_valkey: Callable[..., EmbeddedValkey], tmp_path: Path) -> AsyncIterator[tuple[HintHarness, Wire]]:
    server = own_valkey()
    settings = one_shard_settings({"WAYBILL_REDIS_URL": server.url})
    directory = Path(server.url.removeprefix("unix://")).parent
    async with open_harness(settings) as harness, wire_to(server.url, directory) as wire:
        box = harness.sandbox
        config = CONFIG.format(url=box.base_url("pexip_engage"), token_url=pexip_token_url(box))
        processes = WorkerProcesses(tmp_path, server.url, config, {"ENGAGE_TOKEN": box.token})
        await harness.publish(RULE)
        try:
            yield HintHarness(harness, processes), wire
        finally:
            processes.kill()


async def test_hint_is_resolved_after_a_kill_during_its_request(wired: tuple[HintHarness, Wire]) -> None:
    hints, _ = wired
    killed = await hints.processes.start(lease_seconds=LEASE_SECONDS)
    faults = hints.harness.sandbox.sandbox.faults
    faults.add(Fault(match="/pexip_engage/enterprises/acme/appointments", delay_ms=30_000))
    event_id = await hints.send_hint()
    await until(lambda: not faults.waiting)
    killed.kill()
    await hints.processes.start(lease_seconds=LEASE_SECONDS)
    await hints.wait_for_end(event_id)
    assert await hints.effects() == [("7", "changed"), ("8", "changed")]
    assert (await hints.harness.stored_event(event_id))["outcome"] == "resolved"


async def test_kill_between_derived_events_and_end_of_the_hint_causes_no_second_event(
    wired: tuple[HintHarness, Wire],
) -> None:
    hints, wire = wired
    killed = await hints.processes.start(wire.url, lease_seconds=LEASE_SECONDS)
    held = wire.hold(b"resolved")
    event_id = await hints.send_hint()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await held.wait()
    assert (await hints.harness.store.sample()).pending >= 1, "the hint has not ended"
    killed.kill()
    await hints.processes.start(lease_seconds=LEASE_SECONDS)
    await hints.wait_for_end(event_id)
    assert await hints.effects() == [("7", "changed"), ("8", "changed")]
    resolved = await hints.processes.wait_for_log_lines("attempt.finished", outcome="resolved")
    assert [line["attempt"] for line in resolved] == [2], "the second attempt resolved the hint"
