"""Responses that mean that there is no such record: by status, or by status and a value in the body."""

import json
from typing import Any

import pytest

from service.config.platforms import GoneResponse
from service.errors import PermanentError, TransientError
from service.http_client import HttpResponse
from service.platforms.api.responses import GONE_STATUSES, GoneResponses, PlatformResponse, classify_response

GONE = GoneResponses(
    GONE_STATUSES | {403},
    (
        GoneResponse(status=200, at="/error/code", value="not_found"),
        GoneResponse(status=400, at="/errors/0/code", value=17),
        GoneResponse(status=200, at="/deleted", value=True),
    ),
)


def classify(status: int, body: Any, headers: dict[str, str] | None = None, **options: Any) -> PlatformResponse:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = HttpResponse(status, headers or {}, content, 1.0)
    return classify_response("op", answer, transient=frozenset(), gone=GONE, secrets=["s3cret"], now=0.0, **options)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {"error": {"code": "other"}}),
        (200, {"error": "not_found"}),
        (200, {"deleted": 1}),
        (200, {"deleted": "true"}),
    ],
)
def test_another_value_at_the_pointer_is_a_record(status: int, body: Any) -> None:
    assert not classify(status, body).gone


@pytest.mark.parametrize("body", [{"errors": [{"code": "17"}]}, {"errors": []}, b"no JSON"])
def test_another_value_of_an_error_stays_an_error(body: Any) -> None:
    with pytest.raises(PermanentError, match="op answered 400"):
        classify(400, body)


def test_404_with_a_web_page_or_a_time_to_retry_is_no_missing_record() -> None:
    with pytest.raises(PermanentError, match="answered 404"):
        classify(404, b"<html><title>nginx</title></html>")
    with pytest.raises(TransientError):
        classify(404, {}, {"retry-after": "3"})


def test_successful_write_is_never_gone() -> None:
    assert not classify(200, {"error": {"code": "not_found"}}, body_needed=False).gone


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (404, {"message": "Invalid ID. s3cret"}, "answered 404: Invalid ID. ***"),
        (410, b"", "answered 410"),
        (403, {"detail": "hidden"}, "answered 403: hidden"),
        (200, {"error": {"code": "not_found", "message": "No order 7"}}, "answered 200: No order 7"),
        (400, {"errors": [{"code": 17, "detail": "unknown"}]}, "answered 400: unknown"),
        (200, {"deleted": True}, "answered 200"),
    ],
)
def test_missing_record_has_the_words_of_the_platform(status: int, body: Any, reason: str) -> None:
    reply = classify(status, body)
    assert (reply.gone, reply.data, reply.reason) == (True, None, reason)
