"""Purchase orders and customers of pack.cloud, decoded without the objects in between. Pure.

Decoding to plain JSON and reading it takes twice as long. Decimals are exact, since the decoder builds them from the
digits. A record with an unusual value or structure, such as one under `data`, is left to `records`.
"""

import hashlib
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from service.platforms.api.coercion import EXPONENT_MAX, as_quantity, as_timestamp, latest
from service.platforms.api.decoding import decode_typed, typed_decoder
from service.platforms.api.responses import TypedRecord
from service.records import Address, Customer, Line, Money, PurchaseOrder, Supplier

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


_NO_SUPPLIER = Supplier()


class _Order(Struct, gc=False):
    id: str
    reference: TypedText = UNSET
    status: TypedText = UNSET
    supplier: Supplier | UnsetType | None = UNSET
    supplier_id: TypedText = UNSET
    lines: list[_Line] | UnsetType | None = UNSET
    created_at: TypedText = UNSET
    updated_at: TypedText = UNSET
    data: msgspec.Raw | UnsetType = UNSET


class _Address(Struct, gc=False):
    company_name: TypedText = UNSET
    name: TypedText = UNSET
    address: TypedText = UNSET
    house_number: TypedText = UNSET
    postal_code: TypedText = UNSET
    city: TypedText = UNSET
    state_code: TypedText = UNSET
    country_code: TypedText = UNSET
    email: TypedText = UNSET
    phone: TypedText = UNSET
    vat: TypedText = UNSET
    updated_at: TypedText = UNSET


_NO_ADDRESS = _Address()


class _Customer(Struct, gc=False):
    id: str
    reference: TypedText = UNSET
    billing_address: _Address | UnsetType | None = UNSET
    shipping_address: _Address | UnsetType | None = UNSET
    recipient_address: msgspec.Raw | UnsetType = UNSET
    orders_count: Any = UNSET
    data: msgspec.Raw | UnsetType = UNSET


_order_decoder, _customer_decoder = typed_decoder(_Order), typed_decoder(_Customer)


def read_typed_purchase_order(body: bytes) -> TypedRecord | None:
    """Read a purchase order from the bytes of a response.

    Returns:
        The order; None if only `read_purchase_order` can read it.
    """
    order = decode_typed(body, _order_decoder)
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


def read_typed_customer(body: bytes) -> TypedRecord | None:
    """Read a customer from the bytes of a response.

    Returns:
        The customer; None if only `read_customer` can read it.
    """
    customer = decode_typed(body, _customer_decoder)
    if customer is None or not customer.id or customer.data is not UNSET or customer.recipient_address is not UNSET:
        return None
    billing, shipping = customer.billing_address, customer.shipping_address
    own = billing if isinstance(billing, _Address) else _NO_ADDRESS
    other = shipping if isinstance(shipping, _Address) else _NO_ADDRESS
    modified = latest(as_timestamp(own.updated_at), as_timestamp(other.updated_at))
    record = Customer(
        id=customer.id,
        reference=customer.reference,
        company_name=own.company_name,
        email=own.email,
        phone=own.phone,
        vat_number=own.vat,
        billing_address=_address(billing),
        shipping_address=_address(shipping),
        orders_count=as_quantity(customer.orders_count),
        updated_at=UNSET if modified is None else modified,
    )
    return TypedRecord(record, modified, hashlib.sha256(body).hexdigest())


def _address(address: _Address | UnsetType | None) -> Address | UnsetType | None:
    if not isinstance(address, _Address):
        return address
    return Address(
        company_name=address.company_name,
        name=address.name,
        street=address.address,
        house_number=address.house_number,
        postal_code=address.postal_code,
        city=address.city,
        state_code=address.state_code,
        country_code=address.country_code,
        email=address.email,
        phone=address.phone,
    )


def _supplier(order: _Order) -> Supplier | UnsetType:
    if isinstance(order.supplier, Supplier):
        return order.supplier
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
