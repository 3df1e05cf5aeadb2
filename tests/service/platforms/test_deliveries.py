"""What each platform's deliveries say, fact by fact. No network."""

import contextlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.config.auth import NoAuth
from service.errors import Rejection
from service.events import Delivery, Fact, RecordRef
from service.http_client import HttpClient
from service.platforms import Platform
from service.platforms.custom.config import CustomConfig
from service.platforms.custom.connector import Custom
from service.platforms.flow_retail.config import FlowRetailConfig
from service.platforms.flow_retail.connector import FlowRetail
from service.platforms.kind import ConnectorDependencies
from service.platforms.open_food_network.config import OpenFoodNetworkConfig
from service.platforms.open_food_network.connector import OpenFoodNetwork
from service.platforms.pack_cloud.config import PackCloudConfig
from service.platforms.pack_cloud.connector import PackCloud
from service.platforms.pexip_engage.config import PexipEngageConfig
from service.platforms.pexip_engage.connector import PexipEngage
from service.secrets import SecretRef

TOKEN = SecretRef(env="TOKEN")
SAMPLES = Path(__file__).parents[2] / "samples"
ORGANIZATION = "3f0d3c2e-8a51-4c3b-9d5a-6f1f2e7c9b10"


@pytest.fixture
def platforms(outbound: HttpClient) -> dict[str, Platform]:
    return made(outbound)


def made(outbound: HttpClient) -> dict[str, Platform]:
    resources = ConnectorDependencies(outbound, {"TOKEN": "t"})
    return {
        "pack_cloud": PackCloud("acct", PackCloudConfig(organization_id=ORGANIZATION, token=TOKEN), resources),
        "pexip_engage": PexipEngage(
            "acct", PexipEngageConfig(enterprise="acme", client_id=TOKEN, client_secret=TOKEN), resources
        ),
        "open_food_network": OpenFoodNetwork(
            "acct", OpenFoodNetworkConfig(base_url="https://ofn.example.org", token=TOKEN), resources
        ),
        "flow_retail": FlowRetail("acct", FlowRetailConfig(tenant_uid="7", store_uid="70", token=TOKEN), resources),
    }


def delivery(body: object) -> Delivery:
    return Delivery("src", {}, body if isinstance(body, bytes) else msgspec.json.encode(body), 0.0)


def ref(kind: str, record_id: str) -> RecordRef:
    return RecordRef("acct", kind, record_id)


FACTS = {
    "pack_cloud/delivery.order_created": Fact(
        "order.created", None, "changed", ref("order", "0d000000-0000-4000-8000-000000000001")
    ),
    "pack_cloud/delivery.purchase_order_updated": Fact(
        "purchase_order.updated",
        "evt-0001",
        "updated",
        ref("purchase_order", "5a7d2f90-3c11-4e0a-9c77-2b6f0d1e8a01"),
        "2024-08-02T09:15:00.000000Z",
    ),
    "pack_cloud/delivery.customer_deleted": Fact(
        "customer.deleted", None, "deleted", ref("customer", "0b8c1a54-7f0e-4a65-8f3c-1d2a9b7e4c01")
    ),
    "pexip_engage/delivery.ping": Fact(
        "Ping", "b5b1a1d0-0000-4000-8000-000000000001", correlation_id="a4f0048e-c983-11ed-afa1-0242ac120002"
    ),
    "pexip_engage/delivery.appointment_create": Fact(
        "Appointment.CREATE",
        "b5b1a1d0-0000-4000-8000-000000000002",
        "changed",
        ref("appointment", "1234"),
        "2024-05-04T09:42:00+00:00",
        correlation_id="a4f0048e-c983-11ed-afa1-0242ac120003",
    ),
    "open_food_network/delivery.payment_completed": Fact(
        "payment.completed",
        "6a1f3a2e-5d7b-4a53-8b8e-2d1c0b9a8f77",
        "changed",
        ref("order", "R555555555"),
        "2025-11-28 09:00:00 +1100",
    ),
    "open_food_network/delivery.payment_test": Fact(
        "payment.completed", "6a1f3a2e-5d7b-4a53-8b8e-2d1c0b9a8f78", occurred_at="2025-11-28 09:00:00 +1100"
    ),
    "open_food_network/delivery.order_cycle": Fact(
        "order_cycle.opened", "374e0a40-f1d4-410c-9dc3-965baddde66b", occurred_at="2023-02-07 17:12:45 +1100"
    ),
    "flow_retail/delivery.customer_create": Fact("CUSTOMER_CREATE", None, "created", ref("customer", "1000")),
    "flow_retail/delivery.customer_update": Fact("CUSTOMER_UPDATE", None, "updated", ref("customer", "1000")),
    "flow_retail/delivery.customer_delete": Fact("CUSTOMER_DELETE", None, "deleted", ref("customer", "1000")),
    "flow_retail/delivery.purchase_received": Fact(
        "PURCHASE_RECEIVED", None, "updated", ref("purchase_order", "po-501")
    ),
    "flow_retail/delivery.order_settled": Fact("ORDER_SETTLED"),
    "flow_retail/delivery.order_handling": Fact("ORDER_HANDLING_STATE_CHANGED"),
}

REFUSED: list[tuple[str, object]] = [
    ("pack_cloud", {"event_code": "customer.updated", "data": {}}),
    ("pack_cloud", {"event_code": "customer.updated", "data": {"id": ""}}),
    ("pack_cloud", {"event_code": "customer.updated", "data": {"id": "a\nb"}}),
    ("pack_cloud", {"event_code": "customer.updated", "data": {"id": "x" * 256}}),
    ("pack_cloud", {"event_code": "customer.updated", "data": {"id": ["x"]}}),
    ("pack_cloud", {"event_code": "customer.updated", "organization_id": "other", "data": {"id": "1"}}),
    ("pack_cloud", {"event_code": "customer.updated", "organization_id": [ORGANIZATION], "data": {"id": "1"}}),
    ("pack_cloud", {"event_code": "customer.updated", "organization_id": {}, "data": {"id": "1"}}),
    ("pack_cloud", {"event_code": None, "data": {"id": "1"}}),
    ("pexip_engage", {"entity": "Appointment", "id": "1"}),
    ("pexip_engage", {"entity": "Appointment", "id": "1", "data": {"eventType": "CREATE"}}),
    ("pexip_engage", {"entity": "Appointment", "id": "1", "data": {"appointment": {}}}),
    ("pexip_engage", {"id": "1", "data": {}}),
    ("open_food_network", {"id": "1", "data": {}}),
    ("open_food_network", {"id": "1", "event": "payment.completed", "data": {"order": {"number": ""}}}),
    ("flow_retail", {"action": "CUSTOMER_UPDATE", "tenant": {"Id": 7, "Uid": "7"}}),
    ("flow_retail", {"action": "CUSTOMER_UPDATE", "tenant": {"Uid": "7"}, "customer": {"Id": 32}}),
    ("flow_retail", {"action": "CUSTOMER_UPDATE", "tenant": {"Uid": "8"}, "customer": {"Uid": "1000"}}),
    ("flow_retail", {"tenant": {"Uid": "7"}}),
]


@pytest.mark.parametrize(("platform", "body"), REFUSED)
def test_an_event_without_a_record_id_is_rejected(platforms: dict[str, Platform], platform: str, body: object) -> None:
    with pytest.raises(Rejection) as raised:
        platforms[platform].read(delivery(body))
    assert (raised.value.status, raised.value.code) == (422, "unrecognized_event")


PLACES: list[tuple[str, object, str]] = [
    ("pack_cloud", {"event_code": "customer.updated", "data": {}}, "/data/id"),
    ("pack_cloud", {"event_code": "customer.updated", "data": {"id": ["x"]}}, "/data/id: Expected"),
    ("pack_cloud", {"event_code": None}, "/event_code: Expected `str`, got `null`"),
    ("pack_cloud", [], "the whole: Expected `object`, got `array`"),
    ("pexip_engage", {"entity": "Appointment"}, "/data/appointment/id"),
    ("pexip_engage", {"entity": "Callback Request", "data": {}}, "/data/callbackRequest/id"),
    ("pexip_engage", {}, "the whole: Object missing required field `entity`"),
    ("open_food_network", {"event": "payment.x", "data": {"order": {"number": ""}}}, "/data/order/number"),
    ("flow_retail", {"action": "CUSTOMER_UPDATE", "customer": {"Id": 32}}, "/customer/Uid"),
    ("flow_retail", {"action": "PURCHASE_RECEIVED"}, "/purchaseOrder/Uid"),
]


@pytest.mark.parametrize(("platform", "body", "place"), PLACES)
def test_a_rejection_names_the_path_and_no_value(
    platforms: dict[str, Platform], platform: str, body: object, place: str
) -> None:
    with pytest.raises(Rejection) as raised:
        platforms[platform].read(delivery(body))
    assert place in raised.value.detail
    assert raised.value.detail[0].isupper()
    assert raised.value.detail.endswith(".")


KEYS = [
    *("event_code", "id", "data", "occurred_at", "organization_id", "updated_at"),
    *("entity", "eventType", "appointment", "callbackRequest"),
    *("event", "at", "order", "number", "enterprise", "name"),
    *("action", "tenant", "store", "customer", "purchaseOrder", "Uid", "Id"),
]
WORDS = ["customer.updated", "orders.x", "Appointment", "Callback Request", "payment.done", "CUSTOMER_UPDATE",
         "PURCHASE_RECEIVED", ORGANIZATION, "7", "70", "R555555555"]  # fmt: skip
ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from(WORDS)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=12,
)


@given(body=st.dictionaries(st.sampled_from(KEYS), ODD, max_size=8))
def test_arbitrary_values_of_known_fields_raise_only_rejections(
    body: dict[str, object],
) -> None:
    outbound: Any = None  # reading asks no network
    for platform in made(outbound).values():
        with contextlib.suppress(Rejection):
            assert len(platform.read(delivery(body))) == 1


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"event_code": "\xff"}', b"[" * 100_000])
@pytest.mark.parametrize("platform", ["pack_cloud", "pexip_engage", "open_food_network", "flow_retail"])
def test_a_body_that_is_not_json_is_rejected(platforms: dict[str, Platform], platform: str, body: bytes) -> None:
    with pytest.raises(Rejection) as raised:
        platforms[platform].read(delivery(body))
    assert raised.value.status in {400, 422}


def test_a_custom_platform_has_no_envelope_of_its_own(outbound: HttpClient) -> None:
    platform = Custom(
        "erp",
        CustomConfig(base_url="https://erp.example", auth=NoAuth(), records={}),
        ConnectorDependencies(outbound, {}),
    )
    with pytest.raises(Rejection) as raised:
        platform.read(delivery({"id": "1"}))
    assert raised.value.code == "unrecognized_event"


@pytest.mark.parametrize("name", FACTS)
def test_a_sample_delivery_becomes_the_expected_facts(platforms: dict[str, Platform], name: str) -> None:
    body = (SAMPLES / f"{name}.json").read_bytes()
    assert platforms[name.split("/", maxsplit=1)[0]].read(delivery(body)) == (FACTS[name],)


@pytest.mark.parametrize(
    ("platform", "body", "kind"),
    [
        ("pack_cloud", {"event_code": "return_request.created", "data": {"id": "1"}}, "return_request.created"),
        ("pack_cloud", {"event_code": "whatever"}, "whatever"),
        ("pexip_engage", {"entity": "Lead Segment", "id": "1", "data": {}}, "Lead Segment"),
        ("open_food_network", {"event": "order_cycle.closed", "id": "1"}, "order_cycle.closed"),
        ("open_food_network", {"event": "payment.void", "id": "1", "data": {"order": {}}}, "payment.void"),
        ("flow_retail", {"action": "TILL_OPEN", "tenant": {"Uid": "7"}}, "TILL_OPEN"),
        (
            "flow_retail",
            {"action": "PURCHASE_RECEIVED", "store": {"Uid": "71"}, "purchaseOrder": {"Uid": "p"}},
            "PURCHASE_RECEIVED",
        ),
    ],
)
def test_an_unknown_event_type_is_a_fact_without_a_record(
    platforms: dict[str, Platform], platform: str, body: object, kind: str
) -> None:
    (fact,) = platforms[platform].read(delivery(body))
    assert (fact.type, fact.record) == (kind, None)


def test_pack_cloud_accepts_plural_event_codes(platforms: dict[str, Platform]) -> None:
    (fact,) = platforms["pack_cloud"].read(delivery({"event_code": "orders.created", "data": {"id": 7}}))
    assert (fact.type, fact.record) == ("orders.created", ref("order", "7"))


def test_an_invalid_event_id_is_left_out(platforms: dict[str, Platform]) -> None:
    for event_id, read in (("", None), ("x" * 256, None), (5, "5")):
        body = {"event_code": "customer.created", "id": event_id, "data": {"id": "1"}}
        (fact,) = platforms["pack_cloud"].read(delivery(body))
        assert (fact.id, fact.change) == (read, "created")


def test_an_unknown_event_type_may_have_any_id(platforms: dict[str, Platform]) -> None:
    """The answer to it is `ignored`, so nothing of it has to be fit for a key."""
    for event_id in (None, "", "a\nb", "x" * 3_000):
        (fact,) = platforms["pack_cloud"].read(delivery({"event_code": "shipment.created", "id": event_id}))
        assert (fact.type, fact.id) == ("shipment.created", None)


def test_a_callback_request_is_a_hint_as_an_appointment_is(platforms: dict[str, Platform]) -> None:
    body = {"entity": "Callback Request", "id": "1", "data": {"eventType": "UPDATE", "callbackRequest": {"id": 5}}}
    (fact,) = platforms["pexip_engage"].read(delivery(body))
    assert (fact.type, fact.record) == ("Callback Request.UPDATE", ref("callback_request", "5"))


def test_a_tenant_without_a_store_has_no_purchase_orders(outbound: HttpClient) -> None:
    platform = FlowRetail(
        "acct", FlowRetailConfig(tenant_uid="7", token=TOKEN), ConnectorDependencies(outbound, {"TOKEN": "t"})
    )
    body = (SAMPLES / "flow_retail" / "delivery.purchase_received.json").read_bytes()
    assert platform.read(delivery(body)) == (Fact("PURCHASE_RECEIVED"),)
