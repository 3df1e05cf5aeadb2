"""The documented example of a custom platform, as it is committed, from a signed delivery to an effect.

Real processes take it in and work on it; the shop and the store are real servers. Of the file only the host is changed.
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
from service.settings import load_settings
from tests.service.platforms.custom.test_woocommerce import EXAMPLE, SECRETS, Shop, order
from tests.waiting import until
from tests.workers.harness import House, open_house
from tests.workers.worker_processes import Pods

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


class Counter:
    """The shop, and what is delivered to us in its name."""

    def __init__(self, shop: Shop, house: House, pods: Pods, client: aiohttp.ClientSession) -> None:
        self.shop = shop
        self.house = house
        self.pods = pods
        self.url = ""
        self._client = client

    async def open(self) -> None:
        await self.house.publish(RULE)
        serving = await self.pods.start(command="serve")
        self.url = f"http://127.0.0.1:{(await self.pods.hears(serving, 'process.started'))['port']}"
        await self.pods.start()

    async def deliver(self, body: bytes, topic: str, secret: str = SECRETS["SHOP_WEBHOOK_SECRET"]) -> tuple[int, Any]:
        """Send a webhook as WooCommerce does."""
        signature = base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()
        headers = {"X-WC-Webhook-Signature": signature, "X-WC-Webhook-Topic": topic, "Content-Type": "application/json"}
        async with self._client.post(f"{self.url}/webhooks/shop-orders", data=body, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def published(self, stream: str) -> list[Any]:
        entries = await self.house.store.client.command("XRANGE", f"wb:stream:{stream}", "-", "+")
        found = [dict(zip(fields[::2], fields[1::2], strict=True)) for _, fields in entries]
        return [json.loads(fields[b"data"]) for fields in found]

    async def outcome(self, event_id: str) -> Any:
        async def over() -> bool:
            return (await self.house.story(event_id))["state"] == "ended"

        await until(over)
        return (await self.house.story(event_id))["outcome"]


@pytest.fixture
async def counter(own_valkey: Callable[..., EmbeddedValkey], tmp_path: Path) -> AsyncIterator[Counter]:
    server, shop = own_valkey(), Shop()
    runner = web.AppRunner(shop.app())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    committed = EXAMPLE.read_text()
    assert committed.count(HOST) == 1
    config = committed.replace(HOST, f"http://127.0.0.1:{runner.addresses[0][1]}")
    pods = Pods(tmp_path, server.url, config, SECRETS)
    async with (
        open_house(load_settings({"WAYBILL_REDIS_URL": server.url})) as house,
        aiohttp.ClientSession() as client,
    ):
        counter = Counter(shop, house, pods, client)
        try:
            await counter.open()
            yield counter
        finally:
            pods.kill()
            await runner.cleanup()


async def test_a_signed_delivery_becomes_an_effect_on_the_order_as_the_shop_holds_it(counter: Counter) -> None:
    body = json.dumps(order(7, status="pending")).encode()
    status, answer = await counter.deliver(body, "order.updated")
    assert (status, answer["status"]) == (202, "queued")
    assert await counter.outcome(answer["event_id"]) == "matched"
    (message,) = await counter.published("orders")
    assert message == {"order": "7", "status": "processing", "total": "6", "sku": "W1"}
    assert (await counter.deliver(body, "order.updated"))[1] == {**answer, "status": "duplicate"}
    assert len(await counter.published("orders")) == 1
    (fetched,) = counter.pods.said("record.fetched")
    assert (fetched["operation"], fetched["http_status"]) == ("custom.purchase_order.get", 200)


async def test_a_forged_delivery_and_an_order_below_the_rule_have_no_effect(counter: Counter) -> None:
    body = json.dumps(order(8)).encode()
    assert (await counter.deliver(body, "order.updated", "another-secret-0123456789"))[0] == 401
    counter.shop.orders[8]["line_items"][0]["price"] = 2
    _, answer = await counter.deliver(body, "order.updated")
    assert await counter.outcome(answer["event_id"]) == "unmatched"
    assert await counter.published("orders") == []


async def test_a_deleted_order_is_decided_on_as_gone(counter: Counter) -> None:
    del counter.shop.orders[9]
    _, answer = await counter.deliver(b'{"id": 9}', "order.deleted")
    assert await counter.outcome(answer["event_id"]) == "matched"
    assert await counter.published("ends") == [{"order": "9"}]
