"""Client of Open Food Network's API, and its customers as our records.

Source: the page "Customers" and the project's OpenAPI file. JSON is under `data` as in JSON:API; ids are text there and
numbers inside `attributes`; lists have `meta.pagination`. Orders belong to API v0, which is flat and unsupported.
Amounts are decimal text or numbers. Errors are `{"errors": [{"detail": …}]}`. A 401 means forbidden as well, and
repeats the key, which is removed. A 422 is transient for a read; for a write it rejects the body.

Every method raises TransientError, PermanentError or Deferred as `PlatformApi.call` does, writes also `record_gone`. A
read returns None for a missing record.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from service.config.platforms import FieldPlaces
from service.platforms.api.coercion import as_tags, nested
from service.platforms.api.declared_operations import RuleActionOptions, operation
from service.platforms.api.operation_methods import OperationTable
from service.platforms.api.operations import NO_CONTEXT, PlatformApi, ResultPage, build_page, read_listed
from service.platforms.api.response_structs import ResponseStruct
from service.platforms.api.responses import PlatformResponse
from service.platforms.base import CallContext
from service.records import Address, Customer, Text

PER_PAGE_MAX = 200
"""The instance takes no more on one page, whatever is asked."""


_ADDRESS = {
    "street": "street_address_1", "postal_code": "postal_code", "city": "locality", "state_code": "region/code",
    "country_code": "country/code", "phone": "phone",
}  # fmt: skip

PLACES: Mapping[str, FieldPlaces] = {
    "customer": {
        "reference": "/attributes/code", "first_name": "/attributes/first_name", "last_name": "/attributes/last_name",
        "email": "/attributes/email", "tags": "/attributes/tags",
        **{
            field: pointer
            for whole in ("billing_address", "shipping_address")
            for field, pointer in [
                (whole, f"/attributes/{whole}"),
                *((f"{whole}.{name}", f"/attributes/{whole}/{key}") for name, key in _ADDRESS.items()),
            ]
        },
    },
}  # fmt: skip
"""Place of each field in a response. The name of an address is joined from two fields, so it has no place."""

COMBINED: Mapping[str, Mapping[str, str]] = {
    "customer": {
        f"{whole}.name": "it is joined from first_name and last_name of the address"
        for whole in ("billing_address", "shipping_address")
    },
}
"""Fields without a place of their own."""


class Place(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Region or country, by name or by code, such as `AU`."""

    name: str | UnsetType = UNSET
    code: str | UnsetType = UNSET

    def __post_init__(self) -> None:
        if self.name is UNSET and self.code is UNSET:
            raise ValueError("a region or country needs a name or a code")


class CustomerAddress(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Address as Open Food Network accepts it; latitude and longitude in degrees."""

    phone: str | UnsetType = UNSET
    latitude: float | UnsetType = UNSET
    longitude: float | UnsetType = UNSET
    first_name: str | UnsetType = UNSET
    last_name: str | UnsetType = UNSET
    street_address_1: str | UnsetType = UNSET
    street_address_2: str | UnsetType = UNSET
    postal_code: str | UnsetType = UNSET
    locality: str | UnsetType = UNSET
    region: Place | UnsetType = UNSET
    country: Place | UnsetType = UNSET


class OpenFoodNetworkCustomerInput(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Fields of a customer. `enterprise_id` and `email` are required; omitted fields stay as they are.

    None removes an address. An instance may reject a billing address that is an object, with 422.
    """

    enterprise_id: int
    email: str
    first_name: str | UnsetType | None = UNSET
    last_name: str | UnsetType | None = UNSET
    code: str | UnsetType | None = UNSET
    tags: Sequence[str] | UnsetType = UNSET
    billing_address: CustomerAddress | UnsetType | None = UNSET
    shipping_address: CustomerAddress | UnsetType | None = UNSET


_V1 = OperationTable("/api/v1", wrapped=True)
_V0 = OperationTable("/api/v0", wrapped=False)


class OpenFoodNetworkClient:
    """Operations of one instance. A created customer replaces the one of the same e-mail address and enterprise."""

    def __init__(self, api: PlatformApi) -> None:
        self.api = api

    get_customer = _V1.get("customer.get", "/customers/{customer}", "Show customer")
    create_customer = _V1.write(
        "customer.create",
        "POST /customers",
        "Create customer",
        body=("customer", OpenFoodNetworkCustomerInput),
        action=RuleActionOptions(
            "idempotent",
            "Creates a customer on Open Food Network, or updates the one of that e-mail address.",
            "`customer` is what it is written as; `enterprise_id` and `email` are due.",
        ),
    )
    update_customer = _V1.write(
        "customer.update",
        "PUT /customers/{customer}",
        "Update customer",
        body=("change", OpenFoodNetworkCustomerInput),
        action=RuleActionOptions(
            "idempotent",
            "Changes a customer on Open Food Network.",
            "`change` is what it is written as; `enterprise_id` and `email` are due each time, what else is left out "
            "stays.",
        ),
    )
    delete_customer = _V1.write(
        "customer.delete",
        "DELETE /customers/{customer}",
        "Delete customer",
        action=RuleActionOptions(
            "idempotent", "Deletes a customer on Open Food Network.", "`customer` is a template of the customer's id."
        ),
    )
    get_order = _V0.get("order.get", "/orders/{order}", "Show order (v0)", id_at="number")

    @operation("customer.list", "GET", "/api/v1/customers", "List customers")
    async def list_customers(
        self,
        enterprise_id: str | None = None,
        page: int = 1,
        per_page: int = PER_PAGE_MAX,
        extra_fields: str | None = None,
        context: CallContext = NO_CONTEXT,
    ) -> ResultPage:
        """GET /api/v1/customers: customers of the user's enterprises, by id. Page "List customers".

        `next` is the next page's number. A call without a key gets an empty list, no error. A list contains balances if
        `extra_fields` is `balance`.

        Returns:
            The page.
        """
        query = [("enterprise_id", enterprise_id)] if enterprise_id else []
        query += [("extra_fields[customer]", extra_fields)] if extra_fields else []
        query += [("page", str(page)), ("per_page", str(per_page))]
        return await self.api.read("customer.list", context, lambda reply: read_page(reply, page), query=query)


def read_page(reply: PlatformResponse, page: int) -> ResultPage:
    """Read a list in `data`; `links.next` or `meta.pagination` names the next page.

    Returns:
        The page.

    Raises:
        PermanentError: As `read_listed`.
    """
    node, items = read_listed(reply, "data")
    counts = nested(node, "meta", "pagination")
    pages, total = counts.get("pages"), counts.get("results")
    more = page < pages if isinstance(pages, int) else bool(nested(node, "links").get("next"))
    return build_page(items, page + 1, total, more=more)


class _Coded(Struct, gc=False):
    code: Text = UNSET


class _Address(Struct, gc=False):
    first_name: Text = UNSET
    last_name: Text = UNSET
    street_address_1: Text = UNSET
    postal_code: Text = UNSET
    locality: Text = UNSET
    region: _Coded | UnsetType | None = UNSET
    country: _Coded | UnsetType | None = UNSET
    phone: Text = UNSET


class _Attributes(Struct, gc=False):
    code: Text = UNSET
    first_name: Text = UNSET
    last_name: Text = UNSET
    email: Text = UNSET
    tags: Any = UNSET
    billing_address: _Address | UnsetType | None = UNSET
    shipping_address: _Address | UnsetType | None = UNSET


class _Customer(Struct, gc=False):
    id: Text = UNSET
    attributes: _Attributes | UnsetType | None = UNSET


_NO_ATTRIBUTES = _Attributes()


def _customer(found: _Customer) -> Customer:
    """Build a customer. The balance has no currency, so rules find it at `raw.attributes.balance` only."""
    attributes = found.attributes or _NO_ATTRIBUTES
    return Customer(
        id=found.id or "",
        reference=attributes.code,
        first_name=attributes.first_name,
        last_name=attributes.last_name,
        email=attributes.email,
        tags=as_tags(attributes.tags),
        billing_address=_address(attributes.billing_address),
        shipping_address=_address(attributes.shipping_address),
    )


def _address(found: _Address | UnsetType | None) -> Address | UnsetType | None:
    if not isinstance(found, _Address):
        return found
    names = [name for name in (found.first_name, found.last_name) if name]
    region, country = found.region, found.country
    return Address(
        name=" ".join(names) if names else UNSET,
        street=found.street_address_1,
        postal_code=found.postal_code,
        city=found.locality,
        state_code=region.code if isinstance(region, _Coded) else region,
        country_code=country.code if isinstance(country, _Coded) else country,
        phone=found.phone,
    )


CUSTOMER = ResponseStruct(_Customer, _customer)
