"""Any other system by configuration alone: its auth, its places, its map."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET

from service.bodies.pointers import resolve_pointer
from service.errors import ConfigError, TransientError
from service.events import RecordRef
from service.http_client import HttpClient
from service.platforms import CallContext, Platform
from service.platforms.api.field_map import FieldMap
from service.platforms.registry import build_platforms
from service.records import Address, Customer, Line, Money, PurchaseOrder, Supplier
from service.sandbox.faults import Fault
from service.sandbox.server import SandboxHandle
from tests.platform_accounts import platform_configs

SAMPLES = Path(__file__).parents[3] / "samples" / "custom"
CONTEXT = CallContext("e" * 32)
MAP = {
    "reference": "/number",
    "status": "/state",
    "supplier.name": "/vendor/name",
    "currency": "/currency",
    "lines": "/rows",
    "lines.product_code": "/sku",
    "lines.price.value": "/unit_price",
    "lines.quantity_ordered": "/qty",
    "lines.quantity_received": "/got",
    "updated_at": "/changed",
}
PLACES = {
    "purchase_order": {"path": "/orders/{id}", "at": "/result", "map": MAP},
    "customer": {"path": "/customers/{id}?full=1"},
}

Build = Callable[..., Platform]


@pytest.fixture
def build(box: SandboxHandle, outbound: HttpClient) -> Build:
    def make(
        auth: Mapping[str, Any] | None = None, records: Mapping[str, Any] = PLACES, path: str = "/erp"
    ) -> Platform:
        raw = {"kind": "custom", "base_url": box.url + path, "auth": auth or {"type": "none"}, "records": records}
        configs = platform_configs({"erp": raw})
        return build_platforms(configs, {"SECRET": "s3cret"}, outbound)["erp"]

    return make


def purchase_order(pointers: Mapping[str, str], node: Mapping[str, Any]) -> PurchaseOrder:
    return FieldMap(PurchaseOrder, pointers, "map").read(node)


@pytest.mark.parametrize("key", ["refrence", "lines_count", "total.amount", "lines.total", "supplier.nam", ""])
def test_an_unknown_field_raises_config_error_with_its_path(build: Build, key: str) -> None:
    places = {"purchase_order": {"path": "/orders/{id}", "map": {key: "/x"}}}
    with pytest.raises(ConfigError) as raised:
        build(records=places)
    assert raised.value.path == f"platforms.erp.records.purchase_order.map.{key}"


def test_a_misspelt_field_gets_a_suggestion(build: Build) -> None:
    with pytest.raises(ConfigError, match=r"did you mean reference\?"):
        build(records={"purchase_order": {"path": "/{id}", "map": {"refrence": "/x"}}})


def test_an_unknown_kind_raises_config_error(build: Build) -> None:
    with pytest.raises(ConfigError) as raised:
        build(records={"invoice": {"path": "/{id}"}})
    assert raised.value.path == "platforms.erp.records.invoice"


@pytest.mark.parametrize("body", ["[]", "{}", '{"result": null}', '{"result": []}', '{"result": {"number": "7"}}'])
async def test_an_answer_without_the_record_at_its_pointer_is_no_proof_of_absence(
    build: Build, box: SandboxHandle, body: str
) -> None:
    box.sandbox.faults.add(Fault(status=200, body=body))
    with pytest.raises(TransientError) as raised:
        await build().fetch(RecordRef("erp", "purchase_order", "7"), CONTEXT)
    assert raised.value.kind == "platform_wrong_envelope"


async def test_a_mapped_purchase_order_is_read_completely(build: Build, box: SandboxHandle) -> None:
    box.sandbox.faults.add(
        Fault(match="/erp/orders/PO-7", status=200, body=(SAMPLES / "purchase_order.json").read_text())
    )
    fetched = await build().fetch(RecordRef("erp", "purchase_order", "PO-7"), CONTEXT)
    assert fetched.record == PurchaseOrder(
        id="PO-7",
        reference="N-7",
        status="received",
        supplier=Supplier(name="ABC Wholesale"),
        lines=(
            Line(
                product_code="PENCO204",
                price=Money(Decimal("9.95"), "EUR"),
                quantity_ordered=100,
                quantity_received=40,
            ),
            Line(
                product_code="ERASE101",
                price=Money(Decimal("2.5"), "EUR"),
                quantity_ordered=10,
                quantity_received=10,
            ),
        ),
        updated_at=datetime(2024, 8, 2, 9, 15, tzinfo=UTC),
    )
    assert fetched.version == "2024-08-02T09:15:00.000000Z"
    assert fetched.raw["vendor"] == {"name": "ABC Wholesale"}


async def test_a_customer_without_a_map_is_read_by_field_names(build: Build, box: SandboxHandle) -> None:
    box.sandbox.faults.add(
        Fault(match="/erp/customers/17?full=1", status=200, body=(SAMPLES / "customer.json").read_text())
    )
    fetched = await build().fetch(RecordRef("erp", "customer", "17"), CONTEXT)
    assert fetched.record == Customer(
        id="17",
        email="jane@example.com",
        first_name="Jane",
        tags=("vip",),
        billing_address=Address(city="Ghent", country_code="BE"),
        shipping_address=None,
        balance=Money(Decimal("12.50"), "EUR"),
    )


@pytest.mark.parametrize(
    ("node", "price"),
    [
        ({"price": {"value": "1", "currency": "usd"}}, Money(Decimal(1), "USD")),
        ({"price": {"value": "1"}}, Money(Decimal(1), "EUR")),
        ({"price": "1"}, Money(Decimal(1), "EUR")),
        ({"price": 1}, Money(Decimal(1), "EUR")),
        ({"price": None}, None),
        ({"price": {"value": None}}, None),
        ({"price": {"value": "1", "currency": None}}, UNSET),
        ({"price": []}, UNSET),
        ({}, UNSET),
    ],
)
def test_an_amounts_own_currency_wins_over_the_records(node: dict[str, Any], price: object) -> None:
    record = purchase_order({"currency": "/cur"}, {"id": "1", "cur": "EUR", "lines": [node]})
    assert record.lines == (Line(price=price),)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("lines", "read"),
    [
        (None, None),
        ("x", UNSET),
        ({}, UNSET),
        ([], ()),
        ([{"id": 5}], (Line(id="5"),)),
        ([1, {"id": 5}], UNSET),
        ([{"id": 5}, None], UNSET),
    ],
)
def test_lines_of_another_shape_are_unknown(lines: object, read: object) -> None:
    assert purchase_order({}, {"id": "1", "lines": lines}).lines == read


@pytest.mark.parametrize(("supplier", "read"), [(None, None), ("x", UNSET), ({"id": 5}, Supplier(id="5"))])
def test_a_nested_part_of_another_shape_is_unknown(supplier: object, read: object) -> None:
    assert purchase_order({}, {"id": "1", "supplier": supplier}).supplier == read


def test_pointers_go_through_lists_and_end_in_unknown() -> None:
    node = {"a": [{"b": 1}], "": 2, "x/y": 3}
    assert resolve_pointer(node, ("a", "0", "b")) == 1
    assert resolve_pointer(node, ("",)) == 2
    assert resolve_pointer(node, ()) is node
    for steps in (("a", "1"), ("a", "-1"), ("a", "x"), ("a", "\u0660"), ("a", "0", "b", "c"), ("nowhere",)):
        assert resolve_pointer(node, steps) is UNSET
    assert purchase_order({"reference": "/x~1y", "id": "/a/0/b"}, node).reference == "3"


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ({"type": "bearer", "token": {"env": "SECRET"}}, "authorization", "Bearer s3cret"),
        ({"type": "header", "name": "X-Api-Key", "value": {"env": "SECRET"}}, "x-api-key", "s3cret"),
        ({"type": "basic", "username": "u", "password": {"env": "SECRET"}}, "authorization", "Basic dTpzM2NyZXQ="),
        ({"type": "none"}, "authorization", None),
    ],
)
async def test_each_kind_of_auth_is_sent(
    build: Build, box: SandboxHandle, auth: dict[str, Any], header: str, value: str | None
) -> None:
    with pytest.raises(TransientError):
        await build(auth, path="/_sandbox/sink").fetch(RecordRef("erp", "customer", "a/1"), CONTEXT)
    (request,) = box.sandbox.sink.requests
    assert request.path == "/_sandbox/sink/customers/a%2F1?full=1"
    assert request.headers.get(header) == value


async def test_a_token_of_the_client_credentials_grant_is_fetched_and_sent(build: Build, box: SandboxHandle) -> None:
    auth = {
        "type": "oauth2_client_credentials",
        "token_url": f"{box.url}/token",
        "client_id": {"env": "SECRET"},
        "client_secret": {"env": "SECRET"},
    }
    box.sandbox.faults.add(Fault(match="/token", status=200, body='{"access_token": "abc"}'))
    with pytest.raises(TransientError):
        await build(auth, path="/_sandbox/sink").fetch(RecordRef("erp", "customer", "1"), CONTEXT)
    (request,) = box.sandbox.sink.requests
    assert request.headers["authorization"] == "Bearer abc"
