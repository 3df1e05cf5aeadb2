"""The documented example of a custom platform, against a small shop that answers as WooCommerce's pages say."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from service.config import Config
from service.configuration import load_config
from service.errors import PermanentError, Rejection, TransientError
from service.events import Delivery, RecordRef
from service.http_client import HttpClient
from service.ingestion.sources import build_sources
from service.platforms import CallContext, Platform
from service.platforms.registry import build_platforms, writes_of
from service.records import Customer, Money, PurchaseOrder
from service.settings import Settings

EXAMPLE = Path(__file__).parents[4] / "docs" / "examples" / "woocommerce.yaml"
SECRETS = {"SHOP_SECRET": "cs_secret", "SHOP_WEBHOOK_SECRET": "webhook-secret-0123456789"}
CONTEXT = CallContext("e" * 32)
PERMIT = "Basic " + base64.b64encode(b"ck_example:cs_secret").decode()


def order(number: int, modified: str = "2026-01-02T00:00:00", **fields: Any) -> dict[str, Any]:
    line = {"id": 1, "name": "Woo Single #1", "product_id": 93, "quantity": 2, "sku": "W1", "price": 3, "total": "6.00"}
    return {
        "id": number,
        "number": str(number),
        "status": "processing",
        "currency": "EUR",
        "date_created": "2026-01-01T10:00:00",
        "date_created_gmt": "2026-01-01T09:00:00",
        "date_modified": modified,
        "date_modified_gmt": modified,
        "total": "6.00",
        "customer_id": 26,
        "line_items": [line],
        **fields,
    }


def customer(number: int) -> dict[str, Any]:
    billing = {"first_name": "Ana", "company": "Ana Lda", "address_1": "Av. Brasil, 432", "city": "Porto"}
    billing |= {"state": "13", "postcode": "4000-001", "country": "PT", "phone": "555"}
    dates = {"date_created_gmt": "2026-01-01T09:00:00", "date_modified_gmt": None}
    return {
        "id": number,
        **dates,
        "email": "ana@example.com",
        "first_name": "Ana",
        "last_name": "Silva",
        "role": "customer",
        "username": "ana",
        "billing": billing,
        "shipping": {},
    }


class Shop:
    """Orders and customers behind WordPress's conventions: Basic auth, pages with Link headers, JSON errors."""

    def __init__(self) -> None:
        self.orders = {number: order(number) for number in range(1, 251)}
        self.customers = {26: customer(26)}
        self.notes: list[tuple[int, str, bool]] = []
        self.trouble: list[web.Response] = []

    def app(self) -> web.Application:
        app = web.Application()
        for name, things in (("orders", self.orders), ("customers", self.customers)):
            app.router.add_get(f"/wp-json/wc/v3/{name}", self._list(things))
            app.router.add_get(f"/wp-json/wc/v3/{name}/{{id}}", self._one(things))
        app.router.add_post("/wp-json/wc/v3/orders/{id}/notes", self._add_note)
        return app

    async def _add_note(self, request: web.Request) -> web.Response:
        written = await request.json()
        assert set(written) <= {"note", "customer_note", "added_by_user"}
        self.notes.append((int(request.match_info["id"]), written["note"], written["customer_note"]))
        return self._refusal(request) or web.json_response({"id": 281, "author": "system", **written}, status=201)

    def _refusal(self, request: web.Request) -> web.Response | None:
        if self.trouble:
            return self.trouble.pop()
        if request.headers.get("Authorization") != PERMIT:
            said = {"code": "woocommerce_rest_cannot_view", "message": "Sorry, you cannot list resources."}
            return web.json_response(said, status=401)
        return None

    def _one(self, things: dict[int, dict[str, Any]]) -> Any:
        async def answer(request: web.Request) -> web.Response:
            refusal = self._refusal(request)
            found = things.get(int(request.match_info["id"]))
            if refusal or found:
                return refusal or web.json_response(found)
            return web.json_response({"code": "woocommerce_rest_invalid_id", "message": "Invalid ID."}, status=404)

        return answer

    def _list(self, things: dict[int, dict[str, Any]]) -> Any:
        async def answer(request: web.Request) -> web.Response:
            refusal, query = self._refusal(request), request.query
            if refusal:
                return refusal
            key = {"modified": "date_modified_gmt", "id": "id"}[query["orderby"]]
            found = sorted(
                things.values(), key=lambda thing: (thing[key], thing["id"]), reverse=query["order"] == "desc"
            )
            size, page = int(query["per_page"]), int(query["page"])
            assert size <= 100
            more = len(found) > page * size
            onward = request.url.update_query(page=page + 1)
            link = f'<{request.url.update_query(page=1)}>; rel="first", <{onward}>; rel="next"' if more else ""
            shown = found[(page - 1) * size : page * size]
            return web.json_response(shown, headers={"X-WP-Total": str(len(found)), **({"Link": link} if link else {})})

        return answer


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
async def config(shop: Shop, tmp_path: Path) -> AsyncIterator[Config]:
    runner = web.AppRunner(shop.app())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    address: tuple[str, int] = runner.addresses[0]
    path = tmp_path / "waybill.yaml"
    text = EXAMPLE.read_text().replace("https://shop.example.com", f"http://127.0.0.1:{address[1]}")
    path.write_text(text)
    yield load_config(path, SECRETS)
    await runner.cleanup()


@pytest.fixture
def platform(config: Config, outbound: HttpClient) -> Platform:
    return build_platforms(config.platforms, SECRETS, outbound)["shop"]


async def test_an_order_is_read_completely(platform: Platform) -> None:
    fetched = await platform.fetch(RecordRef("shop", "purchase_order", "7"), CONTEXT)
    record = fetched.record
    assert isinstance(record, PurchaseOrder)
    assert (record.id, record.reference, record.status) == ("7", "7", "processing")
    assert record.total == Money(Decimal(6), "EUR")
    assert record.created_at == datetime(2026, 1, 1, 9, tzinfo=UTC)
    assert fetched.version == "2026-01-02T00:00:00.000000Z"
    assert fetched.raw["line_items"][0]["total"] == "6.00"


async def test_a_customer_is_read_completely_and_null_stays_null(platform: Platform) -> None:
    record = (await platform.fetch(RecordRef("shop", "customer", "26"), CONTEXT)).record
    assert isinstance(record, Customer)
    assert (record.first_name, record.company_name, record.type) == ("Ana", "Ana Lda", "customer")
    assert record.updated_at is None
    assert msgspec.to_builtins(record)["billing_address"] == {
        "company_name": "Ana Lda",
        "street": "Av. Brasil, 432",
        "postal_code": "4000-001",
        "city": "Porto",
        "state_code": "13",
        "country_code": "PT",
        "phone": "555",
    }


async def test_a_404_is_gone_and_a_wrong_key_is_a_config_error(platform: Platform, shop: Shop) -> None:
    assert (await platform.fetch(RecordRef("shop", "customer", "999"), CONTEXT)).record is None
    shop.trouble.append(web.json_response({"message": "Sorry, you cannot list resources."}, status=401))
    with pytest.raises(PermanentError) as raised:
        await platform.fetch(RecordRef("shop", "customer", "26"), CONTEXT)
    assert raised.value.kind == "config_unauthorized"
    assert "you cannot list resources" in str(raised.value)


async def test_a_custom_status_has_the_configured_meaning(platform: Platform, shop: Shop) -> None:
    shop.trouble.append(web.Response(status=420))
    with pytest.raises(TransientError) as raised:
        await platform.fetch(RecordRef("shop", "customer", "26"), CONTEXT)
    assert raised.value.http_status == 420


async def test_an_operation_adds_a_note(config: Config, platform: Platform, shop: Shop) -> None:
    write = writes_of(config.platforms["shop"])["order.add_note"]
    written = await write.run(platform, {"order": "7"}, b'{"note": "4 units are missing"}')
    assert (written.http_status, written.id) == (201, "281")
    assert shop.notes == [(7, "4 units are missing", False)]


async def test_lists_follow_the_link_header_and_stop_early(platform: Platform) -> None:
    ids: list[str] = []
    cursor: str | None = None
    while True:
        listing = await platform.list_records("purchase_order", cursor, CONTEXT)
        assert listing.settled is None
        ids += [item.id for item in listing.items]
        cursor = listing.next
        if cursor is None:
            break
    assert sorted(map(int, ids)) == list(range(1, 251))
    listing = await platform.list_records("customer", None, CONTEXT)
    assert [(item.id, item.version) for item in listing.items] == [("26", None)]


def deliver(body: bytes, topic: str, secret: str = SECRETS["SHOP_WEBHOOK_SECRET"]) -> Delivery:
    signature = base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()
    return Delivery("shop-orders", {"x-wc-webhook-signature": signature, "x-wc-webhook-topic": topic}, body, 0.0)


async def test_a_webhook_names_order_and_change_and_a_forged_one_is_rejected(
    config: Config, platform: Platform
) -> None:
    source = build_sources(config, SECRETS, {"shop": platform}, Settings())["shop-orders"]
    body = json.dumps(order(7)).encode()
    delivery = deliver(body, "order.updated")
    (fact,) = source.parse(delivery, source.verify(delivery)).facts
    assert (fact.type, fact.change, fact.record) == (
        "order.updated",
        "updated",
        RecordRef("shop", "purchase_order", "7"),
    )
    with pytest.raises(Rejection):
        source.verify(deliver(body, "order.updated", "another-secret-0123456789"))


def test_only_sources_that_are_sent_to_are_addresses(config: Config) -> None:
    assert [name for name, source in config.sources.items() if source.verify] == ["shop-orders"]
    assert {name: source.poll.every_seconds for name, source in config.sources.items() if source.poll} == {
        "shop-orders": 900,
        "shop-customers": 900,
    }
