"""A real worker is killed while it follows a hint: another one follows it, and each record has one derived event."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from service.dev.embedded_valkey import EmbeddedValkey
from service.events import EVENT_VERSION, Event, RecordRef, new_event_id
from service.sandbox.faults import Fault
from service.settings import load_settings
from tests.platform_accounts import pexip_token_url
from tests.service.store.proxy import Wire, wire_to
from tests.waiting import PATIENCE_SECONDS, until
from tests.workers.harness import House, open_house
from tests.workers.worker_processes import Pods

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


class Desk:
    """An appointment of two customers, and workers that hear of it."""

    def __init__(self, house: House, pods: Pods) -> None:
        self.house = house
        self.pods = pods

    async def hint(self) -> str:
        participants = [{"type": "CUSTOMER", "participant": {"id": number}} for number in ("7", "8")]
        catalog = self.house.sandbox.sandbox.catalog
        catalog.put("pexip_engage", "appointment", "a-1", {"appointmentParticipants": participants})
        record, name = RecordRef("engage", "appointment", "a-1"), new_event_id()
        event = Event(EVENT_VERSION, name, "hooks", "Appointment.CREATE", "changed", record, None, {}, None, b"{}")
        await self.house.store.ingest(event, name, 60_000)
        return name

    async def ends(self, event_id: str) -> None:
        async def over() -> bool:
            settled = (await self.house.store.sample()).pending == 0
            return settled and (await self.house.story(event_id))["state"] == "ended"

        await until(over)

    async def told(self) -> list[tuple[str, str]]:
        """What was done of which event, repeated effects once; and that there were no other events."""
        effects = dict(zip(self.house.keys(), self.house.sunk(), strict=True))
        assert len(await self.house.store.client.command("KEYS", "wb:delivery:*")) == 1 + len(effects)
        return sorted((item["customer"], item["change"]) for item in effects.values())


@pytest.fixture
async def wired(own_valkey: Callable[..., EmbeddedValkey], tmp_path: Path) -> AsyncIterator[tuple[Desk, Wire]]:
    server = own_valkey()
    settings, beside = load_settings({"WAYBILL_REDIS_URL": server.url}), Path(server.url.removeprefix("unix://")).parent
    async with open_house(settings) as house, wire_to(server.url, beside) as wire:
        box = house.sandbox
        config = CONFIG.format(url=box.base_url("pexip_engage"), token_url=pexip_token_url(box))
        pods = Pods(tmp_path, server.url, config, {"ENGAGE_TOKEN": box.token})
        await house.publish(RULE)
        try:
            yield Desk(house, pods), wire
        finally:
            pods.kill()


async def test_a_worker_killed_while_it_asks_for_the_appointment(wired: tuple[Desk, Wire]) -> None:
    desk, _ = wired
    dying = await desk.pods.start(lease_seconds=LEASE_SECONDS)
    faults = desk.house.sandbox.sandbox.faults
    faults.add(Fault(match="/pexip_engage/enterprises/acme/appointments", delay_ms=30_000))
    event_id = await desk.hint()
    await until(lambda: not faults.waiting)
    dying.kill()
    await desk.pods.start(lease_seconds=LEASE_SECONDS)
    await desk.ends(event_id)
    assert await desk.told() == [("7", "changed"), ("8", "changed")]
    assert (await desk.house.story(event_id))["outcome"] == "resolved"


async def test_a_worker_killed_after_its_customers_events_were_taken_in_and_before_the_hint_ended(
    wired: tuple[Desk, Wire],
) -> None:
    desk, wire = wired
    dying = await desk.pods.start(wire.url, lease_seconds=LEASE_SECONDS)
    held = wire.hold(b"resolved")
    event_id = await desk.hint()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await held.wait()
    assert (await desk.house.store.sample()).pending >= 1, "the hint itself has not ended"
    dying.kill()
    await desk.pods.start(lease_seconds=LEASE_SECONDS)
    await desk.ends(event_id)
    assert await desk.told() == [("7", "changed"), ("8", "changed")]
    resolved = [line for line in desk.pods.said("attempt.finished") if line["outcome"] == "resolved"]
    assert [line["attempt"] for line in resolved] == [2], "the second attempt followed it again"
