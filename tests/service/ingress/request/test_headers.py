"""Headers: repeated ones joined, media types judged, secrets not kept."""

import pytest

from service.envelopes.envelope import JSON_TYPES
from service.errors import Rejection
from service.ingestion.headers import check_content_type, stored_headers
from service.ingress.request.headers import read_headers


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/plain"},
        {"content-type": "json"},
        {"content-type": "+json"},
        {"content-type": "application/jsonp"},
        {"content-type": "application/x-www-form-urlencoded"},
    ],
)
def test_what_is_not_plain_json_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(Rejection) as refused:
        check_content_type(headers, JSON_TYPES)
    assert (refused.value.status, refused.value.code) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/json"},
        {"content-type": "Application/JSON; charset=utf-8"},
        {"content-type": "application/cloudevents+json"},
    ],
)
def test_json_is_taken_under_each_of_its_names(headers: dict[str, str]) -> None:
    check_content_type(headers, JSON_TYPES)


def test_a_repeated_header_hides_nothing() -> None:
    raw = [(b"x-signature", b"one"), (b"x", b"\xe9"), (b"x-signature", b"two")]
    assert read_headers(raw, 8, 1_024) == {"x-signature": "one, two", "x": "é"}


def test_neither_credentials_nor_signatures_are_kept() -> None:
    sent = {"authorization": "Bearer x", "cookie": "x", "webhook-signature": "v1,x", "x-signature": "x", "ce-x": "x"}
    assert stored_headers(sent | {"ce-id": "1", "webhook-id": "2"}) == {"ce-id": "1", "webhook-id": "2"}
