"""Open Food Network's client and our stand-in for it, both against each OpenAPI document there is, and Prism."""

from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from service.errors import PermanentError, TransientError
from service.events import RecordRef
from service.http_client import HttpClient
from service.platforms import CallContext
from service.platforms.kind import ConnectorDependencies
from service.platforms.open_food_network.client import CustomerAddress, OpenFoodNetworkCustomerInput, Place
from service.platforms.open_food_network.config import OpenFoodNetworkConfig
from service.platforms.open_food_network.connector import OpenFoodNetwork
from service.records import Address, Customer
from service.sandbox.server import SandboxHandle, running_sandbox
from service.secrets import SecretRef
from service.settings import Settings

from .documents import DOCUMENTS, OURS, Document
from .prism import mocked

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parents[1] / "samples" / "open_food_network"
CONTEXT = CallContext("e" * 32)
FULL = OpenFoodNetworkCustomerInput(
    enterprise_id=2,
    email="ann@example.com",
    first_name="Ann",
    last_name=None,
    code="A1",
    tags=["staff"],
    billing_address=None,
    shipping_address=CustomerAddress(locality="Melbourne", country=Place(name="Australia", code="AU")),
)
ONE, MANY = "/api/v1/customers/{id}", "/api/v1/customers"


@pytest.fixture(scope="module", params=DOCUMENTS)
def document(request: pytest.FixtureRequest) -> Document:
    return DOCUMENTS[request.param]


@pytest.fixture(scope="module")
def mock(document: Document) -> Iterator[str]:
    with mocked(document.path) as url:
        yield url


@pytest.fixture
async def outbound() -> AsyncIterator[HttpClient]:
    async with HttpClient(Settings(fetch_timeout_seconds=60)) as client:
        yield client


@pytest.fixture
async def box() -> AsyncIterator[SandboxHandle]:
    async with running_sandbox() as handle:
        yield handle


def on(url: str, outbound: HttpClient, token: str = "key") -> OpenFoodNetwork:
    config = OpenFoodNetworkConfig(base_url=url, token=SecretRef(env="TOKEN"))
    return OpenFoodNetwork("ofn", config, ConnectorDependencies(outbound, {"TOKEN": token}))


@pytest.mark.timeout(360)  # the mock server is installed first where it is not there yet
async def test_a_customer_is_read_from_the_mock(mock: str, outbound: HttpClient) -> None:
    fetched = await on(mock, outbound).fetch(RecordRef("ofn", "customer", "1"), CONTEXT)
    assert isinstance(fetched.record, Customer)
    assert (fetched.record.id, fetched.record.reference) == ("1", "BUYER1")
    assert isinstance(fetched.record.shipping_address, Address)


async def test_the_list_is_requested_and_read_as_documented(
    mock: str, document: Document, outbound: HttpClient
) -> None:
    platform = on(mock, outbound)
    listing = await platform.list_records("customer", None, CONTEXT)
    assert [item.id for item in listing.items] == ["1"]
    pages = document.answered(document.operations()[MANY, "get"], "200")
    assert pages[".meta.pagination.pages"] == "integer"
    assert listing.next == (None if document is OURS else "2"), "the example's number of pages is what counts"
    page = await platform.client.list_customers("2", extra_fields="balance")
    assert isinstance(page.items[0]["attributes"]["balance"], int | Decimal)


async def test_the_client_writes_documented_bodies(mock: str, outbound: HttpClient) -> None:
    client = on(mock, outbound).client
    assert (await client.create_customer(FULL)).http_status == 201
    assert (
        await client.create_customer(OpenFoodNetworkCustomerInput(enterprise_id=2, email="a@example.com"))
    ).id == "1"
    assert (await client.update_customer("1", FULL)).http_status == 200
    assert (await client.delete_customer("1")).http_status == 200


async def test_the_mock_rejects_undocumented_bodies(mock: str, document: Document, outbound: HttpClient) -> None:
    client = on(mock, outbound).client

    class Nameless(OpenFoodNetworkCustomerInput, frozen=True, kw_only=True, omit_defaults=True):
        email: str = ""

    with pytest.raises(PermanentError) as rejected:
        await client.create_customer(Nameless(enterprise_id=2))
    assert rejected.value.http_status == 422
    if not document.strict:
        return
    with pytest.raises(TransientError) as raised:
        await client.list_customers(per_page=500)
    assert raised.value.http_status == 422

    class Wider(OpenFoodNetworkCustomerInput, frozen=True, kw_only=True):
        allow_charges: bool

    with pytest.raises(PermanentError) as rejected:
        await client.create_customer(Wider(enterprise_id=2, email="a@example.com", allow_charges=True))
    assert rejected.value.http_status == 422


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("customer*.json")), ids=lambda path: path.stem)
def test_samples_match_the_document(document: Document, sample: Path) -> None:
    document.hold(ONE, "get", 200, msgspec.json.decode(sample.read_bytes()))


async def test_the_sandbox_answers_as_documented(box: SandboxHandle, outbound: HttpClient, document: Document) -> None:
    async def call(method: str, path: str, body: object = None, key: str = box.token) -> tuple[int, Any]:
        url = box.base_url("open_food_network") + path
        data = None if body is None else msgspec.json.encode(body)
        answer = await outbound.request(
            method, url, headers={"X-Api-Token": key}, body=data, seconds_max=5, bytes_max=1_000_000, guarded=False
        )
        return answer.status, msgspec.json.decode(answer.body)

    calls = [
        (MANY, "get", await call("GET", MANY)),
        (MANY, "get", await call("GET", f"{MANY}?page=9&per_page=2")),
        (MANY, "get", await call("GET", f"{MANY}?extra_fields[customer]=balance")),
        (MANY, "get", await call("GET", f"{MANY}?page=0")),
        (MANY, "get", await call("GET", MANY, key="wrong")),
        (ONE, "get", await call("GET", f"{MANY}/1")),
        (ONE, "get", await call("GET", f"{MANY}/missing-1")),
        (MANY, "post", await call("POST", MANY, FULL)),
        (MANY, "post", await call("POST", MANY, {"enterprise_id": 2, "email": "new@example.com"})),
        (MANY, "post", await call("POST", MANY, {"enterprise_id": 2})),
        (MANY, "post", await call("POST", MANY, {"enterprise_id": 2, "email": "x", "allow_charges": True})),
        (ONE, "put", await call("PUT", f"{MANY}/1", FULL)),
        (ONE, "put", await call("PUT", f"{MANY}/missing-1", FULL)),
        (ONE, "delete", await call("DELETE", f"{MANY}/1")),
        (ONE, "delete", await call("DELETE", f"{MANY}/1")),
    ]
    statuses = [status for _, _, (status, _) in calls]
    assert statuses == [200, 200, 200, 422, 401, 200, 404, 201, 201, 422, 422, 200, 404, 200, 404]
    for path, method, (status, body) in calls:
        document.hold(path, method, status, body)


async def test_the_client_reads_sandbox_and_mock_alike(mock: str, box: SandboxHandle, outbound: HttpClient) -> None:
    for url, token in ((mock, "key"), (box.base_url("open_food_network"), box.token)):
        platform = on(url, outbound, token)
        created = await platform.client.create_customer(FULL)
        assert created.http_status == 201
        assert created.id is not None
        assert created.data is not None
        assert created.data["type"] == "customer"
        assert "balance" not in created.data["attributes"]
        fetched = await platform.fetch(RecordRef("ofn", "customer", created.id), CONTEXT)
        assert isinstance(fetched.raw["attributes"]["balance"], int | Decimal)
        (customer, *_) = (await platform.client.list_customers(extra_fields="balance")).items
        assert isinstance(customer["attributes"]["balance"], int | Decimal)
