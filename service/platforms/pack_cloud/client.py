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

from service.platforms.api.declared_operations import RuleActionOptions, operation
from service.platforms.api.operation_methods import WriteMethod, query_of
from service.platforms.api.operations import NO_CONTEXT, PlatformApi, ResultPage
from service.platforms.base import CallContext
from service.platforms.pack_cloud.operation_table import TABLE
from service.platforms.pack_cloud.purchasing_client import PurchasingClient
from service.platforms.pack_cloud.records import read_page
from service.platforms.pack_cloud.rules_client import RulesClient
from service.platforms.pack_cloud.webhooks_client import WebhooksClient

_INTEGRATION = "/integrations/{integration}"


StatusFilter = Literal["repeated", "comma"]
"""Form of a filter by several statuses, documented as an array only: `filter[status][]=a` for each, or
`filter[status]=a,b`."""


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


def _sync(items: str) -> WriteMethod:
    """Define the method that begins to synchronize some items of an integration."""
    return TABLE.write(
        f"integration.sync_{items.replace(' ', '_')}",
        f"POST {_INTEGRATION}/sync/{items.replace(' ', '-')}",
        f"Sync integration {items} (async)",
        documented=False,
        action=RuleActionOptions(
            "unsafe",
            f"Begins to synchronize the {items} of an integration on pack.cloud.",
            "`integration` is a template of the integration's id.",
        ),
    )


class PackCloudClient(PurchasingClient, WebhooksClient, RulesClient):
    """Operations of one organization."""

    def __init__(self, api: PlatformApi, status_filter: StatusFilter = "repeated") -> None:
        self.api = api
        self._status_filter = status_filter

    get_customer = TABLE.get("customer.get", "/customers/{customer}", "Get customer by id")
    get_purchase_order = TABLE.get(
        "purchase_order.get", "/purchase-orders/{purchase_order}", "Get purchase order by id"
    )

    @operation("purchase_order.list", "GET", TABLE.root + "/purchase-orders", "Get list of purchase orders")
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
        return await self.api.read("purchase_order.list", context, read_page, query=sent)

    def _statuses(self, statuses: Sequence[str]) -> list[tuple[str, str]]:
        if self._status_filter == "comma":
            return [("filter[status]", ",".join(statuses))] if statuses else []
        return [("filter[status][]", status) for status in statuses]

    get_order = TABLE.get("order.get", "/orders/{order}", "Get order by id", id_at="id")

    list_integrations = TABLE.list("integration.list", "/integrations", "Get list of integrations", documented=False)
    create_integration = TABLE.write(
        "integration.create",
        "POST /integrations",
        "Create integration",
        body=("new", NewIntegration),
        action=RuleActionOptions(
            "unsafe",
            "Creates an integration on pack.cloud.",
            "`new` is what it is created from: `name`, `connector_id` and the `settings` of its connector.",
        ),
    )
    get_integration = TABLE.get("integration.get", _INTEGRATION, "Get integration by id", documented=False)
    update_integration = TABLE.write(
        "integration.update",
        "PUT " + _INTEGRATION,
        "Update integration",
        body=("change", IntegrationChange),
        documented=False,
        action=RuleActionOptions(
            "idempotent",
            "Changes an integration on pack.cloud.",
            "`change` is what of it changes; what is left out stays.",
        ),
    )
    delete_integration = TABLE.write(
        "integration.delete",
        "DELETE " + _INTEGRATION,
        "Delete integration",
        documented=False,
        action=RuleActionOptions(
            "idempotent",
            "Deletes an integration on pack.cloud.",
            "`integration` is a template of the integration's id.",
        ),
    )
    list_integration_actions = TABLE.list(
        "integration_action.list", _INTEGRATION + "/actions", "Get integration actions by id", documented=False
    )
    execute_integration_action = TABLE.write(
        "integration_action.execute",
        f"POST {_INTEGRATION}/actions/{{action}}/execute",
        "Execute integration action",
        body=("values", dict[str, Any]),
        documented=False,
        action=RuleActionOptions(
            "unsafe",
            "Executes an action of an integration on pack.cloud.",
            "`action` is the id of the integration's action, `values` are its fields.",
            keeps_response=True,
        ),
    )
    get_integration_settings = TABLE.get(
        "integration_settings.get", _INTEGRATION + "/settings", "Get settings for integration", documented=False
    )
    sync_integration_orders = _sync("orders")
    sync_integration_products = _sync("products")
    sync_integration_shipping_services = _sync("shipping services")
    sync_integration_product_stocks = _sync("product stocks")
