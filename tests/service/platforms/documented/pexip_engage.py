"""Pexip Engage: the page "Get a customer", and the pages of lists, appointments and callback requests."""

from typing import Any

from .table import TOKEN, Documentation, DocumentedRecord, Enumeration, Row

LANGUAGES = ("da", "de", "el", "en", "es", "fr", "ja", "nl", "no", "pl")
_TEXT = {"language": "en", "value": "Ghent"}

CUSTOMER: dict[str, Any] = {
    "id": "123", "externalId": "ABCD1234", "customerNumber": "123456", "email": "john@example.com",
    "firstName": "John", "lastName": "Doe", "company": "Acme Corp", "language": "da", "notes": "Mornings",
    "phoneNumber": "+32412345678", "existing": True, "timeZone": "Europe/Brussels",
    "createdAt": "2022-08-17T19:05:21.362Z", "updatedAt": "2022-08-17T19:05:21.362Z", "deletedAt": None,
    "location": {
        "city": _TEXT, "state": _TEXT, "street1": _TEXT, "street2": _TEXT, "postalCode": "9000", "countryCode": "BE",
        "formattedAddress": "Example Street 1, 9000 Ghent", "geolocation": {"latitude": 51.05, "longitude": 3.69},
        "translations": {"city": [_TEXT], "street1": [_TEXT], "state": [], "street2": []},
    },
}  # fmt: skip
APPOINTMENT = {
    "id": "a-1", "status": "ACCEPTED", "updatedAt": "2022-08-17T19:05:21.362Z",
    "appointmentParticipants": [{"role": "PRIMARY", "type": "CUSTOMER", "participant": {"id": "123"}}],
}  # fmt: skip
_ROOT = "/enterprises/acme"

DOCUMENT = Documentation(
    kind="pexip_engage",
    base_path="",
    account={
        "enterprise": "acme", "client_id": {"env": "CLIENT"}, "client_secret": {"env": "TOKEN"},
        "token_url": "{url}/realms/acme/protocol/openid-connect/token",
    },
    headers={
        "Authorization": f"Bearer {TOKEN}", "Accept-Language": r"en.*", "X-Correlation-Id": r"[0-9A-Za-z-]{1,36}",
        "Accept": "application/json",
    },
    rows=(
        Row("customer.get", "GET", f"{_ROOT}/customers/123", {"customer": "123"}, answer={"data": CUSTOMER}),
        Row(
            "customer.list", "GET", f"{_ROOT}/customers?offset=25&limit=2", {"offset": "25", "limit": "2"},
            answer={"data": [CUSTOMER, CUSTOMER], "meta": {"offset": 25, "limit": 2, "totalCount": 60}},
            items="data", next="27",
        ),
        Row(
            "customer.update", "PATCH", f"{_ROOT}/customers/123", {"customer": "123"},
            body={"firstName": "Ann", "notes": None}, answer={"data": CUSTOMER},
        ),
        Row(
            "appointment.get", "GET", f"{_ROOT}/appointments/a-1", {"appointment": "a-1"},
            answer={"data": APPOINTMENT},
        ),
        Row(
            "callback_request.get", "GET", f"{_ROOT}/callback-requests/cb-1", {"callback_request": "cb-1"},
            answer={"data": {"id": "cb-1", "customer": {"id": "123"}}},
        ),
    ),
    records={
        "customer": DocumentedRecord(
            "123", "customer.get",
            (
                "/externalId", "/customerNumber", "/email", "/firstName", "/lastName", "/company", "/language",
                "/notes", "/phoneNumber", "/deletedAt", "/location/city", "/location/state", "/location/street1",
                "/location/street2", "/location/postalCode", "/location",
            ),
        )
    },
    enums=(
        Enumeration("customer", "/language", LANGUAGES, "language"),
        Enumeration("customer", "/location/city/language", LANGUAGES),
        Enumeration("customer", "/location/translations/city/0/language", LANGUAGES),
    ),
    error=lambda text: {"errors": [{"message": text, "code": "SOME_CODE", "type": "SOME_TYPE", "statusCode": "400"}]},
    wrapped=True,
    token_path="/realms/acme/protocol/openid-connect/token",
)  # fmt: skip
