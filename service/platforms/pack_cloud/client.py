"""Client of pack.cloud's REST API: records, lists and integrations.

Writes to purchase orders are in `purchasing_client`, webhooks in `webhooks_client`, rules in `rules_client`.

The pages "Get customer by id" (11 July 2024) and "Get purchase order by id" (2 August 2024) print their own paths and
the names of all other operations. Paths that no page prints follow related ones, and can be overridden under `paths`.
Bodies are JSON with snake_case names; ids are opaque text, timestamps ISO 8601, amounts decimal text with a currency,
quantities whole units. Limits and error bodies are not documented: the status alone decides.

Every method raises TransientError, PermanentError or Deferred as `PlatformApi.call` does, writes also `record_gone`. A
read returns None for a missing record.
"""

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from service.platforms.api.coercion import JsonObject
from service.platforms.api.declared_operations import operation, rule_action
from service.platforms.api.decoding import check_id
from service.platforms.api.operations import NO_CONTEXT, PlatformApi, ResultPage, WriteResult
from service.platforms.api.responses import PlatformResponse
from service.platforms.base import CallContext
from service.platforms.pack_cloud.purchasing_client import PurchasingClient
from service.platforms.pack_cloud.records import query_of, read_one, read_page

_ROOT = "/organizations/{organization}"
_INTEGRATION = _ROOT + "/integrations/{integration}"


StatusFilter = Literal["repeated", "comma"]
"""How several statuses are asked for, where the page says no more than that they are an array: `filter[status][]=a` for
each, or `filter[status]=a,b`."""


class NewIntegration(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Fields of a new integration; `settings` are those of its connector."""

    name: str
    connector_id: str
    settings: dict[str, Any] | UnsetType = UNSET


class IntegrationChange(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Changed fields of an integration; omitted fields stay as they are."""

    name: str | UnsetType = UNSET
    settings: dict[str, Any] | UnsetType = UNSET
    order_sync_enabled: bool | UnsetType = UNSET
    product_sync_enabled: bool | UnsetType = UNSET
    stock_sync_enabled: bool | UnsetType = UNSET


class PackCloudClient(PurchasingClient):
    """Operations of one organization."""

    def __init__(self, endpoints: PlatformApi, status_filter: StatusFilter = "repeated") -> None:
        super().__init__(endpoints)
        self._status_filter = status_filter
        self._write = endpoints.write

    @operation("customer.get", "GET", _ROOT + "/customers/{customer}", "Get customer by id")
    async def get_customer(self, customer: str, context: CallContext = NO_CONTEXT) -> JsonObject | None:
        """GET …/customers/{customer}: two addresses, three counts. Page "Get customer by id"."""
        return await self._get("customer.get", {"customer": customer}, context)

    @operation("purchase_order.get", "GET", _ROOT + "/purchase-orders/{purchase_order}", "Get purchase order by id")
    async def get_purchase_order(self, purchase_order: str, context: CallContext = NO_CONTEXT) -> JsonObject | None:
        """GET …/purchase-orders/{purchase_order}: status, events, lines, supplier. Page "Get purchase order by id"."""
        return await self._get("purchase_order.get", {"purchase_order": purchase_order}, context)

    @operation("purchase_order.list", "GET", _ROOT + "/purchase-orders", "Get list of purchase orders")
    async def list_purchase_orders(
        self,
        *,
        statuses: Sequence[str] = (),
        supplier_id: str | None = None,
        sort: str = "-created_at",
        per_page: int | None = None,
        page: str | None = None,
        context: CallContext = NO_CONTEXT,
    ) -> ResultPage:
        """GET …/purchase-orders: their own fields, nothing nested. Page "Get list of purchase orders".

        `sort` is `created_at` or `-created_at`; `page` is a page's `next`, and contains the other arguments.

        Returns:
            The page.
        """
        query = self._statuses(statuses)
        query += [("filter[supplier_id]", supplier_id)] if supplier_id else []
        query += [("sort", sort)] + ([("per_page", str(per_page))] if per_page else [])
        onward = dict(query_of(page)) if page else {}
        kept = [(name, value) for name, value in query if name not in onward]
        sent = kept + (query_of(page) if page else [])
        return await self._endpoints.read("purchase_order.list", context, read_page, query=sent)

    def _statuses(self, statuses: Sequence[str]) -> list[tuple[str, str]]:
        if self._status_filter == "comma":
            return [("filter[status]", ",".join(statuses))] if statuses else []
        return [("filter[status][]", status) for status in statuses]

    @operation("order.get", "GET", _ROOT + "/orders/{order}", "Get order by id")
    async def get_order(self, order: str, context: CallContext = NO_CONTEXT) -> JsonObject | None:
        """GET …/orders/{order}: `customer_id` (or null), status, quantities. Page "Get order by id"."""

        def read(reply: PlatformResponse) -> JsonObject | None:
            node = read_one(reply)
            if node is not None:
                check_id(node, "id", order, reply.status)
            return node

        return await self._endpoints.read("order.get", context, read, ids={"order": order})

    @operation("integration.list", "GET", _ROOT + "/integrations", "Get list of integrations", documented=False)
    async def list_integrations(self, page: str | None = None, context: CallContext = NO_CONTEXT) -> ResultPage:
        """GET …/integrations: id, category, name, what is synchronized. Page "Get list of integrations"."""
        return await self._list("integration.list", {}, page, context)

    @operation("integration.create", "POST", _ROOT + "/integrations", "Create integration")
    @rule_action(
        "unsafe",
        "Creates an integration on pack.cloud.",
        "`new` is what it is created from: `name`, `connector_id` and the `settings` of its connector.",
    )
    async def create_integration(self, new: NewIntegration, context: CallContext = NO_CONTEXT) -> WriteResult:
        """POST …/integrations. Page "Create integration"; made twice, there are two."""
        return await self._write("integration.create", context, body=new)

    @operation("integration.get", "GET", _INTEGRATION, "Get integration by id", documented=False)
    async def get_integration(self, integration: str, context: CallContext = NO_CONTEXT) -> JsonObject | None:
        """GET …/integrations/{integration}. Page "Get integration by id"."""
        return await self._get("integration.get", {"integration": integration}, context)

    @operation("integration.update", "PUT", _INTEGRATION, "Update integration", documented=False)
    @rule_action(
        "idempotent", "Changes an integration on pack.cloud.", "`change` is what of it changes; what is left out stays."
    )
    async def update_integration(
        self, integration: str, change: IntegrationChange, context: CallContext = NO_CONTEXT
    ) -> WriteResult:
        """PUT …/integrations/{integration}. Page "Update integration"; made twice, the same."""
        return await self._write("integration.update", context, ids={"integration": integration}, body=change)

    @operation("integration.delete", "DELETE", _INTEGRATION, "Delete integration", documented=False)
    @rule_action(
        "idempotent", "Deletes an integration on pack.cloud.", "`integration` is a template of the integration's id."
    )
    async def delete_integration(self, integration: str, context: CallContext = NO_CONTEXT) -> WriteResult:
        """DELETE …/integrations/{integration}. Page "Delete integration"; made twice, the same."""
        return await self._write("integration.delete", context, ids={"integration": integration})

    @operation(
        "integration_action.list", "GET", _INTEGRATION + "/actions", "Get integration actions by id", documented=False
    )
    async def list_integration_actions(
        self, integration: str, page: str | None = None, context: CallContext = NO_CONTEXT
    ) -> ResultPage:
        """GET …/integrations/{integration}/actions. Page "Get integration actions by id"."""
        return await self._list("integration_action.list", {"integration": integration}, page, context)

    @operation(
        "integration_action.execute",
        "POST",
        _INTEGRATION + "/actions/{action}/execute",
        "Execute integration action",
        documented=False,
    )
    @rule_action(
        "unsafe",
        "Executes an action of an integration on pack.cloud.",
        "`action` is the id of the integration's action, `values` are its fields.",
        keeps_response=True,
    )
    async def execute_integration_action(
        self, integration: str, action: str, values: dict[str, Any], context: CallContext = NO_CONTEXT
    ) -> WriteResult:
        """POST …/integrations/{integration}/actions/{action}/execute. Page "Execute integration action".

        `values` are the action's fields. The effect of a repeated call is not documented: treat it as unsafe.

        Returns:
            The result.
        """
        ids = {"integration": integration, "action": action}
        return await self._write("integration_action.execute", context, ids=ids, body=values)

    @operation(
        "integration_settings.get", "GET", _INTEGRATION + "/settings", "Get settings for integration", documented=False
    )
    async def get_integration_settings(self, integration: str, context: CallContext = NO_CONTEXT) -> JsonObject | None:
        """GET …/integrations/{integration}/settings. Page "Get settings for integration"."""
        return await self._get("integration_settings.get", {"integration": integration}, context)

    @operation(
        "integration.sync_orders",
        "POST",
        _INTEGRATION + "/sync/orders",
        "Sync integration orders (async)",
        documented=False,
    )
    @rule_action(
        "unsafe",
        "Begins to synchronize the orders of an integration on pack.cloud.",
        "`integration` is a template of the integration's id.",
    )
    async def sync_integration_orders(self, integration: str, context: CallContext = NO_CONTEXT) -> WriteResult:
        """POST …/sync/orders; begun, not done. Page "Sync integration orders (async)"."""
        return await self._write("integration.sync_orders", context, ids={"integration": integration})

    @operation(
        "integration.sync_products",
        "POST",
        _INTEGRATION + "/sync/products",
        "Sync integration products (async)",
        documented=False,
    )
    @rule_action(
        "unsafe",
        "Begins to synchronize the products of an integration on pack.cloud.",
        "`integration` is a template of the integration's id.",
    )
    async def sync_integration_products(self, integration: str, context: CallContext = NO_CONTEXT) -> WriteResult:
        """POST …/sync/products; begun, not done. Page "Sync integration products (async)"."""
        return await self._write("integration.sync_products", context, ids={"integration": integration})

    @operation(
        "integration.sync_shipping_services",
        "POST",
        _INTEGRATION + "/sync/shipping-services",
        "Sync integration shipping services (async)",
        documented=False,
    )
    @rule_action(
        "unsafe",
        "Begins to synchronize the shipping services of an integration on pack.cloud.",
        "`integration` is a template of the integration's id.",
    )
    async def sync_integration_shipping_services(
        self, integration: str, context: CallContext = NO_CONTEXT
    ) -> WriteResult:
        """POST …/sync/shipping-services; begun, not done. Page "Sync integration shipping services (async)"."""
        return await self._write("integration.sync_shipping_services", context, ids={"integration": integration})

    @operation(
        "integration.sync_product_stocks",
        "POST",
        _INTEGRATION + "/sync/product-stocks",
        "Sync integration product stocks (async)",
        documented=False,
    )
    @rule_action(
        "unsafe",
        "Begins to synchronize the product stocks of an integration on pack.cloud.",
        "`integration` is a template of the integration's id.",
    )
    async def sync_integration_product_stocks(self, integration: str, context: CallContext = NO_CONTEXT) -> WriteResult:
        """POST …/sync/product-stocks; begun, not done. Page "Sync integration product stocks (async)"."""
        return await self._write("integration.sync_product_stocks", context, ids={"integration": integration})
