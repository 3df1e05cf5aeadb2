"""Errors in the body of a 200 response without the record."""

from typing import Any

import pytest

from service.errors import PermanentError, TransientError
from service.platforms.api.decoding import NoRecordError
from service.platforms.api.errors_in_bodies import ERRORS_MAX, classify_body

MISSING = NoRecordError("the answer has no id of its own", 200)

RATE_LIMITED = [
    {"errors": [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}]},
    {"errors": {"code": "rate_limited"}},
    {"error": {"code": 429, "message": "slow down"}},
    {"error": "Too Many Requests"},
    {"statusCode": 429},
    {"error": {"type": "rateLimitExceeded"}},
    {"errors": [{"code": "OTHER"}, {"code": "429"}]},
]
CREDENTIALS = [
    {"errors": [{"extensions": {"code": "UNAUTHENTICATED"}}]},
    {"error": {"status": 403}},
    {"error": "access_denied"},
    {"code": "401", "message": "key"},
]
REJECTED = [
    {"errors": [{"extensions": {"code": "GRAPHQL_VALIDATION_FAILED"}}]},
    {"errors": [{"code": "bad_user_input"}]},
    {"error": {"code": 422}},
]
UNKNOWN: list[Any] = [
    None,
    [],
    {},
    "maintenance",
    {"error": None},
    {"error": True},
    {"error": "maintenance"},
    {"error": {"code": 503}},
    {"error": {"code": 404}},
    {"errors": [{"message": "Internal", "extensions": {"code": "INTERNAL_SERVER_ERROR"}}]},
    {"errors": []},
    {"message": "down for ten minutes"},
    {"errors": [{"code": "OTHER"}] * ERRORS_MAX + [{"code": "BAD_REQUEST"}]},
]


@pytest.mark.parametrize(
    ("body", "error", "kind"),
    [
        *((body, TransientError, "platform_rate_limited") for body in RATE_LIMITED),
        *((body, TransientError, "config_unauthorized") for body in CREDENTIALS),
        *((body, PermanentError, "platform_rejected") for body in REJECTED),
        *((body, TransientError, "platform_wrong_envelope") for body in UNKNOWN),
    ],
)
def test_code_in_the_body_decides(body: object, error: type[Exception], kind: str) -> None:
    found = classify_body(MISSING, body)
    assert (type(found), found.kind, found.http_status) == (error, kind, 200)
    assert str(found).startswith("the answer has no id of its own")


def test_reason_names_a_short_code_and_no_text() -> None:
    assert str(classify_body(MISSING, {"error": "maintenance"})).endswith("the body has the error code maintenance")
    assert "secret" not in str(classify_body(MISSING, {"error": "Invalid key (secret) of john@example.com"}))
