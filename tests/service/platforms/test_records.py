"""What each platform's answers become, value by value; where its hints lead; what its calls carry."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET, structs

from service.errors import PermanentError, TransientError
from service.events import RecordRef
from service.http_client import HttpClient
from service.platforms import CallContext, FetchedRecord, Platform
from service.platforms.flow_retail.config import FlowRetailConfig
from service.platforms.flow_retail.connector import FlowRetail
from service.platforms.kind import ConnectorDependencies
from service.platforms.open_food_network.config import OpenFoodNetworkConfig
from service.platforms.open_food_network.connector import OpenFoodNetwork
from service.platforms.pack_cloud.config import PackCloudConfig
from service.platforms.pack_cloud.connector import PackCloud
from service.platforms.pexip_engage.config import PexipEngageConfig
from service.platforms.pexip_engage.connector import PexipEngage
from service.platforms.registry import READS
from service.records import Address, Customer, Line, Money, PurchaseOrder, Supplier
from service.sandbox.faults import Fault
from service.sandbox.server import SandboxHandle
from service.secrets import SecretRef
from tests.platform_accounts import pexip_token_url

TOKEN = SecretRef(env="TOKEN")
SAMPLES = Path(__file__).parents[2] / "samples"
CONTEXT = CallContext("e" * 32, "00-trace-01", "corr-1")


@pytest.fixture
def platforms(box: SandboxHandle, outbound: HttpClient) -> dict[str, Platform]:
    url, resources = box.base_url, ConnectorDependencies(outbound, {"TOKEN": box.token})
    return {
        "pack_cloud": PackCloud(
            "acct", PackCloudConfig(organization_id="o", token=TOKEN, base_url=url("pack_cloud")), resources
        ),
        "pexip_engage": PexipEngage(
            "acct",
            PexipEngageConfig(
                enterprise="acme",
                client_id=TOKEN,
                client_secret=TOKEN,
                base_url=url("pexip_engage"),
                token_url=pexip_token_url(box),
            ),
            resources,
        ),
        "open_food_network": OpenFoodNetwork(
            "acct", OpenFoodNetworkConfig(base_url=url("open_food_network"), token=TOKEN), resources
        ),
        "flow_retail": FlowRetail(
            "acct",
            FlowRetailConfig(tenant_uid="7", store_uid="70", token=TOKEN, base_url=url("flow_retail")),
            resources,
        ),
    }


async def fetch(platforms: dict[str, Platform], box: SandboxHandle, sample: str, asked: str) -> FetchedRecord:
    platform, _, name = sample.partition("/")
    kind = name.split(".")[0]
    await platforms[platform].fetch(RecordRef("acct", kind, "missing-0"), CONTEXT)
    box.sandbox.faults.add(Fault(status=200, body=(SAMPLES / f"{sample}.json").read_text()))
    return await platforms[platform].fetch(RecordRef("acct", kind, asked), CONTEXT)


async def test_a_purchase_order_of_pack_cloud(platforms: dict[str, Platform], box: SandboxHandle) -> None:
    order = "5a7d2f90-3c11-4e0a-9c77-2b6f0d1e8a01"
    fetched = await fetch(platforms, box, "pack_cloud/purchase_order", order)
    assert fetched.record == PurchaseOrder(
        id=order,
        reference="ORD100123",
        status="receiving",
        supplier=Supplier(id="77e0f3b1-22c4-4a7e-8d11-9f0a1b2c3d01", name="ABC Wholesale", reference="6001234"),
        lines=(
            Line(
                id="1c000000-0000-4000-8000-000000000001",
                product_id="9d000000-0000-4000-8000-000000000001",
                product_code="PENCO204",
                product_name="Pencil - Orange",
                price=Money(Decimal("9.95"), "EUR"),
                quantity_ordered=100,
                quantity_received=40,
            ),
        ),
        created_at=datetime(2024, 8, 1, 7, 45, tzinfo=UTC),
        updated_at=datetime(2024, 8, 2, 9, 15, tzinfo=UTC),
    )
    assert fetched.version == "2024-08-02T09:15:00.000000Z"
    assert fetched.raw["lines"][0]["product"]["dimensions"]["length"] == Decimal("27.5")


async def test_a_purchase_order_without_nested_objects_has_unknown_lines(
    platforms: dict[str, Platform], box: SandboxHandle
) -> None:
    order = "5a7d2f90-3c11-4e0a-9c77-2b6f0d1e8a02"
    for sample in ("pack_cloud/purchase_order.scalars", "pack_cloud/purchase_order.wrapped"):
        fetched = await fetch(platforms, box, sample, order)
        record = fetched.record
        assert isinstance(record, PurchaseOrder)
        assert (record.lines, record.total, record.quantity_missing) == (UNSET, UNSET, UNSET)
        assert record.supplier == Supplier(id="77e0f3b1-22c4-4a7e-8d11-9f0a1b2c3d01")
        assert "data" not in fetched.raw


async def test_a_pack_cloud_customer_has_the_version_of_its_newest_address(
    platforms: dict[str, Platform], box: SandboxHandle
) -> None:
    newer = {"updated_at": "2025-01-01T00:00:00Z", "city": "Ghent"}
    box.sandbox.catalog.put("pack_cloud", "customer", "c1", {
        "billing_address": {"updated_at": "2024-01-01T00:00:00Z", "email": "a@example.com", "company_name": None},
        "recipient_address": newer,
    })  # fmt: skip
    fetched = await platforms["pack_cloud"].fetch(RecordRef("acct", "customer", "c1"), CONTEXT)
    assert fetched.version == "2025-01-01T00:00:00.000000Z"
    assert isinstance(fetched.record, Customer)
    assert fetched.record.email == "a@example.com"
    assert (fetched.record.company_name, fetched.record.phone) == (None, UNSET)
    assert fetched.record.shipping_address == Address(city="Ghent")
    box.sandbox.catalog.put("pack_cloud", "customer", "c2", {"reference": "C-2"})
    assert (await platforms["pack_cloud"].fetch(RecordRef("acct", "customer", "c2"), CONTEXT)).version is None


async def test_a_customer_of_pexip_engage(platforms: dict[str, Platform], box: SandboxHandle) -> None:
    fetched = await fetch(platforms, box, "pexip_engage/customer", "123")
    assert fetched.record == Customer(
        id="123",
        reference="123456",
        external_id="ABCD1234",
        company_name="Acme Corp",
        first_name="John",
        last_name="Doe",
        email="john.doe@example.com",
        phone="+32412345678",
        language="da",
        billing_address=Address(street="Example Street 1", postal_code="9000", city="Ghent", country_code="BE"),
        created_at=datetime(2022, 8, 17, 19, 5, 21, 362000, tzinfo=UTC),
        updated_at=datetime(2022, 8, 18, 7, 0, tzinfo=UTC),
        deleted_at=None,
    )


async def test_absent_and_null_fields_differ(platforms: dict[str, Platform], box: SandboxHandle) -> None:
    required = (await fetch(platforms, box, "pexip_engage/customer.required", "125")).record
    assert isinstance(required, Customer)
    assert (required.email, required.billing_address, required.deleted_at) == (UNSET, UNSET, None)


async def test_a_returned_deleted_customer_has_deleted_at(platforms: dict[str, Platform], box: SandboxHandle) -> None:
    deleted = (await fetch(platforms, box, "pexip_engage/customer.deleted", "124")).record
    assert deleted is not None
    assert deleted.deleted_at == datetime(2022, 9, 1, 10, 0, tzinfo=UTC)


async def test_a_customer_of_open_food_network_has_no_version(
    platforms: dict[str, Platform], box: SandboxHandle
) -> None:
    fetched = await fetch(platforms, box, "open_food_network/customer", "1")
    assert isinstance(fetched.record, Customer)
    assert fetched.version is None
    assert fetched.record.tags == ("staff", "discount")
    assert fetched.record.billing_address is None
    assert fetched.record.shipping_address == Address(
        name="Alice Springs",
        street="1 Flinders Street",
        postal_code="1234",
        city="Melbourne",
        state_code="Vic",
        country_code="AU",
        phone="0404 333 222 111",
    )
    assert fetched.record.balance is UNSET
    assert fetched.raw["attributes"]["balance"] == Decimal("-12.5")


async def test_a_422_to_a_read_of_open_food_network_is_transient(
    platforms: dict[str, Platform], box: SandboxHandle
) -> None:
    box.sandbox.faults.add(Fault(status=422))
    with pytest.raises(TransientError) as raised:
        await platforms["open_food_network"].fetch(RecordRef("acct", "customer", "1"), CONTEXT)
    assert (raised.value.kind, raised.value.http_status) == ("platform_unavailable", 422)
    box.sandbox.faults.add(Fault(status=422))
    with pytest.raises(PermanentError):
        await platforms["pack_cloud"].fetch(RecordRef("acct", "customer", "1"), CONTEXT)


async def test_flow_retail_scales_its_whole_numbers_and_names_the_tenants_currency(
    platforms: dict[str, Platform], box: SandboxHandle
) -> None:
    order = (await fetch(platforms, box, "flow_retail/purchase_order", "po-501")).record
    assert isinstance(order, PurchaseOrder)
    assert isinstance(order.lines, tuple)
    assert structs.asdict(order.lines[0]) == structs.asdict(
        Line(
            id="poi-1",
            product_id="p-1",
            product_code="PENCO204",
            product_name="Blyant oransje",
            price=Money(Decimal("9.95"), "NOK"),
            quantity_ordered=Decimal(100),
            quantity_received=Decimal(40),
        )
    )
    assert order.total == Money(Decimal(995), "NOK")
    customer = (await fetch(platforms, box, "flow_retail/customer", "1000")).record
    assert isinstance(customer, Customer)
    assert customer.balance == Money(Decimal("12500.00"), "NOK")
    assert (customer.reference, customer.type, customer.external_id) == ("0001234", "COMPANY", "ERP-77")
    assert isinstance(customer.shipping_address, Address)
    assert customer.shipping_address.street == "Lagerveien 2"


async def test_flow_retail_fetches_the_currency_once(platforms: dict[str, Platform], box: SandboxHandle) -> None:
    platform = platforms["flow_retail"]
    await platform.fetch(RecordRef("acct", "customer", "1"), CONTEXT)
    box.sandbox.catalog.delete("flow_retail", "tenant", "7")
    record = (await platform.fetch(RecordRef("acct", "customer", "1"), CONTEXT)).record
    assert isinstance(record, Customer)
    assert isinstance(record.balance, Money)


@pytest.mark.parametrize("fault", [Fault(status=403), Fault(status=404), Fault(status=200, body='{"name": "x"}')])
async def test_flow_retail_without_a_currency_has_records_but_no_amounts(
    platforms: dict[str, Platform], box: SandboxHandle, fault: Fault
) -> None:
    box.sandbox.faults.add(structs.replace(fault))
    record = (await platforms["flow_retail"].fetch(RecordRef("acct", "customer", "1"), CONTEXT)).record
    assert isinstance(record, Customer)
    assert record.balance is UNSET


async def test_flow_retail_defers_a_fetch_while_the_currency_is_unavailable(
    platforms: dict[str, Platform], box: SandboxHandle
) -> None:
    box.sandbox.faults.add(Fault(status=503))
    with pytest.raises(TransientError):
        await platforms["flow_retail"].fetch(RecordRef("acct", "customer", "1"), CONTEXT)


HINTS: list[tuple[str, str, str, list[str]]] = [
    ("pack_cloud", "order", "o-1", ["0b8c1a54-7f0e-4a65-8f3c-1d2a9b7e4c01"]),
    ("pack_cloud", "order", "guest-1", []),
    ("pack_cloud", "order", "missing-1", []),
    ("pexip_engage", "appointment", "1234", ["123"]),
    ("pexip_engage", "appointment", "missing-1", []),
    ("pexip_engage", "callback_request", "5", ["123"]),
    ("open_food_network", "order", "R555555555", ["1"]),
    ("open_food_network", "order", "missing-1", []),
]


@pytest.mark.parametrize(("platform", "kind", "hint", "customers"), HINTS)
async def test_a_hint_resolves_to_its_customer_or_to_nothing(
    platforms: dict[str, Platform], platform: str, kind: str, hint: str, customers: list[str]
) -> None:
    found = await platforms[platform].resolve(RecordRef("acct", kind, hint), CONTEXT)
    assert found == tuple(RecordRef("acct", "customer", customer) for customer in customers)


@pytest.mark.parametrize(("platform", "kind"), sorted({(hint[0], hint[1]) for hint in HINTS}))
async def test_a_failed_hint_raises_transient_error(
    platforms: dict[str, Platform], box: SandboxHandle, platform: str, kind: str
) -> None:
    box.sandbox.faults.add(Fault(status=503))
    with pytest.raises(TransientError):
        await platforms[platform].resolve(RecordRef("acct", kind, "1"), CONTEXT)


async def test_the_customers_of_an_appointment_are_each_named_once(
    platforms: dict[str, Platform], box: SandboxHandle
) -> None:
    def customer(record_id: Any) -> dict[str, Any]:
        return {"type": "CUSTOMER", "participant": {"id": record_id}}

    participants = [customer("1"), {"type": "EMPLOYEE", "participant": {"id": "9"}}, customer("2"), customer("1"), {}]
    box.sandbox.catalog.put("pexip_engage", "appointment", "a", {"appointmentParticipants": participants})
    found = await platforms["pexip_engage"].resolve(RecordRef("acct", "appointment", "a"), CONTEXT)
    assert [ref.id for ref in found] == ["1", "2"]


async def test_an_id_is_percent_encoded(platforms: dict[str, Platform]) -> None:
    for odd in ("a/b", "a b?c#d", "50%", "é", "..a"):
        fetched = await platforms["pack_cloud"].fetch(RecordRef("acct", "purchase_order", odd), CONTEXT)
        assert fetched.record is not None
        assert fetched.record.id == odd


@pytest.mark.parametrize(
    ("correlation_id", "sent"),
    [
        ("corr-1", "corr-1"),
        (None, "e" * 32),
        ("", "e" * 32),
        ("x" * 36, "x" * 36),
        ("x" * 37, "e" * 32),
        ("é", "e" * 32),
    ],
)
async def test_pexip_engage_calls_carry_trace_language_and_correlation_id(
    box: SandboxHandle, outbound: HttpClient, correlation_id: str | None, sent: str
) -> None:
    resources = ConnectorDependencies(outbound, {"TOKEN": box.token})
    platform = PexipEngage(
        "acct",
        PexipEngageConfig(
            enterprise="acme",
            client_id=TOKEN,
            client_secret=TOKEN,
            language="nl",
            base_url=f"{box.url}/_sandbox/sink",
            token_url=pexip_token_url(box),
        ),
        resources,
    )
    with pytest.raises(TransientError):
        await platform.fetch(RecordRef("acct", "customer", "1"), CallContext("e" * 32, "00-trace-01", correlation_id))
    with pytest.raises(TransientError):
        await READS["pexip_engage"]["customer.get"].run(platform, {"customer": "1"})
    request, by_hand = box.sandbox.sink.requests
    assert re.fullmatch("[0-9a-f]{32}", by_hand.headers["x-correlation-id"])
    assert request.path == "/_sandbox/sink/enterprises/acme/customers/1"
    assert request.headers["x-correlation-id"] == sent
    assert request.headers["accept-language"] == "nl"
    assert request.headers["traceparent"] == "00-trace-01"
    assert request.headers["accept"] == "application/json"
    assert request.headers["authorization"].startswith("Bearer ")


async def test_pack_cloud_sends_the_token_in_the_configured_header(box: SandboxHandle, outbound: HttpClient) -> None:
    resources = ConnectorDependencies(outbound, {"TOKEN": "t"})
    platform = PackCloud(
        "acct",
        PackCloudConfig(
            organization_id="o",
            token=TOKEN,
            base_url=f"{box.url}/_sandbox/sink/",
            token_header="X-Key",
            token_prefix="",
        ),
        resources,
    )
    with pytest.raises(TransientError):
        await platform.fetch(RecordRef("acct", "customer", "1"), CallContext("e"))
    (request,) = box.sandbox.sink.requests
    assert request.path == "/_sandbox/sink/organizations/o/customers/1"
    assert request.headers["x-key"] == "t"
    assert {"authorization", "traceparent"}.isdisjoint(request.headers)
