"""Open Food Network: the page "Customers" of API v1, with the envelope and the errors of the project's own document."""

from typing import Any

from .table import TOKEN, Documentation, DocumentedRecord, Row

_ADDRESS = {
    "phone": "0404 333 222 111", "latitude": -37.8173751, "longitude": 144.964803195704, "first_name": "Alice",
    "last_name": "Springs", "street_address_1": "1 Flinders Street", "street_address_2": "", "postal_code": "1234",
    "locality": "Melbourne", "region": {"code": "Vic", "name": "Victoria"},
    "country": {"code": "AU", "name": "Australia"},
}  # fmt: skip
CUSTOMER: dict[str, Any] = {
    "id": "1", "type": "customer",
    "attributes": {
        "id": 1, "enterprise_id": 2, "first_name": "Alice", "last_name": "Springs", "code": "BUYER1",
        "email": "alice@example.com", "allow_charges": False, "tags": ["staff", "discount"],
        "terms_and_conditions_accepted_at": "2022-03-12T15:55:00.000+11:00", "billing_address": _ADDRESS,
        "shipping_address": _ADDRESS, "balance": -12.5,
    },
    "relationships": {"enterprise": {"data": {"id": "2", "type": "enterprise"}, "links": {"related": "/2"}}},
}  # fmt: skip
BODY: dict[str, Any] = {
    "enterprise_id": 2, "first_name": "Alice", "last_name": "Springs", "code": "BUYER1", "email": "alice@example.com",
    "tags": ["staff", "discount"], "billing_address": None,
    "shipping_address": _ADDRESS | {"region": {"code": "Vic"}, "country": {"name": "Australia"}},
}  # fmt: skip
_LINKS = {"self": "/1", "first": "/1", "prev": None, "next": "/2", "last": "/3"}
_PAGINATION = {"results": 500, "pages": 3, "page": 1, "per_page": 200}
_MANY = "/api/v1/customers"

DOCUMENT = Documentation(
    kind="open_food_network",
    base_path="",
    account={"token": {"env": "TOKEN"}},
    headers={"X-Api-Token": TOKEN, "Accept": "application/json"},
    rows=(
        Row(
            "customer.list", "GET", f"{_MANY}?enterprise_id=2&extra_fields[customer]=balance&page=1&per_page=200",
            {"enterprise_id": "2", "extra_fields": "balance"},
            answer={"data": [CUSTOMER], "meta": {"pagination": _PAGINATION}, "links": _LINKS}, items="data", next="2",
        ),
        Row(
            "customer.get", "GET", f"{_MANY}/1", {"customer": "1"},
            answer={"data": CUSTOMER, "meta": {}, "links": {}},
        ),
        Row("customer.create", "POST", _MANY, body=BODY, status=201, answer={"data": CUSTOMER}),
        Row("customer.update", "PUT", f"{_MANY}/1", {"customer": "1"}, body=BODY, answer={"data": CUSTOMER}),
        Row("customer.delete", "DELETE", f"{_MANY}/1", {"customer": "1"}, answer={"data": CUSTOMER}),
        Row(
            "order.get", "GET", "/api/v0/orders/R1", {"order": "R1"},
            answer={"number": "R1", "email": "alice@example.com", "customer_id": 1, "total": "36.0"},
        ),
    ),
    records={
        "customer": DocumentedRecord(
            "1", "customer.get",
            tuple(
                f"/attributes/{name}" for name in (
                    "first_name", "last_name", "code", "terms_and_conditions_accepted_at", "billing_address",
                    "shipping_address",
                )
            ),
        )
    },
    enums=(),
    error=lambda text: {
        "errors": [{"detail": "Invalid resource. Please fix errors and try again."}],
        "meta": {"validation_errors": [text]},
    },
    wrapped=True,
    transient_422=True,
)  # fmt: skip
