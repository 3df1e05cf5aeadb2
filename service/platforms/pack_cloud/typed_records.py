"""Purchase orders of pack.cloud, decoded without the objects in between. Pure.

Decoding to plain JSON and reading it takes twice as long. Decimals are exact, since the decoder builds them from the
digits. An order with an unusual value or structure, such as one under `data`, is left to `records`.
"""

import hashlib
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from service.platforms.api.coercion import EXPONENT_MAX, as_quantity, as_timestamp
from service.platforms.api.decoding import decode_typed
from service.platforms.api.responses import TypedRecord
from service.records import Line, Money, PurchaseOrder, Supplier

TypedText = str | UnsetType | None


class _Product(Struct, frozen=True, gc=False):
    code: TypedText = UNSET
    name: TypedText = UNSET


_NO_PRODUCT = _Product()


class _Line(Struct, gc=False):
    id: TypedText = UNSET
    product_id: TypedText = UNSET
    product: _Product = _NO_PRODUCT
    price: Money | UnsetType | None = UNSET
    quantity_ordered: Any = UNSET
    quantity_received: Any = UNSET


class _Supplier(Struct, frozen=True, gc=False):
    id: TypedText = UNSET
    name: TypedText = UNSET
    reference: TypedText = UNSET


_NO_SUPPLIER = _Supplier()


class _Order(Struct, gc=False):
    id: str
    reference: TypedText = UNSET
    status: TypedText = UNSET
    supplier: _Supplier | UnsetType | None = UNSET
    supplier_id: TypedText = UNSET
    lines: list[_Line] | UnsetType | None = UNSET
    created_at: TypedText = UNSET
    updated_at: TypedText = UNSET
    data: msgspec.Raw | UnsetType = UNSET


def read_typed_purchase_order(body: bytes) -> TypedRecord | None:
    """Read a purchase order from the bytes of a response.

    Returns:
        The order; None if only `read_purchase_order` can read it.
    """
    order = decode_typed(body, _Order)
    # An object without a known field may be empty, and then counts as absent.
    if order is None or order.data is not UNSET or not order.id or order.supplier == _NO_SUPPLIER:
        return None
    lines = order.lines
    if isinstance(lines, list) and (lines := _lines(lines)) is None:
        return None
    modified = as_timestamp(order.updated_at)
    record = PurchaseOrder(
        id=order.id,
        reference=order.reference,
        status=order.status,
        supplier=_supplier(order),
        lines=lines,
        created_at=as_timestamp(order.created_at),
        updated_at=modified,
    )
    return TypedRecord(record, modified, hashlib.sha256(body).hexdigest())


def _supplier(order: _Order) -> Supplier | UnsetType:
    supplier = order.supplier
    if isinstance(supplier, _Supplier):
        return Supplier(id=supplier.id, name=supplier.name, reference=supplier.reference)
    return Supplier(id=order.supplier_id) if order.supplier_id is not UNSET and order.supplier_id else UNSET


def _lines(lines: list[_Line]) -> tuple[Line, ...] | None:
    """Return the lines; None if `as_money` would change or reject a price."""
    read: list[Line] = []
    for line in lines:  # without a call per line: an order has dozens of lines
        price, product, ordered, received = line.price, line.product, line.quantity_ordered, line.quantity_received
        if isinstance(price, Money):
            value = price.value
            if not (value.is_finite() and -EXPONENT_MAX <= value.adjusted() <= EXPONENT_MAX):
                return None
            if not price.currency.isupper():
                return None
        read.append(
            Line(
                id=line.id,
                product_id=line.product_id,
                product_code=product.code,
                product_name=product.name,
                price=price,
                quantity_ordered=ordered if type(ordered) is int else as_quantity(ordered),
                quantity_received=received if type(received) is int else as_quantity(received),
            )
        )
    return tuple(read)
