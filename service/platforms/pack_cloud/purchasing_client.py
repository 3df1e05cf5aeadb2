"""Client of pack.cloud's writes to purchase orders: creation of an order, and its lines."""

from collections.abc import Sequence

from msgspec import UNSET, Struct, UnsetType

from service.platforms.api.declared_operations import RuleActionOptions
from service.platforms.pack_cloud.operation_table import TABLE

_LINES = "/purchase-orders/{purchase_order}/lines"


class Price(Struct, frozen=True, kw_only=True):
    """Price of one unit: decimal text and currency code (ISO 4217)."""

    value: str
    currency: str


class NewPurchaseOrderLine(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Fields of a new line; `sell_ahead` are the units that may be sold before they arrive."""

    product_id: str
    quantity_ordered: int
    price: Price | UnsetType = UNSET
    sell_ahead: int | UnsetType = UNSET


class PurchaseOrderLineChange(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Changed fields of a line."""

    quantity_ordered: int | UnsetType = UNSET
    price: Price | UnsetType = UNSET
    sell_ahead: int | UnsetType = UNSET


class NewPurchaseOrder(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Fields of a new purchase order."""

    supplier_id: str
    lines: Sequence[NewPurchaseOrderLine]
    reference: str | UnsetType | None = UNSET


class PurchasingClient:
    """Writes to purchase orders of one organization."""

    create_purchase_order = TABLE.write(
        "purchase_order.create",
        "POST /purchase-orders",
        "Create purchase order",
        body=("new", NewPurchaseOrder),
        action=RuleActionOptions(
            "unsafe",
            "Creates a purchase order on pack.cloud.",
            "`new` is what it is created from: `supplier_id`, `lines` and optionally `reference`.",
        ),
    )
    create_purchase_order_line = TABLE.write(
        "purchase_order_line.create",
        "POST " + _LINES,
        "Create purchase order line",
        body=("new", NewPurchaseOrderLine),
        action=RuleActionOptions(
            "unsafe",
            "Adds a line to a purchase order on pack.cloud.",
            "`purchase_order` is a template of the order's id, `new` is the line: `product_id` and `quantity_ordered`.",
        ),
    )
    get_purchase_order_line = TABLE.get("purchase_order_line.get", _LINES + "/{line}", "Get purchase order line by id")
    update_purchase_order_line = TABLE.write(
        "purchase_order_line.update",
        f"PUT {_LINES}/{{line}}",
        "Update purchase order line",
        body=("change", PurchaseOrderLineChange),
        action=RuleActionOptions(
            "idempotent",
            "Changes a line of a purchase order on pack.cloud.",
            "`line` is the id of the line, `change` is what of it changes; what is left out stays.",
        ),
    )
