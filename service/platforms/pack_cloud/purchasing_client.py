"""Client of pack.cloud's writes to purchase orders: creation of an order, and its lines."""

from collections.abc import Sequence

from msgspec import UNSET, Struct, UnsetType

from service.platforms.api.coercion import JsonObject
from service.platforms.api.declared_operations import operation, rule_action
from service.platforms.api.operations import NO_CONTEXT, WriteResult
from service.platforms.base import CallContext
from service.platforms.pack_cloud.webhooks_client import WebhooksClient

_ORDERS = "/organizations/{organization}/purchase-orders"
_LINES = _ORDERS + "/{purchase_order}/lines"


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


class PurchasingClient(WebhooksClient):
    """Writes to purchase orders of one organization."""

    @operation("purchase_order.create", "POST", _ORDERS, "Create purchase order")
    @rule_action(
        "unsafe",
        "Creates a purchase order on pack.cloud.",
        "`new` is what it is created from: `supplier_id`, `lines` and optionally `reference`.",
    )
    async def create_purchase_order(self, new: NewPurchaseOrder, context: CallContext = NO_CONTEXT) -> WriteResult:
        """POST …/purchase-orders. Page "Create purchase order"; made twice, there are two."""
        return await self._endpoints.write("purchase_order.create", context, body=new)

    @operation("purchase_order_line.create", "POST", _LINES, "Create purchase order line")
    @rule_action(
        "unsafe",
        "Adds a line to a purchase order on pack.cloud.",
        "`purchase_order` is a template of the order's id, `new` is the line: `product_id` and `quantity_ordered`.",
    )
    async def create_purchase_order_line(
        self, purchase_order: str, new: NewPurchaseOrderLine, context: CallContext = NO_CONTEXT
    ) -> WriteResult:
        """POST …/{purchase_order}/lines. Page "Create purchase order line"; made twice, there are two."""
        ids = {"purchase_order": purchase_order}
        return await self._endpoints.write("purchase_order_line.create", context, ids=ids, body=new)

    @operation("purchase_order_line.get", "GET", _LINES + "/{line}", "Get purchase order line by id")
    async def get_purchase_order_line(
        self, purchase_order: str, line: str, context: CallContext = NO_CONTEXT
    ) -> JsonObject | None:
        """GET …/purchase-orders/{purchase_order}/lines/{line}. Page "Get purchase order line by id"."""
        return await self._get("purchase_order_line.get", {"purchase_order": purchase_order, "line": line}, context)

    @operation("purchase_order_line.update", "PUT", _LINES + "/{line}", "Update purchase order line")
    @rule_action(
        "idempotent",
        "Changes a line of a purchase order on pack.cloud.",
        "`line` is the id of the line, `change` is what of it changes; what is left out stays.",
    )
    async def update_purchase_order_line(
        self, purchase_order: str, line: str, change: PurchaseOrderLineChange, context: CallContext = NO_CONTEXT
    ) -> WriteResult:
        """PUT …/{purchase_order}/lines/{line}. Page "Update purchase order line"; repeated, the same."""
        ids = {"purchase_order": purchase_order, "line": line}
        return await self._endpoints.write("purchase_order_line.update", context, ids=ids, body=change)
