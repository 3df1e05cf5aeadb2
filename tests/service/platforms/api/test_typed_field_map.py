"""A field map reads the bytes of a response as it reads their plain JSON, or leaves them to it."""

from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.bodies.pointers import parse_pointer, resolve_pointer
from service.config.record_maps import FieldPointers
from service.platforms.api.decoding import decode_body
from service.platforms.api.field_map import FieldMap
from service.records import Customer, PurchaseOrder
from tests.service.platforms.test_typed_records import OTHERS, members, values

ORDERS: list[dict[str, Any]] = [
    {},
    {
        "currency": "/currency", "reference": "/number", "status": "/state/name", "supplier.name": "/vendor/name",
        "lines": "/rows", "lines.product_code": "/product/code", "lines.price": "/cost", "lines.quantity_ordered": "/n",
        "updated_at": {"pointer": "/number", "as": "epoch_s"},
    },
    {
        "currency": {"pointer": "/currency", "default": "EUR"}, "lines": "/rows",
        "lines.price": {"pointer": "/cost", "scale": 100, "default": "1"},
        "status": {"pointer": "/state", "default": "a"},
        "lines.quantity_ordered": {"pointer": "/n", "scale": 10},
    },
    {
        "lines": "/state/rows", "lines.price.value": "/cost", "lines.price.currency": "/product/code",
        "total": {"pointer": "/number", "currency": "NOK"}, "reference": "/state/name",
    },
    {"lines": "/rows", "lines.price": {"pointer": "/cost", "currency": "/product/code"}, "supplier": "/state"},
]  # fmt: skip
CUSTOMERS: list[dict[str, Any]] = [
    {"tags": "/rows", "balance": "/cost", "billing_address.city": "/state/name", "created_at": "/number"},
]

inner = st.one_of(values, members("name code value currency", values))
rows = members("cost n product quantity_received id", st.one_of(inner, st.sampled_from(OTHERS)))
lists = st.lists(st.one_of(rows, rows, values), max_size=3).map(lambda found: f"[{', '.join(found)}]")
states = st.one_of(values, lists.map('{{"name": "open", "rows": {}}}'.format), inner)
bodies = members("id id number state state vendor rows rows cost currency total lines other", st.one_of(lists, states))


def check_equal(record: type[PurchaseOrder] | type[Customer], pointers: dict[str, Any], at: str, body: bytes) -> bool:
    """Check that both ways agree. Return whether the bytes were read."""
    fields = FieldMap(record, msgspec.convert(pointers, FieldPointers), "map")
    typed = fields.typed(parse_pointer(at))
    assert typed is not None
    found = typed.read(body)
    if found is None:
        return False
    # The text distinguishes 1.0 from 1.
    assert repr(found) == repr(fields.read(resolve_pointer(decode_body(body, 200), parse_pointer(at))))
    return True


@given(bodies, st.sampled_from(ORDERS), st.sampled_from(["", "/result/order"]))
@example('{"number": 1.0, "rows": [{"cost": {"value": "1.50", "currency": "EUR"}}]}', ORDERS[1], "")
@example('{"rows": [{"cost": null, "product": {"code": "EUR"}}, {"cost": 1e3}]}', ORDERS[4], "/result/order")
def test_any_order_is_read_equally_or_left(body: str, pointers: dict[str, Any], at: str) -> None:
    whole = f'{{"result": {{"order": {body}}}}}' if at else body
    check_equal(PurchaseOrder, pointers, at, whole.encode())


@given(bodies, st.sampled_from(CUSTOMERS))
def test_any_customer_is_read_equally_or_left(body: str, pointers: dict[str, Any]) -> None:
    check_equal(Customer, pointers, "", body.encode())


@pytest.mark.parametrize("pointers", ORDERS)
def test_usual_order_is_read(pointers: dict[str, Any]) -> None:
    row = '{"cost": {"value": "1.50", "currency": "EUR"}, "n": 3, "product": {"code": "A"}}'
    body = (
        f'{{"id": 7, "number": 12, "state": {{"name": "open", "rows": [{row}]}}, "rows": [{row}], "currency": "EUR"}}'
    )
    assert check_equal(PurchaseOrder, pointers, "", body.encode())


@pytest.mark.parametrize(
    ("body", "at"), [(b'{"result": null}', "/result"), (b"{}", "/result"), (b"[]", ""), (b'{"id": "\xff"}', "")]
)
def test_response_without_the_record_is_left(body: bytes, at: str) -> None:
    assert not check_equal(PurchaseOrder, {}, at, body)


@pytest.mark.parametrize(
    ("pointers", "at"),
    [
        ({"tags": "/groups/*/name"}, ""),
        ({"reference": "/numbers/0"}, ""),
        ({"reference": ""}, ""),
        ({"reference": '/a"b'}, ""),
        ({}, "/0"),
    ],
)
def test_pointers_that_no_struct_represents_have_no_typed_map(pointers: dict[str, Any], at: str) -> None:
    fields = FieldMap(Customer, msgspec.convert(pointers, FieldPointers), "map")
    assert fields.typed(parse_pointer(at)) is None


def test_list_that_is_a_value_too_has_no_typed_map() -> None:
    fields = FieldMap(PurchaseOrder, {"lines": "/rows", "reference": "/rows"}, "map")
    assert fields.typed(()) is None
