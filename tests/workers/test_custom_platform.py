"""The documented example of a custom platform, from a signed delivery to an effect.

Processes, shop and store are real servers. Only the host in the file is replaced.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from service.dev.embedded_valkey import EmbeddedValkey
from tests.one_shard import PREFIX, one_shard_settings
from tests.service.platforms.custom.test_woocommerce import EXAMPLE, SECRETS, Shop, order
from tests.waiting import until
from tests.workers.harness import WorkerHarness, open_harness
from tests.workers.worker_processes import WorkerProcesses

pytestmark = pytest.mark.crash

HOST = "https://shop.example.com"
RULE = """
- id: tell
  type: purchase_order
  sources: [shop-orders]
  when: {field: total.value, op: gt, value: "5.00"}
  actions:
    - id: one
      do: publish
      stream: orders
      message: {order: "{id}", status: "{status}", total: "{total.value}", sku: "{raw.line_items.0.sku}"}
- id: tell-of-ends
  type: purchase_order
  events: [deleted]
  actions:
    - {id: one, do: publish, stream: ends, message: {order: "{id}"}}
"""


class ShopHarness:
    """The shop, the processes of Waybill, and deliveries of the shop."""

    def __init__(
        self, shop: Shop, harness: WorkerHarness, processes: WorkerProcesses, client: aiohttp.ClientSession
    ) -> None:
        self.shop = shop
        self.harness = harness
        self.processes = processes
        self.url = ""
        self._client = client

    async def start(self) -> None:
        await self.harness.publish(RULE)
        server = await self.processes.start(command="serve")
        self.url = f"http://127.0.0.1:{(await self.processes.wait_for_line(server, 'process.started'))['port']}"
        await self.processes.start()

    async def deliver(self, body: bytes, topic: str, secret: str = SECRETS["SHOP_WEBHOOK_SECRET"]) -> tuple[int, Any]:
        """Send a webhook as WooCommerce does."""
        signature = base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()
        headers = {"X-WC-Webhook-Signature": signature, "X-WC-Webhook-Topic": topic, "Content-Type": "application/json"}
        async with self._client.post(f"{self.url}/webhooks/shop-orders", data=body, headers=headers) as response:
            return response.status, await response.json(content_type=None)

    async def published(self, stream: str) -> list[Any]:
        entries = await self.harness.store.client.command("XRANGE", f"{PREFIX}stream:{stream}", "-", "+")
        entries_fields = [dict(zip(fields[::2], fields[1::2], strict=True)) for _, fields in entries]
        return [json.loads(fields[b"data"]) for fields in entries_fields]

    async def outcome(self, event_id: str) -> Any:
        async def has_ended() -> bool:
            return (await self.harness.stored_event(event_id))["state"] == "ended"

        await until(has_ended)
        return (await self.harness.stored_event(event_id))["outcome"]


@pytest.fixture
async def shop_harness(own_valkey: Callable[..., EmbeddedValkey], tmp_path: Path) -> AsyncIterator[ShopHarness]:
    server, shop = own_valkey(), Shop()
    runner = web.AppRunner(shop.app())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    committed = EXAMPLE.read_text()
    assert committed.count(HOST) == 1
    config = committed.replace(HOST, f"http://127.0.0.1:{runner.addresses[0][1]}")
    processes = WorkerProcesses(tmp_path, server.url, config, SECRETS)
    async with (
        open_harness(one_shard_settings({"WAYBILL_REDIS_URL": server.url})) as harness,
        aiohttp.ClientSession() as client,
    ):
        shop_harness = ShopHarness(shop, harness, processes, client)
        try:
            await shop_harness.start()
            yield shop_harness
        finally:
            processes.kill()
            await runner.cleanup()


async def test_deliveries_of_the_shop_have_the_effects_of_the_rules(shop_harness: ShopHarness) -> None:
    await check_deliveries_without_effect(shop_harness)
    await check_signed_delivery(shop_harness)
    await check_deletion(shop_harness)


async def check_deliveries_without_effect(shop_harness: ShopHarness) -> None:
    body = json.dumps(order(8)).encode()
    assert (await shop_harness.deliver(body, "order.updated", "another-secret-0123456789"))[0] == 401
    assert shop_harness.processes.log_lines("record.fetched") == []
    shop_harness.shop.orders[8]["total"] = "4.00"
    _, answer = await shop_harness.deliver(body, "order.updated")
    assert await shop_harness.outcome(answer["event_id"]) == "unmatched"
    assert await shop_harness.published("orders") == []


async def check_signed_delivery(shop_harness: ShopHarness) -> None:
    body = json.dumps(order(7, status="pending")).encode()
    status, answer = await shop_harness.deliver(body, "order.updated")
    assert (status, answer["status"]) == (202, "queued")
    assert await shop_harness.outcome(answer["event_id"]) == "matched"
    (message,) = await shop_harness.published("orders")
    assert message == {"order": "7", "status": "processing", "total": 6, "sku": "W1"}
    assert (await shop_harness.deliver(body, "order.updated"))[1] == {**answer, "status": "duplicate"}
    assert len(await shop_harness.published("orders")) == 1
    (fetched,) = await shop_harness.processes.wait_for_log_lines("record.fetched", event_id=answer["event_id"])
    assert (fetched["operation"], fetched["http_status"]) == ("custom.purchase_order.get", 200)


async def check_deletion(shop_harness: ShopHarness) -> None:
    del shop_harness.shop.orders[9]
    _, answer = await shop_harness.deliver(b'{"id": 9}', "order.deleted")
    assert await shop_harness.outcome(answer["event_id"]) == "matched"
    assert await shop_harness.published("ends") == [{"order": "9"}]
