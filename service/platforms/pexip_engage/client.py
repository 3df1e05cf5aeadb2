"""Client of Pexip Engage's API, and its customers as our records.

Source: the page "Get a customer" (`GET /customers/{id}`), the pages of lists, appointments and callback requests, and
the page on pagination. Answers are JSON under `data`, lists with `meta {offset, limit, totalCount}`. Ids are opaque
text, timestamps ISO 8601, names camelCase. Errors are `{"errors": [{message, code, type, statusCode}]}`.

Every method raises TransientError, PermanentError or Deferred as `PlatformApi.call` does, a write also `record_gone`. A
read returns None for a missing record.
"""

from collections.abc import Mapping

from msgspec import UNSET, Struct, UnsetType

from service.config.platforms import DocumentedValues, FieldPlaces
from service.platforms.api.coercion import JsonObject, child, children, nested, nested_text, text, timestamp
from service.platforms.api.declared_operations import operation
from service.platforms.api.decoding import record_id, unwrap
from service.platforms.api.operation_methods import OperationTable
from service.platforms.api.operations import NO_CONTEXT, PlatformApi, ResultPage, build_page, read_listed
from service.platforms.api.responses import PlatformResponse
from service.platforms.base import CallContext
from service.records import Address, Customer, Timestamp

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


def read_customer(reply: PlatformResponse) -> tuple[JsonObject, Customer, Timestamp]:
    """Read a customer.

    Returns:
        The customer's JSON, the customer, and its modification time.

    Raises:
        PermanentError: `platform_wrong_envelope`.
    """
    node = unwrap(reply.data, reply.status, wrapped=True)
    record = Customer(
        id=record_id(node.get("id"), reply.status),
        reference=text(node, "customerNumber"),
        external_id=text(node, "externalId"),
        company_name=text(node, "company"),
        first_name=text(node, "firstName"),
        last_name=text(node, "lastName"),
        email=text(node, "email"),
        phone=text(node, "phoneNumber"),
        language=text(node, "language"),
        billing_address=_address(node),
        created_at=timestamp(node, "createdAt"),
        updated_at=timestamp(node, "updatedAt"),
        deleted_at=timestamp(node, "deletedAt"),
    )
    return node, record, record.updated_at


def _address(node: JsonObject) -> Address | UnsetType | None:
    """Return the customer's one location, in the requested language."""
    location = child(node, "location")
    if location is None or location is UNSET:
        return location
    return Address(
        street=nested_text(location, "street1", "value"),
        postal_code=text(location, "postalCode"),
        city=nested_text(location, "city", "value"),
        country_code=text(location, "countryCode"),
    )
