"""Purchase orders, customers and lists of pack.cloud as our records. Pure.

The documentation does not print the keys of nested objects, so everything nested is optional, and a response may be
bare or under `data`.
"""

from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit

from msgspec import UNSET, UnsetType

from service.config.platforms import DocumentedValues, FieldPlaces
from service.platforms.api.coercion import (
    JsonObject,
    as_objects,
    as_quantity,
    as_text,
    child,
    latest,
    money,
    quantity,
    text,
    timestamp,
)
from service.platforms.api.decoding import not_a_list, record_id, unwrap
from service.platforms.api.operations import ResultPage
from service.platforms.api.responses import PlatformResponse
from service.records import Address, Customer, Line, PurchaseOrder, Supplier, Timestamp

_ADDRESS = {
    "company_name": "company_name", "name": "name", "street": "address", "house_number": "house_number",
    "postal_code": "postal_code", "city": "city", "state_code": "state_code", "country_code": "country_code",
    "email": "email", "phone": "phone",
}  # fmt: skip

PLACES: Mapping[str, FieldPlaces] = {
    "purchase_order": {
        "reference": "/reference", "status": "/status", "created_at": "/created_at", "updated_at": "/updated_at",
        "supplier": "/supplier", "supplier.id": "/supplier/id", "supplier.name": "/supplier/name",
        "supplier.reference": "/supplier/reference",
        "lines": "/lines", "lines.id": "/id", "lines.product_id": "/product_id",
        "lines.product_code": "/product/code", "lines.product_name": "/product/name",
        "lines.price": "/price", "lines.price.value": "/price/value", "lines.price.currency": "/price/currency",
        "lines.quantity_ordered": "/quantity_ordered", "lines.quantity_received": "/quantity_received",
    },
    "customer": {
        "reference": "/reference", "orders_count": "/orders_count",
        **{
            field: pointer
            for whole in ("billing_address", "shipping_address")
            for field, pointer in [
                (whole, f"/{whole}"),
                *((f"{whole}.{name}", f"/{whole}/{key}") for name, key in _ADDRESS.items()),
            ]
        },
        "vat_number": "/billing_address/vat",
    },
}  # fmt: skip
"""Place of each field in a response."""

COMBINED: Mapping[str, Mapping[str, str]] = {
    "customer": {
        "company_name": "it is billing_address.company_name",
        "email": "it is billing_address.email",
        "phone": "it is billing_address.phone",
        "updated_at": "it is the newer of the two addresses' updated_at",
    },
}
"""Fields without a place of their own."""

STATUSES = ("created", "ordered", "expected", "receiving", "received", "completed", "canceled")

ENUMS: Mapping[str, DocumentedValues] = {
    "purchase_order": {
        "status": STATUSES,
        "raw.status": STATUSES,
        "raw.events[].category": ("error", "info", "tracking"),
        "raw.lines[].product.type": ("standard", "virtual_bundle"),
        "raw.lines[].product.dimensions.unit": ("cm",),
        "raw.lines[].product.weight.unit": ("g", "kg", "oz", "lbs"),
    },
    "customer": {},
}
"""The enumerations of the page "Get purchase order by id"; the page of customers has none."""


def read_page(reply: PlatformResponse) -> ResultPage:
    """Read a list: bare, or under `data` with `links.next` or `next` beside it.

    Only the query of the next page's URL is used, so that it cannot lead to another host or path.

    Returns:
        The page.

    Raises:
        PermanentError: `platform_wrong_envelope`.
        not_a_list: The error of a response that is not a list.
    """
    data: Any = reply.data
    outer = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
    found: Any = outer.get("data") if outer else cast("Any", data)
    if not isinstance(found, list):
        raise not_a_list(reply.status)
    items = tuple(cast("JsonObject", item) for item in cast("list[Any]", found) if isinstance(item, dict))
    links, meta = child(outer, "links") or outer, child(outer, "meta") or outer
    onward, total = links.get("next"), meta.get("total")
    query = urlsplit(onward).query if isinstance(onward, str) and onward else ""
    return ResultPage(items, query or None, total if isinstance(total, int) else None)


def read_purchase_order(reply: PlatformResponse) -> tuple[JsonObject, PurchaseOrder, Timestamp]:
    """Read a purchase order; lines, events and supplier may be missing.

    Returns:
        The order's JSON, the order, and its modification time.

    Raises:
        PermanentError: `platform_wrong_envelope`.
    """
    node = unwrap(reply.data, reply.status, wrapped=None)
    lines = as_objects(node.get("lines", UNSET))
    record = PurchaseOrder(
        id=record_id(node.get("id"), reply.status),
        reference=text(node, "reference"),
        status=text(node, "status"),
        supplier=_supplier(node),
        lines=tuple(map(_line, lines)) if lines is not None and lines is not UNSET else lines,
        created_at=timestamp(node, "created_at"),
        updated_at=timestamp(node, "updated_at"),
    )
    return node, record, record.updated_at


def read_customer(reply: PlatformResponse) -> tuple[JsonObject, Customer, Timestamp]:
    """Read a customer; timestamps, names and contacts are those of its addresses.

    Returns:
        The customer's JSON, the customer, and its modification time.

    Raises:
        PermanentError: `platform_wrong_envelope`.
    """
    node = unwrap(reply.data, reply.status, wrapped=None)
    billing = child(node, "billing_address")
    shipping = child(node, "shipping_address" if "shipping_address" in node else "recipient_address")
    own = billing or {}
    modified = latest(*(timestamp(address, "updated_at") for address in (billing, shipping) if address))
    record = Customer(
        id=record_id(node.get("id"), reply.status),
        reference=text(node, "reference"),
        company_name=text(own, "company_name"),
        email=text(own, "email"),
        phone=text(own, "phone"),
        vat_number=text(own, "vat"),
        billing_address=_address(billing),
        shipping_address=_address(shipping),
        orders_count=quantity(node, "orders_count"),
        updated_at=UNSET if modified is None else modified,
    )
    return node, record, modified


def _supplier(node: JsonObject) -> Supplier | UnsetType | None:
    supplier = child(node, "supplier")
    if not supplier:
        return Supplier(id=text(node, "supplier_id")) if node.get("supplier_id") else UNSET
    return Supplier(id=text(supplier, "id"), name=text(supplier, "name"), reference=text(supplier, "reference"))


def _line(node: JsonObject) -> Line:
    # As `text` and `quantity` read, without their calls: an order has dozens of lines, and nearly all are as usual.
    product = child(node, "product") or {}
    own, product_id = node.get("id", UNSET), node.get("product_id", UNSET)
    code, name = product.get("code", UNSET), product.get("name", UNSET)
    ordered, received = node.get("quantity_ordered", UNSET), node.get("quantity_received", UNSET)
    return Line(
        id=own if type(own) is str else as_text(own),
        product_id=product_id if type(product_id) is str else as_text(product_id),
        product_code=code if type(code) is str else as_text(code),
        product_name=name if type(name) is str else as_text(name),
        price=money(node, "price"),
        quantity_ordered=ordered if type(ordered) is int else as_quantity(ordered),
        quantity_received=received if type(received) is int else as_quantity(received),
    )


def _address(node: JsonObject | UnsetType | None) -> Address | UnsetType | None:
    if node is None or node is UNSET:
        return node
    return Address(
        company_name=text(node, "company_name"),
        name=text(node, "name"),
        street=text(node, "address"),
        house_number=text(node, "house_number"),
        postal_code=text(node, "postal_code"),
        city=text(node, "city"),
        state_code=text(node, "state_code"),
        country_code=text(node, "country_code"),
        email=text(node, "email"),
        phone=text(node, "phone"),
    )
