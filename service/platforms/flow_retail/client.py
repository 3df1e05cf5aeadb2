"""Client of Flow Retail's API (v2): customers, their extensions, purchase orders, the tenant.

The captured page "Customer" has ten operations without paths; the paths of lists are on other pages. Paths that no page
prints follow related ones, and can be overridden under `paths`. Bodies are bare JSON objects with camelCase names,
lists are `items` with `paging {pageNumber, pageSize, totalCount}`; ids are UIDs. Amounts, percentages and quantities
are whole numbers with two implied decimals (2500 is 25.00, 150 pieces is 1.50); paging and payment terms (days) are not
scaled. Error bodies and limits are not documented: the status alone decides.

Every method raises TransientError, PermanentError or Deferred as `PlatformApi.call` does, writes also `record_gone`. A
read returns None for a missing record.
"""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from service.errors import PermanentError
from service.platforms.api.coercion import nested
from service.platforms.api.declared_operations import RuleActionOptions, operation, rule_action
from service.platforms.api.operation_methods import OperationTable
from service.platforms.api.operations import (
    NO_CONTEXT,
    PlatformApi,
    QueryPairs,
    ResultPage,
    WriteResult,
    build_page,
    read_listed,
)
from service.platforms.api.responses import PlatformResponse
from service.platforms.base import CallContext
from service.platforms.flow_retail.inputs import FlowRetailCustomerInput

PAGE_SIZE_DEFAULT = 25

EXTENSIONS = frozenset({"TWO_INVOICE"})
"""Documented extensions of a customer. Others are sent, too: the platform may know more."""

_TENANT = "/tenants/{tenant}"
_STORE = _TENANT + "/stores/{store}"
_EXTENSION = _TENANT + "/customers/{customer}/extensions/{extension}/{organization}"


class Paging(Struct, frozen=True, kw_only=True):
    """Page of a list and its order; pages count from 1."""

    page_number: int = 1
    page_size: int = PAGE_SIZE_DEFAULT
    sort_by: str | None = None
    sort_direction: Literal["ASC", "DESC"] | None = None

    def query(self) -> list[tuple[str, str]]:
        """Return the query parameters."""
        query = [("pageNumber", str(self.page_number)), ("pageSize", str(self.page_size))]
        query += [("sortBy", self.sort_by)] if self.sort_by else []
        return query + ([("sortDirection", self.sort_direction)] if self.sort_direction else [])


FIRST = Paging()


_TABLE = OperationTable(_TENANT, wrapped=False, id_key="customerUid")
_STORE_TABLE = OperationTable(_STORE, wrapped=False)


class FlowRetailClient:
    """Operations of one tenant, and of one of its stores: those need `store_uid`, else they are `not_configured`."""

    def __init__(self, api: PlatformApi) -> None:
        self.api = api

    get_tenant = _TABLE.get("tenant.get", "", "Get details for a tenant")
    get_customer = _TABLE.get("customer.get", "/customers/{customer}", "Get details for a customer", documented=False)
    create_customer = _TABLE.write(
        "customer.create",
        "POST /customers",
        "Create a customer",
        body=("new", FlowRetailCustomerInput),
        documented=False,
        action=RuleActionOptions(
            "unsafe", "Creates a customer on Flow Retail.", "`new` is what the customer is created from."
        ),
    )
    update_customer = _TABLE.write(
        "customer.update",
        "PUT /customers/{customer}",
        "Update a customer",
        body=("change", FlowRetailCustomerInput),
        documented=False,
        action=RuleActionOptions(
            "idempotent",
            "Changes a customer on Flow Retail.",
            "`change` is what of it changes; what is left out stays.",
        ),
    )
    delete_customer = _TABLE.write(
        "customer.delete",
        "DELETE /customers/{customer}",
        "Delete a customer",
        documented=False,
        action=RuleActionOptions(
            "idempotent", "Deletes a customer on Flow Retail.", "`customer` is a template of the customer's UID."
        ),
    )
    get_store_customer = _STORE_TABLE.get(
        "store_customer.get",
        "/customers/{customer}",
        "Return a complete customer with store specific details",
        documented=False,
    )
    get_purchase_order = _STORE_TABLE.get(
        "purchase_order.get",
        "/purchase-orders/{purchase_order}",
        "Get details for a purchase order",
        documented=False,
    )

    @operation("customer.list", "GET", _TENANT + "/customers", "List all customers")
    async def list_customers(
        self, external_id: str | None = None, paging: Paging = FIRST, context: CallContext = NO_CONTEXT
    ) -> ResultPage:
        """GET /tenants/{tenant}/customers: whole customers. Operation "List all customers"."""
        query = paging.query() + ([("customerExternalId", external_id)] if external_id else [])
        return await self._page("customer.list", context, query, paging)

    @operation(
        "customer.search", "POST", _TENANT + "/customers/search", "Search for customers", documented=False, reads=True
    )
    async def search_customers(
        self, criteria: dict[str, Any], paging: Paging = FIRST, context: CallContext = NO_CONTEXT
    ) -> ResultPage:
        """POST /tenants/{tenant}/customers/search, criteria in the body. Operation "Searches for customers"."""
        return await self._page("customer.search", context, paging.query(), paging, criteria)

    @operation(
        "customer.external_search",
        "POST",
        _TENANT + "/customers/search-external",
        "Search for customers externally",
        reads=True,
    )
    async def search_external_customers(
        self, criteria: dict[str, Any], paging: Paging = FIRST, context: CallContext = NO_CONTEXT
    ) -> ResultPage:
        """POST /tenants/{tenant}/customers/search-external. Operation "Searches for customers externally".

        The tenant needs the extension EXTERNAL_CUSTOMER_SEARCH, else the error is `config_forbidden`.

        Returns:
            The page.
        """
        return await self._page("customer.external_search", context, paging.query(), paging, criteria)

    @operation("extension.add", "POST", _EXTENSION, "Add an extension to a customer", documented=False)
    @rule_action(
        "unsafe",
        "Adds an extension to a customer on Flow Retail.",
        "`extension` is its name, as TWO_INVOICE; `organization` the UID beside it.",
    )
    async def add_extension(
        self, customer: str, extension: str, organization: str, context: CallContext = NO_CONTEXT
    ) -> WriteResult:
        """POST …/customers/{customer}/extensions/{extension}/{organization}. Operation "Add an extension".

        The one documented extension is TWO_INVOICE; `organization` is the UID beside it.

        Returns:
            The result.

        Raises:
            PermanentError: `record_gone` without such a customer; `invalid_argument` without such an extension.
        """
        ids = {"customer": customer, "extension": extension, "organization": organization}
        try:
            return await self.api.write("extension.add", context, ids=ids, key="customerUid")
        except PermanentError as error:
            if error.kind == "record_gone" and await self.get_customer(customer, context) is not None:
                raise PermanentError("invalid_argument", _unknown_extension(ids), http_status=404) from error
            raise

    @operation("extension.delete", "DELETE", _EXTENSION, "Delete an extension to a customer", documented=False)
    @rule_action(
        "idempotent",
        "Takes an extension from a customer on Flow Retail.",
        "`extension` is its name, as TWO_INVOICE; `organization` the UID beside it.",
    )
    async def delete_extension(
        self, customer: str, extension: str, organization: str, context: CallContext = NO_CONTEXT
    ) -> WriteResult:
        """DELETE …/customers/{customer}/extensions/{extension}/{organization}: 204. Operation "Delete an extension".

        A customer without the extension, or no such customer, counts as success.

        Returns:
            The result.

        Raises:
            PermanentError: `invalid_argument` if the platform does not know the extension.
        """
        ids = {"customer": customer, "extension": extension, "organization": organization}
        result = await self.api.write("extension.delete", context, ids=ids)
        is_known = extension in EXTENSIONS or result.http_status not in {404, 410}
        if not is_known and await self.get_customer(customer, context) is not None:
            raise PermanentError("invalid_argument", _unknown_extension(ids), http_status=404)
        return result

    @operation("purchase_order.list", "GET", _STORE + "/purchase-orders", "List purchase orders")
    async def list_purchase_orders(
        self, statuses: tuple[str, ...] = (), paging: Paging = FIRST, context: CallContext = NO_CONTEXT
    ) -> ResultPage:
        """GET …/stores/{store}/purchase-orders. Page "Purchase", operation "List purchase orders".

        Returns:
            The page.

        Raises:
            PermanentError: `not_configured` for an account without `store_uid`.
        """
        query = paging.query() + [("purchaseOrderStatus", status) for status in statuses]
        return await self._page("purchase_order.list", context, query, paging)

    async def _page(
        self, name: str, context: CallContext, query: QueryPairs, paging: Paging, criteria: dict[str, Any] | None = None
    ) -> ResultPage:
        return await self.api.read(name, context, lambda reply: read_page(reply, paging), query=query, body=criteria)


def _unknown_extension(ids: Mapping[str, str]) -> str:
    """Return the reason of a 404 although the customer exists."""
    return (
        f"customer {ids['customer']} exists, but Flow Retail does not know the extension {ids['extension']} with the "
        f"organization {ids['organization']}; check both (documented: {', '.join(EXTENSIONS)})"
    )


def read_page(reply: PlatformResponse, paging: Paging) -> ResultPage:
    """Read a list in `items`; there is a next page until `paging.totalCount` is reached.

    Returns:
        The page.

    Raises:
        PermanentError: As `read_listed`.
    """
    node, items = read_listed(reply, "items")
    total = nested(node, "paging").get("totalCount")
    seen = (paging.page_number - 1) * paging.page_size + len(items)
    # Without a count, a page that is not full is the last.
    more = seen < total if isinstance(total, int) else len(items) >= paging.page_size
    return build_page(items, paging.page_number + 1, total, more=more)
