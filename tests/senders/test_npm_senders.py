"""Signatures of the npm libraries of GitHub and Shopify, in both directions."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from service.errors import Rejection
from service.events import Delivery, RecordRef
from service.secrets import SecretRef
from service.signatures import Scheme
from tests.service.signatures.schemes import preset_scheme

from .conftest import SECRET, MakeSource

REF = (SecretRef(env="SECRET"),)
SCHEMES: dict[str, Scheme] = {name: preset_scheme(name, REF) for name in ("github", "shopify")}
ENVELOPE = {
    "kind": "custom",
    "type": {"header": "X-Shopify-Topic"},
    "record": {"kind": "customer", "id": "/id"},
    "types": {"customers/update": "updated"},
}
BODY = json.dumps({"id": 706405506930370084, "email": "zoë@example.com", "note": "<&>'\\"}, ensure_ascii=False).encode()
PLAIN = {"content-type": "application/json", "x-shopify-topic": "customers/update"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(360)]  # the first run installs the packages


@pytest.mark.parametrize("sender", SCHEMES)
def test_delivery_signed_by_the_library_is_accepted(
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
def test_library_accepts_our_signature(npm_libraries: Callable[..., Any], sender: str) -> None:
    headers = SCHEMES[sender].sign(BODY, SECRET, "", 0)
    assert npm_libraries(sender, "verify", BODY, SECRET, headers) is True
    assert npm_libraries(sender, "verify", BODY + b" ", SECRET, headers) is False


def test_unsigned_shopify_ids_do_not_change_the_dedupe_key(
    make_source: MakeSource, npm_libraries: Callable[..., Any]
) -> None:
    source = make_source("shopify", envelope=ENVELOPE)
    headers = PLAIN | npm_libraries("shopify", "sign", BODY, SECRET)
    dedupe_keys = {
        source.verify_and_parse(
            Delivery("one", headers | {"x-shopify-webhook-id": n, "x-shopify-event-id": n}, BODY, 0)
        ).dedupe_keys
        for n in "abc"
    }
    assert len(dedupe_keys) == 1
