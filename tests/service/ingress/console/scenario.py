"""An installation with events of every kind behind the admin port, for the tests of the console and its pictures."""

import contextlib
import hmac
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
from msgspec import Struct

from service.actions import load_actions
from service.configuration import load_config
from service.destinations.registry import Destinations, DestinationSetup
from service.events import EVENT_VERSION, Event, RecordRef, new_event_id
from service.http_client import HttpClient
from service.ingestion.sources import build_sources
from service.ingress.app import build_app
from service.ingress.server import Listener
from service.listening_socket import bind
from service.management.installation import Installation
from service.platforms.registry import build_platforms
from service.sandbox.faults import Fault
from service.sending.source_tester import SourceTester, webhook_url
from service.settings import Settings
from service.store import Shards
from service.store.management.quarantine import QUARANTINED_VERSION, QuarantinedDelivery
from tests.service.ingress.admin.conftest import ENVIRON as TOKEN_DIGESTS
from tests.service.ingress.admin.shared_app import SharedApp
from tests.workers.harness import WorkerHarness, open_harness

SECRET = "shop-secret"
TILL_SECRET = "till-secret"
ENVIRON = {**TOKEN_DIGESTS, "SHOP_SECRET": SECRET, "TILL_SECRET": TILL_SECRET, "PACK_TOKEN": "x"}
CONFIG = """
platforms:
  pack: {kind: pack_cloud, base_url: "BASE", organization_id: org_1, token: {env: PACK_TOKEN}}
  erp:
    kind: custom
    base_url: https://erp.example.com/api
    auth: {type: none}
    records: {purchase_order: {path: "/orders/{id}"}}
sources:
  shop:
    platform: pack
    verify: {scheme: hmac, header: X-Signature, algorithm: sha256, encoding: hex, secrets: [{env: SHOP_SECRET}]}
    envelope: platform
  till-orders:
    platform: erp
    verify: {scheme: hmac, header: X-Signature, algorithm: sha256, encoding: hex, secrets: [{env: TILL_SECRET}]}
    envelope: {kind: custom, id: /id, type: /type, record: {kind: purchase_order, id: /order}}
destinations:
  claims: {url: "http://127.0.0.1:9", auth: {type: bearer, token: {env: PACK_TOKEN}}, limits: {in_flight: 4}}
rules: []
outbound: {allow_private_hosts: [127.0.0.1]}
admin:
  tokens:
    - {name: ann-viewer, role: viewer, sha256: {env: VIEWER}}
    - {name: ann-operator, role: operator, sha256: {env: OPERATOR}}
    - {name: ann-admin, role: admin, sha256: {env: ADMIN}}
"""
RULES = """
- id: short-receipt
  name: Received less than ordered
  type: purchase_order
  when:
    all:
      - {field: status, op: eq, value: received}
      - {any_of: lines, where: {field: quantity_received, op: lt, ref: quantity_ordered}}
  actions:
    - {id: claim, do: http, url: "SINK/claims", body: {order: "{id}", missing: "{quantity_missing}"}}
- id: large-order
  name: Orders above 1,000 EUR
  type: purchase_order
  when:
    any:
      - {field: total.value, op: gt, value: "1000.00"}
      - {field: status, op: eq, value: cancelled}
  actions:
    - {id: notify, do: http, url: "SINK/large", body: {order: "{id}", total: "{total.value}"}}
"""
SHARED_APP = SharedApp(TOKEN_DIGESTS, console=True)


class Scenario(Struct):
    """The address of the admin port, the worker, and ids of events."""

    url: str
    worker: WorkerHarness
    installation: Installation
    matched: str = ""
    dead: str = ""
    queued: str = ""
    rejected: str = ""


def order(order_id: str, ordered: int, received: int, status: str = "received") -> dict[str, object]:
    line = {
        "id": f"{order_id}-1", "purchase_order_id": order_id, "product_id": "pencil-orange",
        "price": {"currency": "EUR", "value": "9.95"}, "quantity_ordered": ordered, "quantity_received": received,
    }  # fmt: skip
    return {
        "id": order_id, "reference": f"ORD-{order_id}", "status": status, "lines": [line],
        "created_at": "2026-11-18T07:45:00.000000Z", "updated_at": "2026-11-20T09:15:00.000000Z",
    }  # fmt: skip


@contextlib.asynccontextmanager
async def open_scenario(settings: Settings, folder: Path) -> AsyncGenerator[Scenario]:
    """Serve the admin port on a store without events."""
    async with contextlib.AsyncExitStack() as stack:
        worker = await stack.enter_async_context(open_harness(settings))
        path = folder / "waybill.yaml"
        path.write_text(CONFIG.replace("BASE", worker.sandbox.base_url("pack_cloud")))
        environ = ENVIRON | {"PACK_TOKEN": worker.sandbox.token}
        config = load_config(path, environ)
        outbound = await stack.enter_async_context(HttpClient(settings, {"127.0.0.1"}))
        platforms = build_platforms(config.platforms, environ, outbound)
        sources = build_sources(config, environ, platforms, settings)
        destinations = Destinations(config.destinations, DestinationSetup(http_client=outbound, environ=environ))
        webhooks = Listener(
            build_app(settings, sources, worker.store), stack.enter_context(bind("127.0.0.1", 0, "PORT")), settings
        )
        tester = SourceTester(config, environ, outbound, lambda: webhook_url("127.0.0.1", webhooks.port))
        installation = Installation(
            open_store=lambda: Shards([worker.store]),
            config=lambda: config,
            platforms=lambda: platforms,
            sources=lambda: sources,
            actions=load_actions,
            records=lambda: config.record_types,
            destinations=lambda: destinations.by_name,
            source_tester=lambda: tester,
        )
        app = stack.enter_context(SHARED_APP.serving(installation, worker.store, settings))
        listener = Listener(app, stack.enter_context(bind("127.0.0.1", 0, "WAYBILL_ADMIN_PORT")), settings)
        for each in (webhooks, listener):
            await each.start()
            stack.push_async_callback(each.stop)
        yield Scenario(f"http://127.0.0.1:{listener.port}", worker, installation)


async def fill(scenario: Scenario) -> None:
    """Add an event with an effect, a dead letter, a queued event and a rejected delivery."""
    worker = scenario.worker
    await worker.publish(RULES)
    scenario.matched = await add_event(worker, "po-4711", order("po-4711", 200, 150))
    await worker.run_worker()
    worker.sandbox.sandbox.faults.add(
        Fault(match="/_sandbox/sink/claims", status=422, body='{"error":"no such order"}')
    )
    scenario.dead = await add_event(worker, "po-4712", order("po-4712", 40, 10))
    await worker.run_worker()
    scenario.queued = await add_event(worker, "po-4713", order("po-4713", 5, 5))
    scenario.rejected = await add_rejected(worker, b'{"id": "1", "type": "purchase_order.updated"}')


async def add_event(worker: WorkerHarness, record_id: str, record: dict[str, object], source: str = "shop") -> str:
    """Put a record on the platform and ingest an event about it."""
    worker.sandbox.sandbox.catalog.put("pack_cloud", "purchase_order", record_id, record)
    body = msgspec.json.encode(
        {"event": "purchase_order.updated", "data": {"id": record_id, "email": "kim@example.com"}}
    )
    ref = RecordRef("pack", "purchase_order", record_id)
    event = Event(
        EVENT_VERSION, new_event_id(), source, "purchase_order.updated", "updated", ref, "2026-11-20T09:15:00Z",
        {"content-type": "application/json", "user-agent": "pack/1"}, None, body,
    )  # fmt: skip
    await worker.store.ingest(event, event.id, 60_000)
    return event.id


async def add_rejected(worker: WorkerHarness, body: bytes, secret: str = "old-secret", source: str = "shop") -> str:
    """Quarantine a delivery that is signed with `secret`."""
    signature = hmac.digest(secret.encode(), body, "sha256").hex()
    headers = {"content-type": "application/json", "x-signature": signature, "user-agent": "pack/1"}
    rejected = QuarantinedDelivery(
        QUARANTINED_VERSION, new_event_id(), source, "not_verified", 401, time.time(), headers, body, None, whole=True
    )
    await worker.store.quarantine.put([rejected])
    return rejected.id
