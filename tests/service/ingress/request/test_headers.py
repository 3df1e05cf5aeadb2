"""Headers: repeated ones, media types, and the ones that are stored."""

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
def test_media_types_other_than_json_are_rejected(headers: dict[str, str]) -> None:
    with pytest.raises(Rejection) as caught:
        check_content_type(headers, JSON_TYPES)
    assert (caught.value.status, caught.value.code) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/json"},
        {"content-type": "Application/JSON; charset=utf-8"},
        {"content-type": "application/cloudevents+json"},
    ],
)
def test_json_media_types_are_accepted(headers: dict[str, str]) -> None:
    check_content_type(headers, JSON_TYPES)


def test_repeated_headers_are_joined() -> None:
    raw = [(b"x-signature", b"one"), (b"x", b"\xe9"), (b"x-signature", b"two")]
    assert read_headers(raw, 8, 1_024) == {"x-signature": "one, two", "x": "é"}


def test_credentials_and_signatures_are_not_stored() -> None:
    sent = {"authorization": "Bearer x", "cookie": "x", "webhook-signature": "v1,x", "x-signature": "x", "ce-x": "x"}
    assert stored_headers(sent | {"ce-id": "1", "webhook-id": "2"}) == {"ce-id": "1", "webhook-id": "2"}
    more = stored_headers(sent | {"x-site": "s" * 257, "ce-id": "1"}, frozenset({"x-site", "x-other"}))
    assert more == {"x-site": "s" * 256, "ce-id": "1"}
