"""Client of Pexip Engage's API, and its customers as our records.

Source: the page "Get a customer" (`GET /customers/{id}`), the pages of lists, appointments and callback requests, and
the page on pagination. Answers are JSON under `data`, lists with `meta {offset, limit, totalCount}`. Ids are opaque
text, timestamps ISO 8601, names camelCase. Errors are `{"errors": [{message, code, type, statusCode}]}`.

Every method raises TransientError, PermanentError or Deferred as `PlatformApi.call` does, a write also `record_gone`. A
read returns None for a missing record.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from service.config.platforms import DocumentedValues, FieldPlaces
from service.platforms.api.coercion import JsonObject, as_timestamp, children, nested, text
from service.platforms.api.declared_operations import operation
from service.platforms.api.operation_methods import OperationTable
from service.platforms.api.operations import NO_CONTEXT, PlatformApi, ResultPage, build_page, read_listed
from service.platforms.api.response_structs import ResponseStruct
from service.platforms.api.responses import PlatformResponse
from service.platforms.base import CallContext
from service.records import Address, Customer, Text

LIMIT_DEFAULT = 25

PLACES: Mapping[str, FieldPlaces] = {
    "customer": {
        "reference": "/customerNumber", "external_id": "/externalId", "company_name": "/company",
        "first_name": "/firstName", "last_name": "/lastName", "email": "/email", "phone": "/phoneNumber",
        "language": "/language", "created_at": "/createdAt", "updated_at": "/updatedAt", "deleted_at": "/deletedAt",
        "billing_address": "/location", "billing_address.street": "/location/street1/value",
        "billing_address.postal_code": "/location/postalCode", "billing_address.city": "/location/city/value",
        "billing_address.country_code": "/location/countryCode",
    },
}  # fmt: skip
"""Place of each field in a response."""

LANGUAGES = ("da", "de", "el", "en", "es", "fr", "ja", "nl", "no", "pl")
_TRANSLATED = ("city", "state", "street1", "street2")

ENUMS: Mapping[str, DocumentedValues] = {
    "customer": {
        "language": LANGUAGES,
        "raw.language": LANGUAGES,
        **{f"raw.location.{name}.language": LANGUAGES for name in _TRANSLATED},
        **{f"raw.location.translations.{name}[].language": LANGUAGES for name in _TRANSLATED},
    },
}
"""The enumerations of the page "Get a customer"."""


class PexipEngageCustomerChange(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Changed fields of a customer; omitted fields stay as they are. The names are those of "Get a customer"."""

    external_id: str | UnsetType | None = UNSET
    customer_number: str | UnsetType | None = UNSET
    email: str | UnsetType | None = UNSET
    first_name: str | UnsetType | None = UNSET
    last_name: str | UnsetType | None = UNSET
    company: str | UnsetType | None = UNSET
    language: str | UnsetType | None = UNSET
    notes: str | UnsetType | None = UNSET
    phone_number: str | UnsetType | None = UNSET


_TABLE = OperationTable("/enterprises/{enterprise}", wrapped=True)


class PexipEngageClient:
    """Operations of one enterprise."""

    def __init__(self, api: PlatformApi) -> None:
        self.api = api

    get_customer = _TABLE.get("customer.get", "/customers/{customer}", "Get a customer")
    update_customer = _TABLE.write(
        "customer.update",
        "PATCH /customers/{customer}",
        "Update a customer by id",
        body=("change", PexipEngageCustomerChange),
    )
    get_appointment = _TABLE.get("appointment.get", "/appointments/{appointment}", "Get an appointment", id_at="id")
    get_callback_request = _TABLE.get(
        "callback_request.get",
        "/callback-requests/{callback_request}",
        "Get a callback request",
        documented=False,
        id_at="id",
    )

    @operation("customer.list", "GET", _TABLE.root + "/customers", "Get customers")
    async def list_customers(
        self, offset: int = 0, limit: int = LIMIT_DEFAULT, context: CallContext = NO_CONTEXT
    ) -> ResultPage:
        """GET /customers?offset=&limit=; `next` is the next offset. Pages "Get customers" and on pagination."""
        query = (("offset", str(offset)), ("limit", str(limit)))
        return await self.api.read("customer.list", context, lambda reply: read_page(reply, offset), query=query)


def read_page(reply: PlatformResponse, offset: int) -> ResultPage:
    """Read a list in `data`; `next` counts on from `offset` until `meta.totalCount` is reached.

    Returns:
        The page.

    Raises:
        PermanentError: As `read_listed`.
    """
    node, items = read_listed(reply, "data")
    total = nested(node, "meta").get("totalCount")
    onward = offset + len(items)
    # Without a count, only an empty page marks the end.
    return build_page(items, onward, total, more=not isinstance(total, int) or onward < total)


def customers_of(appointment: JsonObject) -> list[str | UnsetType | None]:
    """Return the ids of an appointment's customers. The participant type CUSTOMER is inferred."""
    participants = children(appointment, "appointmentParticipants") or ()
    return [text(nested(item, "participant"), "id") for item in participants if item.get("type") == "CUSTOMER"]


class _Translated(Struct, gc=False):
    value: Text = UNSET


class _Location(Struct, rename="camel", gc=False):
    street1: _Translated | UnsetType | None = UNSET
    postal_code: Text = UNSET
    city: _Translated | UnsetType | None = UNSET
    country_code: Text = UNSET


class _Customer(Struct, rename="camel", gc=False):
    id: Text = UNSET
    customer_number: Text = UNSET
    external_id: Text = UNSET
    company: Text = UNSET
    first_name: Text = UNSET
    last_name: Text = UNSET
    email: Text = UNSET
    phone_number: Text = UNSET
    language: Text = UNSET
    location: _Location | UnsetType | None = UNSET
    created_at: Any = UNSET
    updated_at: Any = UNSET
    deleted_at: Any = UNSET


def _customer(found: _Customer) -> Customer:
    return Customer(
        id=found.id or "",
        reference=found.customer_number,
        external_id=found.external_id,
        company_name=found.company,
        first_name=found.first_name,
        last_name=found.last_name,
        email=found.email,
        phone=found.phone_number,
        language=found.language,
        billing_address=_address(found.location),
        created_at=as_timestamp(found.created_at),
        updated_at=as_timestamp(found.updated_at),
        deleted_at=as_timestamp(found.deleted_at),
    )


def _address(location: _Location | UnsetType | None) -> Address | UnsetType | None:
    """Return the customer's one location, in the requested language."""
    if not isinstance(location, _Location):
        return location
    street, city = location.street1, location.city
    return Address(
        street=street.value if isinstance(street, _Translated) else street,
        postal_code=location.postal_code,
        city=city.value if isinstance(city, _Translated) else city,
        country_code=location.country_code,
    )


CUSTOMER = ResponseStruct(_Customer, _customer)
