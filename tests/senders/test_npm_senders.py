"""GitHub's and Shopify's own npm libraries sign, and we verify; we sign, and they verify."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from service.errors import Rejection
from service.events import Delivery, RecordRef
from service.secrets import SecretRef
from service.signatures import GitHub, Scheme, Shopify

from .conftest import SECRET, MakeSource

REF = (SecretRef(env="SECRET"),)
SCHEMES: dict[str, Scheme] = {"github": GitHub(secrets=REF), "shopify": Shopify(secrets=REF)}
ENVELOPE = {
    "kind": "custom",
    "type": {"header": "X-Shopify-Topic"},
    "record": {"kind": "customer", "id": "/id"},
    "types": {"customers/update": "updated"},
}
BODY = json.dumps({"id": 706405506930370084, "email": "zoë@example.com", "note": "<&>'\\"}, ensure_ascii=False).encode()
PLAIN = {"content-type": "application/json", "x-shopify-topic": "customers/update"}

pytestmark = pytest.mark.timeout(360)  # the first run installs


@pytest.mark.parametrize("sender", SCHEMES)
def test_what_a_senders_library_signs_is_taken_in(
    make_source: MakeSource, npm_libraries: Callable[..., Any], sender: str
) -> None:
    source = make_source(sender, envelope=ENVELOPE)
    headers = npm_libraries(sender, "sign", BODY, SECRET)
    (fact,) = source.verify_and_parse(Delivery("one", PLAIN | headers, BODY, 0)).facts
    assert (fact.type, fact.change) == ("customers/update", "updated")
    assert fact.record == RecordRef("erp", "customer", "706405506930370084")
    with pytest.raises(Rejection):
        source.verify_and_parse(Delivery("one", PLAIN | headers, BODY + b" ", 0))
    other = npm_libraries(sender, "sign", BODY, SECRET + "x")
    with pytest.raises(Rejection):
        source.verify_and_parse(Delivery("one", PLAIN | other, BODY, 0))


@pytest.mark.parametrize("sender", SCHEMES)
def test_what_we_sign_a_senders_library_verifies(npm_libraries: Callable[..., Any], sender: str) -> None:
    headers = SCHEMES[sender].sign(BODY, SECRET, "", 0)
    assert npm_libraries(sender, "verify", BODY, SECRET, headers) is True
    assert npm_libraries(sender, "verify", BODY + b" ", SECRET, headers) is False


def test_the_ids_in_shopifys_unsigned_headers_make_nothing_new(
    make_source: MakeSource, npm_libraries: Callable[..., Any]
) -> None:
    source = make_source("shopify", envelope=ENVELOPE)
    headers = PLAIN | npm_libraries("shopify", "sign", BODY, SECRET)
    claims = {
        source.verify_and_parse(
            Delivery("one", headers | {"x-shopify-webhook-id": n, "x-shopify-event-id": n}, BODY, 0)
        ).claims
        for n in "abc"
    }
    assert len(claims) == 1
