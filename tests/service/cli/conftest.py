"""A service with a source of every envelope and many signature schemes, and the command line beside it."""

import asyncio
import contextlib
import hashlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from msgspec import Struct, structs

from service.actions import load_actions
from service.cli.main import waybill
from service.config import AdminConfig, AdminToken, Role
from service.configuration import load_config
from service.events import EVENT_VERSION, Event, RecordRef, new_event_id
from service.http_client import HttpClient
from service.ingestion.dedupe_keys import dedupe_key_of_id
from service.ingestion.sources import build_sources
from service.ingress.admin import admin_router
from service.ingress.app import build_admin_app, build_app
from service.ingress.server import Listener
from service.listening_socket import bind
from service.log import configure
from service.management.installation import Installation
from service.platforms.registry import build_platforms
from service.secrets import SecretRef
from service.settings import Settings, load_settings
from service.store import QuarantinedDelivery, Shards, Store, open_shards
from service.store.shards import shard_settings
from tests.workers.harness import WorkerHarness, open_harness

PRIVATE = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
PUBLIC = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="  # the key pair of RFC 8032, 7.1, test 1
SECRETS = {
    "HMAC": "hmac-secret-of-erp",
    "TOKEN": "a-token-that-is-long-enough",
    "WHSEC": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "API": "sandbox-token",
}
CONFIG = """
platforms:
  pack: {{kind: pack_cloud, base_url: "{box}/pack_cloud/v1", organization_id: org_1, token: {{env: API}}}}
  flow: {{kind: flow_retail, base_url: "{box}/flow_retail/v2", tenant_uid: T1, store_uid: S1, token: {{env: API}}}}
  ofn: {{kind: open_food_network, base_url: "{box}/open_food_network", token: {{env: API}}}}
  engage:
    kind: pexip_engage
    base_url: "{box}/pexip_engage"
    token_url: "{box}/pexip_engage/realms/acme/protocol/openid-connect/token"
    enterprise: acme
    client_id: {{env: API}}
    client_secret: {{env: API}}
  erp:
    kind: custom
    base_url: "{box}/pack_cloud/v1/organizations/org_1"
    auth: {{type: bearer, token: {{env: API}}}}
    records: {{purchase_order: {{path: "/purchase-orders/{{id}}"}}, customer: {{path: "/customers/{{id}}"}}}}
    operations: {{order.hold: {{method: POST, path: "/orders/{{order}}/hold", repeat: keyed}}}}
sources:
  pack-orders: {{platform: pack, verify: {{scheme: hmac, header: X-Signature, secrets: [{{env: HMAC}}]}}}}
  flow-till: {{platform: flow, verify: {{scheme: basic, username: till, password: {{env: TOKEN}}}}}}
  ofn-shop: {{platform: ofn, verify: {{scheme: path_token, secrets: [{{env: TOKEN}}]}}}}
  engage-desk: {{platform: engage, verify: {{scheme: bearer, secrets: [{{env: TOKEN}}]}}}}
  erp-standard:
    platform: erp
    verify: {{scheme: standard_webhooks, secrets: [{{env: WHSEC}}]}}
    envelope: standard_webhooks
  erp-asymmetric:
    platform: erp
    verify: {{scheme: standard_webhooks, public_keys: ["{public}"]}}
    envelope: {{kind: standard_webhooks, record: {{kind: purchase_order, id: /data/order/id}}}}
  erp-cloud:
    platform: erp
    verify: {{scheme: header, header: X-Key, secrets: [{{env: TOKEN}}]}}
    envelope: cloudevents
  erp-custom:
    platform: erp
    verify: {{scheme: hmac, header: X-Signature, secrets: [{{env: HMAC}}]}}
    envelope:
      kind: custom
      id: /meta/id
      type: /meta/type
      occurred_at: /at
      record: {{kind: /kind, id: /object/id, kinds: {{PO: purchase_order}}}}
  erp-listed:
    platform: erp
    verify: {{scheme: none}}
    allow_unverified: true
    envelope: {{kind: custom, type: {{header: X-Topic}}, each: /events, record: {{kind: customer, id: /id}}}}
"""

Run = Callable[..., Awaitable[Result]]


@pytest.fixture(autouse=True)
def log_as_json() -> None:
    configure("service")


@pytest.fixture
def config_path(tmp_path: Path) -> Path:
    path = tmp_path / "waybill.yaml"
    path.write_text(CONFIG.format(box="http://127.0.0.1:9", public=PUBLIC))
    return path


@pytest.fixture
def environ(config_path: Path, valkey_url: str) -> dict[str, str]:
    return {"WAYBILL_REDIS_URL": valkey_url, "WAYBILL_SHARDS": "1", "WAYBILL_CONFIG": str(config_path), **SECRETS}


@pytest.fixture
async def store(make_settings: Callable[..., Settings]) -> AsyncIterator[Store]:
    """Return the only shard that commands see."""
    shards = await open_shards(make_settings(shards=1))
    yield shards.home
    await shards.close()


@pytest.fixture
async def run(environ: dict[str, str]) -> Run:
    """Return a function that runs a command: `result = await run("send", "pack-orders", …, HMAC="wrong")`."""

    async def invoke(*arguments: str, stdin: bytes | None = None, **variables: str) -> Result:
        def call() -> Result:
            return CliRunner().invoke(waybill, arguments, input=stdin, env=environ | variables)

        return await asyncio.to_thread(call)

    return invoke


@pytest.fixture
async def serve(environ: dict[str, str]) -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """Return a function that serves the configuration: `url = await serve(HMAC="wrong")`."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(**variables: str) -> str:
            merged = environ | variables
            settings = load_settings(merged)
            config = load_config(Path(settings.config), merged)
            outbound = await stack.enter_async_context(HttpClient(settings))
            sources = build_sources(config, merged, build_platforms(config.platforms, merged, outbound), settings)
            store = await open_shards(settings)
            stack.push_async_callback(store.close)
            listener = Listener(
                build_app(settings, sources, store), stack.enter_context(bind("127.0.0.1", 0, "WAYBILL_PORT")), settings
            )
            await listener.start()
            stack.push_async_callback(listener.stop)
            return f"http://127.0.0.1:{listener.port}"

        yield start


TOKENS: dict[Role, str] = {"viewer": "look-1", "operator": "act-2", "admin": "all-3"}
BODY = b'{"event_code": "customer.updated", "id": "e1", "data": {"id": "77", "email": "ada@example.com"}}'
RULES = """
- id: notify
  type: purchase_order
  when: {field: id, op: exists}
  actions: [{id: claim, do: http, url: "SINK/claims", body: {order: "{id}"}}]
"""


class SampleInstallation(Struct):
    """Installation with a dead letter, an ended event, a queued event, a quarantined delivery and a worker."""

    url: str
    harness: WorkerHarness
    dead: str
    ended: str
    queued: str
    quarantined: str
    first: str

    def api_environ(self, role: Role = "admin") -> dict[str, str]:
        """Return the variables for the admin API."""
        return {"WAYBILL_ADMIN_URL": self.url, "WAYBILL_ADMIN_TOKEN": TOKENS[role]}


@pytest.fixture
async def harness(make_settings: Callable[..., Settings]) -> AsyncIterator[WorkerHarness]:
    # Commands of the tests read the stores of the same variables: the first shard is the only one.
    async with open_harness(shard_settings(make_settings(attempts_max=1, lease_seconds=20), 0)) as opened:
        yield opened


@pytest.fixture
async def url(environ: dict[str, str], store: Store) -> AsyncIterator[str]:
    """Serve the admin API of the configuration on the store of the test, and return its URL."""
    digests = {role.upper(): hashlib.sha256(token.encode()).hexdigest() for role, token in TOKENS.items()}
    tokens = [AdminToken(name=f"ann-{role}", role=role, sha256=SecretRef(env=role.upper())) for role in TOKENS]
    settings = load_settings(environ)
    config = structs.replace(load_config(Path(settings.config), environ), admin=AdminConfig(tokens=tuple(tokens)))
    async with contextlib.AsyncExitStack() as stack:
        http_client = await stack.enter_async_context(HttpClient(settings))
        platforms = build_platforms(config.platforms, environ, http_client)
        sources = build_sources(config, environ, platforms, settings)
        installation = Installation(
            open_store=lambda: Shards([store]),
            config=lambda: config,
            platforms=lambda: platforms,
            sources=lambda: sources,
            actions=load_actions,
            records=lambda: config.record_types,
        )
        port = stack.enter_context(bind("127.0.0.1", 0, "WAYBILL_ADMIN_PORT"))
        listener = Listener(build_admin_app(settings, store, admin=admin_router(installation, digests)), port, settings)
        await listener.start()
        stack.push_async_callback(listener.stop)
        yield f"http://127.0.0.1:{listener.port}"


@pytest.fixture
async def installation(harness: WorkerHarness, url: str) -> SampleInstallation:
    first = await harness.publish(RULES)
    ended = await harness.send("po-1")
    await harness.run_worker()
    await harness.publish(RULES.replace("SINK", "http://127.0.0.1:9"))
    dead = await harness.send("po-2")
    await harness.run_worker()
    record = RecordRef("pack", "customer", "77")
    queued = Event(
        EVENT_VERSION, new_event_id(), "pack-orders", "customer.updated", "updated", record, None, {}, None, BODY
    )
    await harness.store.ingest(queued, dedupe_key_of_id("pack-orders", "e1"), 60_000)
    headers = {"content-type": "application/json", "x-signature": "0" * 64}
    quarantined = QuarantinedDelivery(
        1, new_event_id(), "pack-orders", "not_verified", 401, time.time(), headers, BODY, None, whole=True
    )
    await harness.store.quarantine_deliveries([quarantined])
    await harness.store.queue_stats.heartbeat("w-1", 3, time.time(), 600)
    return SampleInstallation(url, harness, dead, ended, queued.id, quarantined.id, first)


def rows(result: Result) -> list[dict[str, Any]]:
    """Return the JSON objects that a command printed."""
    return [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]


__all__ = ["PRIVATE", "TOKENS", "Run", "SampleInstallation", "Settings", "Store", "rows"]
