"""Customers and purchase orders of Flow Retail as our records. Pure.

The documentation shows items and delivery of a purchase order. Its id and its status are read under the names that
related resources suggest, and may be missing.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from msgspec import UNSET, UnsetType

from service.config.platforms import DocumentedValues, FieldPlaces
from service.platforms.api.coercion import (
    JsonObject,
    as_money,
    as_objects,
    as_text,
    child,
    children,
    latest,
    text,
    timestamp,
)
from service.platforms.api.decoding import NoRecordError, record_id, unwrap
from service.platforms.api.responses import PlatformResponse
from service.records import Address, Customer, Line, Money, PurchaseOrder, Timestamp

UNIT = Decimal("0.01")
"""Amounts, percentages and quantities are whole numbers with two implied decimals: 2500 is 25.00, 150 is 1.50."""


PLACES: Mapping[str, FieldPlaces] = {
    "customer": {
        "reference": "/ledgerNumber", "external_id": "/externalId", "type": "/customerType",
        "company_name": "/companyName", "first_name": "/firstname", "last_name": "/lastname", "email": "/email",
        "phone": "/mobile", "vat_number": "/vatNumber", "balance": "/credit/balance", "created_at": "/createdAt",
        "updated_at": "/lastModifiedAt", "billing_address.street": "/address",
        "billing_address.postal_code": "/postalCode", "billing_address.city": "/city",
        "billing_address.country_code": "/countryCode",
    },
    "purchase_order": {
        "reference": "/externalId", "status": "/purchaseOrderStatus", "created_at": "/createdAt",
        "updated_at": "/lastModifiedAt", "lines": "/items", "lines.id": "/purchaseOrderItemUid",
        "lines.product_id": "/productUid", "lines.product_code": "/productSku", "lines.product_name": "/productName",
        "lines.price": "/unitPrice", "lines.quantity_ordered": "/quantityOrdered",
        "lines.quantity_received": "/quantityReceived",
    },
}  # fmt: skip
"""Place of each field in a response."""

_SCALED = "it is part of a whole number with two implied decimals in the currency of the account"

COMBINED: Mapping[str, Mapping[str, str]] = {
    "customer": {
        "balance.value": _SCALED,
        "balance.currency": _SCALED,
        "billing_address": "it is built from the customer's own fields",
        "shipping_address": "it is the one of addresses with the type DELIVERY_ADDRESS",
    },
    "purchase_order": {"lines.price.value": _SCALED, "lines.price.currency": _SCALED},
}
"""Fields without a place of their own."""

ENUMS: Mapping[str, DocumentedValues] = {
    "customer": {"raw.extensions[].extensionCode": ("TWO_INVOICE",)},
    "purchase_order": {},
}
"""The enumerations of the page "Customer"; the page of purchase orders does not list its statuses."""


def read_customer(reply: PlatformResponse, asked: str, currency: str | None) -> tuple[JsonObject, Customer, Timestamp]:  # noqa: ARG001 - a reader's signature
    """Read a customer; all fields but the uid are optional.

    Returns:
        The customer's JSON, the customer, and its modification time.

    Raises:
        PermanentError: `platform_wrong_envelope`.
    """
    node = unwrap(reply.data, reply.status, wrapped=False)
    delivery = next(
        (item for item in children(node, "addresses") or () if item.get("type") == "DELIVERY_ADDRESS"), None
    )
    credit = child(node, "credit")
    record = Customer(
        id=record_id(node.get("customerUid"), reply.status),
        reference=text(node, "ledgerNumber"),
        external_id=text(node, "externalId"),
        type=text(node, "customerType"),
        company_name=text(node, "companyName"),
        first_name=text(node, "firstname"),
        last_name=text(node, "lastname"),
        email=text(node, "email"),
        phone=text(node, "mobile"),
        vat_number=text(node, "vatNumber"),
        billing_address=_address(node),
        shipping_address=UNSET if delivery is None else _address(delivery),
        balance=credit if credit is None or credit is UNSET else _amount(credit, "balance", currency),
        created_at=timestamp(node, "createdAt"),
        updated_at=timestamp(node, "lastModifiedAt"),
    )
    return node, record, record.updated_at


def read_purchase_order(
    reply: PlatformResponse, asked: str, currency: str | None
) -> tuple[JsonObject, PurchaseOrder, Timestamp]:
    """Read a purchase order. Without a uid it counts as the requested one if it has items.

    Returns:
        The order's JSON, the order, and its modification time.

    Raises:
        NoRecordError: It has neither a uid nor items.
    """
    node = unwrap(reply.data, reply.status, wrapped=False)
    items = as_objects(node.get("items", UNSET))
    own = as_text(node.get("purchaseOrderUid"))
    if not own and not isinstance(items, list):
        raise NoRecordError("the answer is no purchase order", reply.status)
    modified = modified_at(node)
    record = PurchaseOrder(
        id=own or asked,
        reference=text(node, "externalId"),
        status=text(node, "purchaseOrderStatus" if "purchaseOrderStatus" in node else "status"),
        lines=tuple(_line(item, currency) for item in items) if items is not None and items is not UNSET else items,
        created_at=timestamp(node, "createdAt"),
        updated_at=modified or UNSET,
    )
    return node, record, modified


def modified_at(node: JsonObject) -> Timestamp:
    """Return the last modification time of a record, or of one of its items."""
    items = children(node, "items") or ()
    return latest(timestamp(node, "lastModifiedAt"), *(timestamp(item, "lastModifiedAt") for item in items))


def _line(node: JsonObject, currency: str | None) -> Line:
    return Line(
        id=text(node, "purchaseOrderItemUid"),
        product_id=text(node, "productUid"),
        product_code=text(node, "productSku"),
        product_name=text(node, "productName"),
        price=_amount(node, "unitPrice", currency),
        quantity_ordered=_scaled(node, "quantityOrdered"),
        quantity_received=_scaled(node, "quantityReceived"),
    )


def _scaled(node: JsonObject, key: str) -> Decimal | UnsetType | None:
    value: Any = node.get(key, UNSET)
    return value * UNIT if type(value) is int else None if value is None else UNSET


def _amount(node: JsonObject, key: str, currency: str | None) -> Money | UnsetType | None:
    value = _scaled(node, key)
    return None if value is None else as_money(value, currency)


def _address(node: JsonObject) -> Address:
    names = [name for name in (text(node, "firstname"), text(node, "lastname")) if name]
    return Address(
        company_name=text(node, "companyName"),
        name=" ".join(names) if names else UNSET,
        street=text(node, "address"),
        postal_code=text(node, "postalCode"),
        city=text(node, "city"),
        country_code=text(node, "countryCode"),
        email=text(node, "email"),
        phone=text(node, "phone" if "phone" in node else "mobile"),
    )
