"""Each platform's client: the operations its pages name, each asked of the sandbox, and nothing else."""

import inspect
import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from service.config.platforms import PlatformConfig
from service.errors import ConfigError, PermanentError, TransientError
from service.http_client import HttpClient
from service.platforms import Platform
from service.platforms.api.declared_operations import client_operations
from service.platforms.api.operations import Operation, WriteResult
from service.platforms.base import CallContext
from service.platforms.flow_retail.client import FlowRetailClient, Paging
from service.platforms.flow_retail.connector import FlowRetail
from service.platforms.flow_retail.inputs import FlowRetailCustomerInput as FlowCustomer
from service.platforms.open_food_network.client import OpenFoodNetworkClient, OpenFoodNetworkCustomerInput
from service.platforms.open_food_network.connector import OpenFoodNetwork
from service.platforms.pack_cloud.client import IntegrationChange, NewIntegration, PackCloudClient
from service.platforms.pack_cloud.connector import PackCloud
from service.platforms.pack_cloud.purchasing_client import (
    NewPurchaseOrder,
    NewPurchaseOrderLine,
    Price,
    PurchaseOrderLineChange,
)
from service.platforms.pack_cloud.rules_client import NewRule, RuleAction, RuleChange, RuleCondition
from service.platforms.pack_cloud.webhooks_client import NewWebhook, WebhookChange
from service.platforms.pexip_engage.client import PexipEngageClient, PexipEngageCustomerChange
from service.platforms.pexip_engage.connector import PexipEngage
from service.platforms.registry import KINDS, PLATFORMS, READS, WRITES, build_platforms
from service.sandbox.faults import Fault
from service.sandbox.server import SandboxHandle
from service.settings import Settings
from tests.platform_accounts import pexip_token_url, platform_configs, sample_account

SAMPLES = Path(__file__).parents[2] / "samples"
CONTEXT = CallContext("e" * 32)
T = {"env": "T"}

CLIENTS = {kind.name: kind.client for kind in KINDS if kind.name != "custom"}
OPERATIONS = {platform: client_operations(client) for platform, client in CLIENTS.items()}
BODY: dict[str, Any] = {
    "name": "n", "type": "order", "code": "c", "operator": "eq", "value": "1", "connector_id": "c",
    "enterprise_id": 2, "email": "a@example.com", "supplier_id": "s", "lines": [], "product_id": "p",
    "quantity_ordered": 1, "event_code": "order.created", "endpoint": "https://hooks.example.com", "secret": "s" * 16,
}  # fmt: skip
"""What any write takes, where it takes it."""
TENANCY = {"pexip_engage": "/enterprises/{}"}
"""What a page takes to be part of the server's address."""


class Captured(NamedTuple):
    """An operation as a captured page prints it, a hyphen for what it does not print."""

    method: str
    path: str
    name: str


def pages(platform: str) -> list[Captured]:
    lines = (SAMPLES / platform / "operations.txt").read_text().splitlines()
    return [Captured(*line.split(" ", 2)) for line in lines if not line.startswith("#")]


def operations_of_other_pages(platform: str) -> set[str]:
    """List the operations that polls and hints need, and that other pages of the documentation describe."""
    lines = (SAMPLES / platform / "operations.txt").read_text().splitlines()
    return {line.removeprefix("# other page: ") for line in lines if line.startswith("#")}


class Accounts:
    """The four platforms on one sandbox."""

    def __init__(self, platforms: dict[str, Platform], box: SandboxHandle) -> None:
        self.all, self.box = platforms, box

    def pick(self, expected: type[Any]) -> Any:
        return next(platform for platform in self.all.values() if isinstance(platform, expected))


@pytest.fixture
async def accounts(box: SandboxHandle) -> AsyncIterator[Accounts]:
    raw = {platform: sample_account(platform, box.base_url(platform)) for platform in CLIENTS}
    async with HttpClient(Settings(fetch_timeout_seconds=60)) as outbound:
        configs = platform_configs(raw)
        yield Accounts(build_platforms(configs, {"TOKEN": box.token, "CLIENT": "waybill"}, outbound), box)


@pytest.mark.parametrize("platform", OPERATIONS)
def test_a_client_has_every_operation_that_the_captured_page_names(platform: str) -> None:
    named = {page.name for page in pages(platform)}
    ours = {operation.page: operation.name for operation in OPERATIONS[platform]}
    assert len(ours) == len(OPERATIONS[platform])
    assert sorted(ours) == sorted(
        {*named, *(page for page, name in ours.items() if name in operations_of_other_pages(platform))}
    )


@pytest.mark.parametrize("platform", OPERATIONS)
def test_an_operation_has_the_method_and_the_path_that_its_captured_page_prints(platform: str) -> None:
    ours = {operation.page: operation for operation in OPERATIONS[platform]}
    for page in pages(platform):
        operation = ours[page.name]
        assert page.method in {"-", operation.method}, page.name
        path = re.sub(r"{[a-z_]+}", "{}", operation.path).removeprefix(TENANCY.get(platform, ""))
        assert page.path in {"-", path}, page.name
        assert operation.documented or page.path == "-", "what the page prints cannot be set otherwise"


@pytest.mark.parametrize("platform", OPERATIONS)
def test_each_operation_has_one_method_that_documents_its_request(platform: str) -> None:
    methods = {
        name: method
        for name, method in inspect.getmembers(CLIENTS[platform], inspect.isfunction)
        if not name.startswith("_")
    }
    assert len(methods) == len(OPERATIONS[platform])
    for name, method in methods.items():
        said = inspect.getdoc(method) or ""
        assert said.startswith(("GET ", "POST ", "PUT ", "PATCH ", "DELETE ")), name
        assert any(word in said for word in ("Page", "page", "Operation", "operation")), name


@pytest.mark.parametrize("platform", PLATFORMS)
def test_reads_are_exactly_the_idempotent_operations(platform: str) -> None:
    operations: tuple[Operation, ...] = OPERATIONS.get(platform, ())
    names = {operation.name for operation in operations if operation.idempotent}
    assert set(READS[platform]) == (names or {"record.get", "record.list"})


@pytest.mark.parametrize("platform", PLATFORMS)
def test_writes_are_exactly_the_other_operations(platform: str) -> None:
    operations: tuple[Operation, ...] = OPERATIONS.get(platform, ())
    assert set(WRITES[platform]) == {operation.name for operation in operations if not operation.idempotent}


@pytest.mark.parametrize(
    ("platform", "operation"),
    [(platform, name) for platform, writes in WRITES.items() for name in writes],
)
async def test_every_write_sends_the_request_of_its_operation(
    box: SandboxHandle, platform: str, operation: str
) -> None:
    raw = sample_account(platform, f"{box.url}/_sandbox/sink")
    if platform == "pexip_engage":
        raw["token_url"] = pexip_token_url(box)
    write = WRITES[platform][operation]
    expected = write.body[1] if write.body else dict
    known = getattr(expected, "__struct_encode_fields__", ())
    body = {name: value for name, value in BODY.items() if name in known}
    async with HttpClient(Settings()) as outbound:
        configs = platform_configs({"a": raw})
        connector = build_platforms(configs, {"TOKEN": box.token, "CLIENT": "waybill"}, outbound)["a"]
        await write.run(connector, dict.fromkeys(write.ids, "1"), msgspec.json.encode(body) if write.body else None)
    (request,) = box.sandbox.sink.requests
    made = next(each for each in OPERATIONS[platform] if each.name == operation)
    assert request.method == made.method
    assert re.fullmatch("/_sandbox/sink" + re.sub(r"{[a-z_]+}", "[^/]+", made.path), request.path)
    assert msgspec.json.decode(request.body or b"null") == (body if write.body else None)


@pytest.mark.parametrize(
    ("platform", "operation"),
    [(platform, name) for platform, reads in READS.items() if platform != "custom" for name in reads],
)
async def test_every_read_is_answered_by_the_sandbox(accounts: Accounts, platform: str, operation: str) -> None:
    read = READS[platform][operation]
    arguments = {name: "{}" if name == "criteria" else "1" for name in read.required}
    answer = await read.run(accounts.all[platform], arguments, CONTEXT)
    assert answer
    if operation.endswith(".get") and read.required:
        missing = dict.fromkeys(read.required, "missing-1")
        assert await read.run(accounts.all[platform], missing, CONTEXT) is None


@pytest.mark.parametrize(
    ("platform", "operation", "arguments"),
    [
        ("pack_cloud", "customer.get", {}),
        ("pack_cloud", "customer.get", {"customer": "1", "colour": "red"}),
        ("open_food_network", "customer.list", {"page": "two"}),
        ("flow_retail", "customer.list", {"sort_direction": "UP"}),
        ("flow_retail", "customer.search", {"criteria": "[1]"}),
    ],
)
async def test_invalid_arguments_are_rejected_by_name(
    accounts: Accounts, platform: str, operation: str, arguments: dict[str, str]
) -> None:
    with pytest.raises(PermanentError) as raised:
        await READS[platform][operation].run(accounts.all[platform], arguments)
    assert raised.value.kind == "invalid_argument"


LINE = NewPurchaseOrderLine(product_id="p", quantity_ordered=3, price=Price(value="9.95", currency="EUR"))
Write = Callable[[PackCloudClient], Any]
PACK_WRITES: list[tuple[Write, int]] = [
    (lambda client: client.create_integration(NewIntegration(name="Shop", connector_id="c-1")), 201),
    (lambda client: client.update_integration("1", IntegrationChange(stock_sync_enabled=False)), 200),
    (lambda client: client.delete_integration("1"), 204),
    (lambda client: client.execute_integration_action("1", "import", {"since": "2026-01-01"}), 202),
    (lambda client: client.sync_integration_orders("1"), 202),
    (lambda client: client.sync_integration_products("1"), 202),
    (lambda client: client.sync_integration_shipping_services("1"), 202),
    (lambda client: client.sync_integration_product_stocks("1"), 202),
    (
        lambda client: client.create_webhook(NewWebhook(event_code="order.created", endpoint="https://x", secret="s")),
        201,
    ),
    (lambda client: client.update_webhook("1", WebhookChange(enabled=False)), 200),
    (lambda client: client.create_purchase_order(NewPurchaseOrder(supplier_id="s", lines=[])), 201),
    (lambda client: client.create_purchase_order_line("1", LINE), 201),
    (lambda client: client.update_purchase_order_line("1", "2", PurchaseOrderLineChange(quantity_ordered=4)), 200),
    (lambda client: client.create_rule(NewRule(name="r", type="order")), 201),
    (lambda client: client.update_rule("1", RuleChange(enabled=False)), 200),
    (lambda client: client.delete_rule("1"), 204),
    (lambda client: client.create_rule_action("1", RuleAction(code="hold")), 201),
    (lambda client: client.update_rule_action("1", "2", RuleAction(code="hold", values={"a": 1})), 200),
    (lambda client: client.delete_rule_action("1", "2"), 204),
    (lambda client: client.create_rule_condition("1", RuleCondition(code="c", operator="eq", value="1")), 201),
    (lambda client: client.update_rule_condition("1", "2", RuleCondition(code="c", operator="eq", value="2")), 200),
    (lambda client: client.delete_rule_condition("1", "2"), 204),
]


@pytest.mark.parametrize(("write", "status"), PACK_WRITES)
async def test_every_write_to_pack_cloud_succeeds(accounts: Accounts, write: Write, status: int) -> None:
    written: WriteResult = await write(accounts.pick(PackCloud).client)
    assert written.http_status == status
    assert (written.id is not None) == (status in {200, 201})


async def test_pack_cloud_integrations_are_created_updated_and_deleted(accounts: Accounts) -> None:
    client: PackCloudClient = accounts.pick(PackCloud).client
    created = await client.create_integration(NewIntegration(name="Shop", connector_id="c-1"))
    assert created.id is not None
    await client.update_integration(created.id, IntegrationChange(name="Renamed"))
    shown = await client.get_integration(created.id)
    assert shown is not None
    assert (shown["name"], shown["connector_id"]) == ("Renamed", "c-1")
    await client.delete_integration(created.id)
    assert await client.get_integration(created.id) is None
    assert (await client.delete_integration(created.id)).http_status == 404, "gone already is as good"
    with pytest.raises(PermanentError) as raised:
        await client.update_integration(created.id, IntegrationChange(name="x"))
    assert raised.value.kind == "record_gone"
    assert raised.value.operation == "pack_cloud.integration.update"


async def test_a_customer_of_open_food_network_is_created_once_changed_and_deleted(accounts: Accounts) -> None:
    client: OpenFoodNetworkClient = accounts.pick(OpenFoodNetwork).client
    expected = OpenFoodNetworkCustomerInput(enterprise_id=2, email="Ann@Example.com", first_name="Ann", tags=["staff"])
    first, second = await client.create_customer(expected), await client.create_customer(expected)
    assert (first.http_status, second.http_status, first.id) == (201, 201, second.id)
    assert first.id is not None
    changed = await client.update_customer(
        first.id,
        OpenFoodNetworkCustomerInput(enterprise_id=2, email="ann@example.com", code="A1", billing_address=None),
    )
    assert changed.data is not None
    attributes = changed.data["attributes"]
    assert (attributes["first_name"], attributes["code"], attributes["tags"]) == ("Ann", "A1", ["staff"])
    assert attributes["email"] == "ann@example.com"
    assert (await client.delete_customer(first.id)).http_status == 200
    assert await client.get_customer(first.id) is None


async def test_a_422_to_a_write_to_open_food_network_is_permanent(
    accounts: Accounts,
) -> None:
    client: OpenFoodNetworkClient = accounts.pick(OpenFoodNetwork).client
    with pytest.raises(PermanentError) as raised:
        await client.create_customer(OpenFoodNetworkCustomerInput(enterprise_id=0, email=""))
    assert (raised.value.kind, raised.value.http_status) == ("platform_rejected", 422)
    assert "enterprise_id can't be blank; email can't be blank" in str(raised.value)
    accounts.box.sandbox.faults.add(Fault(match="/open_food_network", status=422))
    with pytest.raises(TransientError):
        await client.get_customer("1")


async def test_a_query_that_open_food_network_rejects_is_an_invalid_argument(accounts: Accounts) -> None:
    with pytest.raises(PermanentError) as raised:
        await READS["open_food_network"]["customer.list"].run(accounts.all["open_food_network"], {"page": "0"})
    assert (raised.value.kind, raised.value.http_status) == ("invalid_argument", 422)
    assert "expected :page >= 1" in str(raised.value)


@pytest.mark.parametrize(
    "place",
    [{"code": "AU"}, {"name": "Australia"}, {"code": "AU", "name": "Australia"}],
)
async def test_an_address_names_its_country_by_code_or_name(accounts: Accounts, place: dict[str, str]) -> None:
    write = WRITES["open_food_network"]["customer.update"]
    body = {"enterprise_id": 2, "email": "a@example.com", "shipping_address": {"country": place, "region": place}}
    written = await write.run(accounts.all["open_food_network"], {"customer": "1"}, msgspec.json.encode(body))
    assert written.data is not None
    assert written.data["attributes"]["shipping_address"]["country"] == place
    invalid = msgspec.json.encode(body | {"shipping_address": {"country": {}}})
    with pytest.raises(PermanentError) as raised:
        await write.run(accounts.all["open_food_network"], {"customer": "1"}, invalid)
    assert raised.value.kind == "invalid_argument"
    assert "needs a name or a code" in str(raised.value)


async def test_a_billing_address_is_sent_and_its_rejection_is_shown(accounts: Accounts) -> None:
    write = WRITES["open_food_network"]["customer.create"]
    body = {"enterprise_id": 2, "email": "a@example.com", "billing_address": {"locality": "Melbourne"}}
    with pytest.raises(PermanentError) as raised:
        await write.run(accounts.all["open_food_network"], {}, msgspec.json.encode(body))
    assert (raised.value.kind, raised.value.http_status) == ("platform_rejected", 422)
    assert "found unpermitted parameter: :billing_address" in str(raised.value)
    accepted = await write.run(
        accounts.all["open_food_network"], {}, msgspec.json.encode(body | {"billing_address": None})
    )
    assert accepted.http_status == 201


async def test_a_customer_of_pexip_engage_is_changed(accounts: Accounts) -> None:
    client: PexipEngageClient = accounts.pick(PexipEngage).client
    changed = await client.update_customer("1", PexipEngageCustomerChange(first_name="Ann", notes=None), CONTEXT)
    assert (changed.http_status, changed.id) == (200, "1")
    shown = await client.get_customer("1")
    assert shown is not None
    assert (shown["firstName"], shown["notes"]) == ("Ann", None)
    with pytest.raises(PermanentError) as raised:
        await client.update_customer("missing-1", PexipEngageCustomerChange(first_name="Ann"))
    assert raised.value.kind == "record_gone"


async def test_a_customer_of_flow_retail_is_created_changed_extended_and_deleted(accounts: Accounts) -> None:
    client: FlowRetailClient = accounts.pick(FlowRetail).client
    created = await client.create_customer(FlowCustomer(company_name="Eksempel AS", payment_terms=14))
    uid = created.id
    assert uid is not None
    await client.update_customer(uid, FlowCustomer(country_code="NO"))
    shown = await client.get_customer(uid)
    assert shown is not None
    assert (shown["companyName"], shown["countryCode"], shown["paymentTerms"]) == ("Eksempel AS", "NO", 14)
    extended = await client.add_extension(uid, "TWO_INVOICE", "org-1")
    assert extended.data is not None
    assert extended.data["extensions"] == [{"extensionCode": "TWO_INVOICE", "organizationUid": "org-1"}]
    assert (await client.delete_extension(uid, "TWO_INVOICE", "org-1")).http_status == 204
    found = await client.search_customers({"companyName": "Eksempel AS"})
    assert [item["customerUid"] for item in found.items] == [uid]
    assert (await client.list_customers("nobody", Paging(page_size=5))).items == ()
    assert (await client.delete_customer(uid)).http_status == 204
    assert await client.get_customer(uid) is None


async def test_every_documented_field_of_a_flow_retail_customer_can_be_written(accounts: Accounts) -> None:
    page = json.loads((SAMPLES / "flow_retail" / "customer.json").read_bytes())
    set_by_platform = {"customerUid", "createdAt", "lastModifiedAt", "extensions"}
    body = {name: value for name, value in page.items() if name not in set_by_platform}
    body["credit"] = {"limit": page["credit"]["limit"]}
    body["accountManager"] = {"tenantUserUid": page["accountManager"]["tenantUserUid"]}
    for items in (body["addresses"], body["contacts"], body["consents"]):
        for item in items:
            for name in ("createdAt", "lastModifiedAt", "extensions"):
                item.pop(name, None)
    platform = accounts.pick(FlowRetail)
    written = await WRITES["flow_retail"]["customer.create"].run(platform, {}, json.dumps(body).encode())
    assert written.id is not None
    shown = await platform.client.get_customer(written.id)
    assert shown is not None
    assert {name: shown[name] for name in body} == body
    body["addresses"][0]["cty"] = "Oslo"
    with pytest.raises(PermanentError, match=r"the body\.addresses\[0\]\.cty: unknown key\. Fix: did you mean city"):
        await WRITES["flow_retail"]["customer.update"].run(platform, {"customer": "1"}, json.dumps(body).encode())


async def test_an_unknown_extension_of_flow_retail_is_not_a_missing_customer(accounts: Accounts) -> None:
    client: FlowRetailClient = accounts.pick(FlowRetail).client
    uid = (await client.create_customer(FlowCustomer(email="a@example.com"))).id
    assert uid is not None
    for change in (client.add_extension, client.delete_extension):
        with pytest.raises(PermanentError, match="extension TWO_INVOCE with the organization org-1; check") as unknown:
            await change(uid, "TWO_INVOCE", "org-1")
        assert (unknown.value.kind, unknown.value.http_status) == ("invalid_argument", 404)
    await client.delete_customer(uid)
    for extension in ("TWO_INVOCE", "TWO_INVOICE"):
        with pytest.raises(PermanentError) as missing:
            await client.add_extension(uid, extension, "org-1")
        assert missing.value.kind == "record_gone"
        assert (await client.delete_extension(uid, extension, "org-1")).http_status == 404


async def test_lists_are_paged_to_their_end(accounts: Accounts) -> None:
    catalog = accounts.box.sandbox.catalog
    for number in range(60):
        at = f"2026-01-01T00:00:{number:02d}Z"
        catalog.put("pack_cloud", "purchase_order", f"p{number}", {"status": "ordered", "created_at": at})
        catalog.put("pexip_engage", "customer", str(number), {})
        catalog.put("open_food_network", "customer", str(number), {"attributes": {"enterprise_id": number % 2}})
    pack: PackCloudClient = accounts.pick(PackCloud).client
    page = await pack.list_purchase_orders(statuses=("ordered", "created"))
    ids = [item["id"] for item in page.items]
    while page.next:
        page = await pack.list_purchase_orders(statuses=("ordered", "created"), page=page.next)
        ids += [item["id"] for item in page.items]
    assert ids == [f"p{number}" for number in range(59, -1, -1)]
    engage: PexipEngageClient = accounts.pick(PexipEngage).client
    first = await engage.list_customers()
    assert (len(first.items), first.next, first.total) == (25, "25", 60)
    assert (await engage.list_customers(50)).next is None
    ofn: OpenFoodNetworkClient = accounts.pick(OpenFoodNetwork).client
    half = await ofn.list_customers("1", per_page=20)
    assert (len(half.items), half.next, half.total) == (20, "2", 30)
    assert (await ofn.list_customers("1", page=2, per_page=20)).next is None


@pytest.mark.parametrize(
    ("style", "asked"), [("repeated", "filter%5Bstatus%5D%5B%5D="), ("comma", "filter%5Bstatus%5D=")]
)
async def test_statuses_are_sent_in_the_configured_notation(box: SandboxHandle, style: str, asked: str) -> None:
    for number, status in enumerate(["created", "ordered", "completed", "canceled"]):
        box.sandbox.catalog.put("pack_cloud", "purchase_order", f"p{number}", {"status": status})
    account = {"kind": "pack_cloud", "organization_id": "o", "token": T, "status_filter": style}
    async with HttpClient(Settings()) as outbound:
        configs = platform_configs({"a": account | {"base_url": box.base_url("pack_cloud")}})
        platform = build_platforms(configs, {"T": box.token}, outbound)["a"]
        met = Fault(match=f"/pack_cloud/v1/organizations/o/purchase-orders?{asked}", times=9)
        box.sandbox.faults.add(met)
        listing = await platform.list_records("purchase_order", None, CONTEXT)
        assert [item.id for item in listing.items] == ["p0", "p1"]
        listing = await platform.list_records("purchase_order", listing.next, CONTEXT)
    assert [item.id for item in listing.items] == ["p2", "p3"]
    assert met.times == 7, "both phases were asked for so"


async def test_an_ignored_status_filter_leaves_closed_orders_unwatched(accounts: Accounts) -> None:
    shown = [{"id": str(number), "status": status} for number, status in enumerate(["ordered", "completed", "new-one"])]
    accounts.box.sandbox.faults.add(Fault(match="/pack_cloud", status=200, body=msgspec.json.encode(shown).decode()))
    listing = await accounts.pick(PackCloud).list_records("purchase_order", None, CONTEXT)
    assert [item.watched for item in listing.items] == [True, False, True]


@pytest.mark.parametrize("body", ["{}", "[1]", '{"data": {}}', '{"items": {}}', "null"])
async def test_a_response_that_is_not_a_list_has_a_wrong_envelope(accounts: Accounts, body: str) -> None:
    for platform, operation in [
        ("pack_cloud", "rule.list"),
        ("pexip_engage", "customer.list"),
        ("open_food_network", "customer.list"),
        ("flow_retail", "customer.list"),
    ]:
        if (platform, body) == ("pack_cloud", "[1]"):
            continue
        await READS[platform][operation].run(accounts.all[platform], {})
        accounts.box.sandbox.faults.add(Fault(match=f"/{platform}", status=200, body=body))
        with pytest.raises(TransientError) as raised:
            await READS[platform][operation].run(accounts.all[platform], {})
        assert raised.value.kind == "platform_wrong_envelope"


async def test_a_successful_write_needs_no_readable_body(accounts: Accounts) -> None:
    client: PackCloudClient = accounts.pick(PackCloud).client
    for body in ("", "<html>ok", "[1]", '{"half": '):
        accounts.box.sandbox.faults.add(Fault(match="/pack_cloud", status=200, body=body))
        written = await client.sync_integration_orders("1")
        assert (written.http_status, written.id, written.data) == (200, None, None)


def flow(paths: dict[str, str]) -> dict[str, PlatformConfig]:
    raw = {"flow": {"kind": "flow_retail", "tenant_uid": "7", "token": T, "paths": paths}}
    return platform_configs(raw)


async def test_an_undocumented_path_can_be_overridden_with_its_method(box: SandboxHandle) -> None:
    async with HttpClient(Settings()) as outbound:
        configs = flow({"customer.update": "PATCH /_sandbox/sink/{tenant}/people/{customer}"})
        configs["flow"] = msgspec.structs.replace(configs["flow"], base_url=box.url)
        platform = build_platforms(configs, {"T": "t"}, outbound)["flow"]
        assert isinstance(platform, FlowRetail)
        await platform.client.update_customer("a/b", FlowCustomer(city="Oslo"), CallContext("e", "00-trace-01"))
    (request,) = box.sandbox.sink.requests
    assert (request.method, request.path, request.body) == (
        "PATCH",
        "/_sandbox/sink/7/people/a%2Fb",
        '{"city":"Oslo"}',
    )
    assert request.headers["traceparent"] == "00-trace-01"
    assert request.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("paths", "reason"),
    [
        ({"customer.list": "/tenants/{tenant}/people"}, "documented"),
        ({"customer.lost": "/tenants/{tenant}/people"}, "no such operation"),
        ({"customer.get": "/tenants/{tenant}/people"}, "no path for it"),
        ({"customer.get": "/tenants/{tenant}/people/{customer}/{colour}"}, "no path for it"),
    ],
)
async def test_an_invalid_path_override_raises_config_error(paths: dict[str, str], reason: str) -> None:
    async with HttpClient(Settings()) as outbound:
        with pytest.raises(ConfigError) as raised:
            build_platforms(flow(paths), {"T": "t"}, outbound)
    assert reason in raised.value.reason
    assert raised.value.path.startswith("platforms.flow.paths.")


async def test_a_missing_store_uid_is_reported(box: SandboxHandle) -> None:
    async with HttpClient(Settings()) as outbound:
        platform = build_platforms(flow({}), {"T": box.token}, outbound)["flow"]
        with pytest.raises(PermanentError) as raised:
            await READS["flow_retail"]["purchase_order.list"].run(platform, {})
    assert raised.value.kind == "not_configured"
