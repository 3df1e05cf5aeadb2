"""The ERP system and the warehouse of docs/examples/lookups as real servers, with a worker on the documented file."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web
from msgspec import structs

from service.actions import load_actions
from service.configuration import load_config
from service.events import EVENT_VERSION, Event, RecordRef, new_event_id
from service.http_client import HttpClient
from service.management.installation import Installation
from service.platforms.registry import build_platforms
from service.rules import Rulebook, read_rule_files
from service.rules.publishing import publish_file_rules
from service.settings import Settings
from service.store import Shards
from service.throttles.throttles import SharedThrottles
from tests.workers.harness import WorkerHarness, open_harness
from workers.rulebook_watcher import RulebookWatcher

FOLDER = Path(__file__).parents[2] / "docs" / "examples" / "lookups"
SECRETS = {"ERP_TOKEN": "erp-token", "WMS_TOKEN": "wms-token", "ERP_WEBHOOK_SECRET": "webhook-secret-0123456789"}
ORDER: Mapping[str, Any] = {
    "id": "PO-1",
    "status": "open",
    "supplier_id": "S-1",
    "items": [{"sku": "A", "quantity": 2}, {"sku": "B", "quantity": 9}],
}
RECORDS: Mapping[str, Any] = {
    "/api/orders/PO-1": ORDER,
    "/api/suppliers/S-1": {"id": "S-1", "name": "Slow Ltd", "rating": 2, "blocked": False, "contact": "Ann"},
    "/v1/stock/A": {"id": "A", "available": 5},
    "/v1/stock/B": {"id": "B", "available": 8},
}


class BusinessSystems:
    """Records by path, the paths of all calls, and faults: a path answers with a status once, or not before release."""

    def __init__(self) -> None:
        self.records: dict[str, Any] = dict(RECORDS)
        self.calls: list[str] = []
        self.statuses: dict[str, list[int]] = {}
        self.held: dict[str, asyncio.Event] = {}

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one call."""
        self.calls.append(request.path)
        if request.path in self.held:
            await self.held[request.path].wait()
        if statuses := self.statuses.get(request.path):
            return web.json_response({"error": "fault"}, status=statuses.pop(0))
        found = self.records.get(request.path)
        return web.json_response(
            found if found is not None else {"error": "none"}, status=404 if found is None else 200
        )

    def lookups(self) -> list[str]:
        """Return the paths of the calls except those for orders, sorted."""
        return sorted(path for path in self.calls if "/orders/" not in path)


class LookupHarness:
    """A worker on the documented configuration, and the systems that it calls."""

    def __init__(self, harness: WorkerHarness, systems: BusinessSystems, installation: Installation) -> None:
        self.harness = harness
        self.systems = systems
        self.installation = installation

    async def publish(self, path: Path) -> None:
        """Publish a rule file with the documented kinds."""
        actions, records = self.installation.actions(), self.installation.records()
        (file,) = read_rule_files([path], actions, (), records)
        await publish_file_rules(
            [self.harness.store.rulebook], file.rules, lambda each: Rulebook.load(each, actions, records), "t", ""
        )
        await self.harness.dependencies.rules.refresh()

    async def process(self, record_id: str = "PO-1") -> dict[str, Any]:
        """Ingest an event about an order, run the worker, and return the stored event."""
        event_id = await self.ingest(record_id)
        await self.harness.run_worker()
        return await self.harness.stored_event(event_id)

    async def ingest(self, record_id: str = "PO-1") -> str:
        record, event_id = RecordRef("erp", "purchase_order", record_id), new_event_id()
        event = Event(EVENT_VERSION, event_id, "erp-events", "t", "updated", record, None, {}, None, b"{}")
        await self.harness.store.ingest(event, event.id, 60_000)
        return event_id

    async def next_minute(self, account: str) -> None:
        """Remove the count of the calls of an account in the last minute."""
        await self.harness.store.client.command("DEL", f"{self.harness.settings.key_prefix}rate:{account}")

    async def published(self, stream: str) -> list[Any]:
        prefix = self.harness.settings.key_prefix
        entries = await self.harness.store.client.command("XRANGE", f"{prefix}stream:{stream}", "-", "+")
        fields = [dict(zip(each[::2], each[1::2], strict=True)) for _, each in entries]
        return [json.loads(each[b"data"]) for each in fields]


def decision_of(stored: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the last decision in the history of a stored event."""
    return [entry for entry in stored["history"] if entry["entry"] == "decided"][-1]


def results_of(stored: Mapping[str, Any]) -> dict[str, str]:
    """Return the results of the rules in the last decision."""
    return {verdict["rule_id"]: verdict["result"] for verdict in decision_of(stored)["verdicts"]}


@contextlib.asynccontextmanager
async def running_systems() -> AsyncGenerator[tuple[BusinessSystems, str]]:
    """Run the systems, and yield them with their URL."""
    systems, app = BusinessSystems(), web.Application()
    app.router.add_get("/{path:.*}", systems.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield systems, f"http://127.0.0.1:{runner.addresses[0][1]}"
    for held in systems.held.values():
        held.set()
    await runner.cleanup()


def config_text(url: str, **accounts: Mapping[str, Any]) -> str:
    """Return the documented waybill.yaml with the URL of the systems, and more settings of its accounts."""
    text = (FOLDER / "waybill.yaml").read_text()
    assert text.count("https://") == 2
    config = yaml.safe_load(text.replace("https://erp.example.com", url).replace("https://wms.example.com", url))
    for name, settings in accounts.items():
        config["platforms"][name] |= settings
    return json.dumps(config)


@contextlib.asynccontextmanager
async def open_lookups(
    settings: Settings, folder: Path, **accounts: Mapping[str, Any]
) -> AsyncGenerator[LookupHarness]:
    """Open a worker with the documented rules. `accounts` has more settings of the accounts."""
    async with (
        running_systems() as (systems, url),
        open_harness(settings) as harness,
        HttpClient(settings, {"127.0.0.1"}) as outbound,
    ):
        (folder / "waybill.yaml").write_text(config_text(url, **accounts))
        (folder / "orders.yaml").write_text((FOLDER / "orders.yaml").read_text())
        config = load_config(folder / "waybill.yaml", SECRETS)
        throttles = SharedThrottles(harness.store.limits, harness.store.tokens, settings.fetch_timeout_seconds)
        platforms = build_platforms(config.platforms, SECRETS, outbound, throttles, config.record_types)
        actions = load_actions()
        rules = RulebookWatcher(harness.store.rulebook, actions, 60.0, config.record_types)
        harness.dependencies = structs.replace(harness.dependencies, platforms=platforms, rules=rules)
        installation = Installation(
            open_store=lambda: Shards([harness.store]),
            config=lambda: config, platforms=lambda: platforms, sources=dict,
            actions=lambda: actions, records=lambda: config.record_types,
        )  # fmt: skip
        opened = LookupHarness(harness, systems, installation)
        await opened.publish(folder / "orders.yaml")
        yield opened
