"""Typed readers return what the other readers return, or leave the response to them."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.errors import PermanentError
from service.platforms.api.decoding import decode_body, digest_of
from service.platforms.api.pointer_map import RecordReader
from service.platforms.api.responses import PlatformResponse, TypedReader
from service.platforms.base import FetchedRecord
from service.platforms.built_in_connector import BuiltInConnector
from service.platforms.flow_retail.connector import FlowRetail
from service.platforms.open_food_network.connector import OpenFoodNetwork
from service.platforms.pack_cloud.connector import PackCloud
from service.platforms.pack_cloud.records import read_customer, read_purchase_order
from service.platforms.pack_cloud.typed_records import read_typed_customer, read_typed_purchase_order
from service.platforms.pexip_engage.connector import PexipEngage
from tests.bench.material import order_json

SAMPLES = Path(__file__).parents[2] / "samples"
CONNECTORS: list[type[BuiltInConnector]] = [FlowRetail, OpenFoodNetwork, PackCloud, PexipEngage]
TYPED = [(connector, kind) for connector in CONNECTORS for kind in connector.typed_readers]


def check_equal(body: bytes, read_typed: TypedReader, read: RecordReader) -> bool:
    """Check that both readers agree. Return False if the typed one leaves the response to the other."""
    typed = read_typed(body)
    if typed is None:
        return False
    state, record, modified = read(PlatformResponse(200, decode_body(body, 200), 1.0))
    # The text distinguishes 1.0 from 1, and Decimal("12.50") from Decimal("12.5").
    assert repr(typed.record) == repr(record)
    assert typed.modified == modified
    assert digest_of(state)
    return True


@pytest.mark.parametrize(("connector", "kind"), TYPED)
def test_samples_are_read_equally(connector: type[BuiltInConnector], kind: str) -> None:
    name = connector.__module__.split(".")[-2]
    samples = [path.read_bytes() for path in sorted((SAMPLES / name).glob(f"{kind}*.json"))]
    read = [check_equal(body, connector.typed_readers[kind], connector.readers[kind]) for body in samples]
    assert any(read)


def test_usual_order_needs_no_plain_json() -> None:
    assert check_equal(order_json("po"), read_typed_purchase_order, read_purchase_order)


NUMBERS = [
    "0", "-0", "1", "1.0", "0.1", "12.50", "1e3", "1E-3", "-7", "12345678901234567890123456789012345678",
    "0.12345678901234567890123456789012345678", "1e64", "1e65", "1e999999999", "18446744073709551616",
]  # fmt: skip
TEXTS = [
    '""', '"12.50"', '"0.1"', '" 1.5 "', '"1_0"', '"1e3"', '"1e999999999"', '"NaN"', '"Infinity"', '"eur"', '"EUR"',
    '"\\ud83d\\ude00"', '"é"', '"\\ud800"', '"2026-03-02T10:00:00Z"', '"2026-03-02"', '"\\u0661"',
]  # fmt: skip
OTHERS = [
    "null",
    "true",
    "[]",
    "{}",
    '{"id": 1}',
    '{"code": "a", "name": null}',
    '{"value": "1.50", "currency": "EUR"}',
]
values = st.one_of(*map(st.sampled_from, (NUMBERS, TEXTS, OTHERS)))
prices = st.one_of(values, st.builds('{{"value": {}, "currency": {}}}'.format, values, st.sampled_from(TEXTS)))


def members(names: str, values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.lists(st.tuples(st.sampled_from(names.split()), values), max_size=5)
    return pairs.map(lambda found: "{" + ", ".join(f'"{name}": {value}' for name, value in found) + "}")


lines = members("id product_id product price quantity_ordered quantity_received other", prices)
lists = st.lists(st.one_of(lines, lines, lines, values), max_size=3).map(lambda found: f"[{', '.join(found)}]")
orders = members(
    "reference status supplier supplier_id lines lines created_at updated_at data other", st.one_of(values, lists)
)


@given(orders, st.sampled_from(['"po"', '"po"', "7", "null", '""']))
@example('{"other": "\\ud800"}', '"po"')
@example('{"lines": [{"price": {"value": "NaN", "currency": "EUR"}}]}', '"po"')
@example('{"lines": [{"price": {"value": 1e999999999, "currency": "EUR"}}]}', '"po"')
@example('{"lines": [{"quantity_ordered": 1.0}]}', '"po"')
def test_any_order_is_read_equally_or_left(members: str, own_id: str) -> None:
    body = f'{{"id": {own_id}{", " if len(members) > 2 else ""}{members[1:]}'.encode()
    check_equal(body, read_typed_purchase_order, read_purchase_order)


addresses = st.one_of(
    members("company_name name address house_number city email phone vat updated_at other", values), values
)
customers = members(
    "reference billing_address billing_address shipping_address shipping_address recipient_address orders_count data",
    addresses,
)


@given(customers, st.sampled_from(['"c1"', '"c1"', "7", "null", '""']))
@example('{"billing_address": {}, "shipping_address": null}', '"c1"')
@example('{"recipient_address": {"city": "Oslo"}}', '"c1"')
def test_any_customer_is_read_equally_or_left(members: str, own_id: str) -> None:
    body = f'{{"id": {own_id}{", " if len(members) > 2 else ""}{members[1:]}'.encode()
    check_equal(body, read_typed_customer, read_customer)


usual = st.one_of(*[st.sampled_from([*TEXTS, "null"])] * 4, values)
translated = st.one_of(members("value value language", usual), usual)
locations = members("street1 street1 city postalCode countryCode other", translated)
pexip_customers = members(
    "customerNumber company firstName email language location location createdAt updatedAt deletedAt other",
    st.one_of(usual, locations),
)
coded = st.one_of(members("code code name", usual), usual)
ofn_addresses = members("first_name last_name street_address_1 locality region country phone other", coded)
ofn_attributes = members(
    "code first_name email tags tags billing_address shipping_address shipping_address other",
    st.one_of(usual, ofn_addresses, st.sampled_from(['["a", "b"]', '["a", 1, null]', '["a", {}]'])),
)
ofn_customers = members("attributes attributes type", st.one_of(ofn_attributes, ofn_attributes, usual))
envelopes = st.sampled_from(
    [*['{{"data": {}}}'] * 6, '{{"data": null, "data": {}}}', '{{"data": {}, "meta": 1}}', "{}"]
)
customer_bodies = st.one_of(
    st.tuples(st.just(PexipEngage), pexip_customers), st.tuples(st.just(OpenFoodNetwork), ofn_customers)
)


@given(customer_bodies, st.sampled_from([*['"c1"'] * 6, "7", "null", '""']), envelopes)
@example((PexipEngage, '{"location": {"street1": null, "city": {"value": 1}}}'), '"c1"', '{{"data": {}}}')
@example((PexipEngage, '{"updatedAt": 20260302}'), '"c1"', '{{"data": {}}}')
@example((OpenFoodNetwork, '{"attributes": {"shipping_address": {"region": {}}}}'), '"c1"', '{{"data": {}}}')
@example((OpenFoodNetwork, '{"attributes": null}'), '"c1"', '{{"data": {}}}')
def test_any_customer_in_an_envelope_is_read_equally_or_left(
    customer: tuple[type[BuiltInConnector], str], own_id: str, envelope: str
) -> None:
    connector, members = customer
    body = envelope.format(f'{{"id": {own_id}{", " if len(members) > 2 else ""}{members[1:]}').encode()
    if check_equal(body, connector.typed_readers["customer"], connector.readers["customer"]):
        assert list(decode_body(body, 200)) == ["data"]  # so that the digest covers the customer alone


@pytest.mark.parametrize("price", ['{"value": "NaN", "currency": "EUR"}', '{"value": 1e999999999, "currency": "EUR"}'])
def test_number_that_is_no_amount_is_left(price: str) -> None:
    assert read_typed_purchase_order(f'{{"id": "po", "lines": [{{"price": {price}}}]}}'.encode()) is None


@pytest.mark.parametrize("body", [b'{"id": "po", "other": "\xff"}', b'{"id": "po"', b"", b"<html>", b'{"id": "po"} x'])
def test_bytes_that_are_no_json_are_left(body: bytes) -> None:
    assert read_typed_purchase_order(body) is None


def test_order_without_an_id_is_left() -> None:
    assert read_typed_purchase_order(b'{"reference": "a"}') is None
    with pytest.raises(PermanentError):
        read_purchase_order(PlatformResponse(200, {"reference": "a"}, 1.0))


def test_number_with_an_exponent_beyond_decimal_is_left() -> None:
    body = b'{"id": "po", "lines": [{"quantity_ordered": 1e99999999999999999999}]}'
    assert read_typed_purchase_order(body) is None


def test_digest_of_a_state_is_computed_once() -> None:
    fetched = FetchedRecord(None, {"id": "po"}, None, None, 200, "pack_cloud.purchase_order.get", 1.0)
    digest = fetched.digest
    assert digest == digest_of({"id": "po"})
    assert fetched.digest is digest
