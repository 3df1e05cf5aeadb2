"""Signatures of the Python libraries of senders, and of the npm library of Svix, in both directions.

Svix's Python library requires pydantic, which Litestar imports in each process. The tests import one large library,
since each pytest worker imports this module.
"""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import slack_sdk.signature
import standardwebhooks

from service.errors import Rejection
from service.events import Delivery, RecordRef
from service.ingestion.sources import Source
from service.secrets import SecretRef
from service.signatures import Scheme, StandardWebhooks
from tests.service.signatures.schemes import preset_scheme

from . import npm
from .conftest import SECRET, MakeSource

# the libraries take a second to import, and the first run installs the npm packages
pytestmark = [pytest.mark.slow, pytest.mark.timeout(360), pytest.mark.usefixtures("npm_libraries")]

REF = (SecretRef(env="SECRET"),)
STRIPE = {
    "kind": "custom",
    "id": "/id",
    "type": "/type",
    "occurred_at": "/created",
    "record": {"kind": "customer", "id": "/data/object/id"},
    "types": {"customer.created": "created", "customer.updated": "updated"},
    "unmapped": "ignored",
}
SLACK = {
    "kind": "custom",
    "id": "/event_id",
    "type": "/event/type",
    "record": {"kind": "customer", "id": "/event/user"},
}
BODY = json.dumps({
    "id": "evt_1", "event_id": "Ev1", "type": "customer.updated", "created": 1_700_000_000,
    "data": {"id": "c1", "object": {"id": "cus_1"}}, "event": {"type": "customer.updated", "user": "U1"}, "name": "Zoë",
}, ensure_ascii=False)  # fmt: skip


def sign_standard_webhooks(now: int) -> dict[str, str]:
    webhook, at = standardwebhooks.Webhook(SECRET), datetime.fromtimestamp(now, UTC)
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(now),
        "webhook-signature": webhook.sign(msg_id="msg_1", timestamp=at, data=BODY),
    }


def sign_svix(now: int) -> dict[str, str]:
    return npm.call("svix", "sign", BODY.encode(), SECRET, at_seconds=now)


def sign_stripe(now: int) -> dict[str, str]:
    import stripe  # noqa: PLC0415 - large

    signature = stripe.WebhookSignature.generate_signature_header(BODY, SECRET, now)  # pyright: ignore[reportUnknownMemberType] - incomplete types
    return {"stripe-signature": signature}


def sign_slack(now: int) -> dict[str, str]:
    verifier = slack_sdk.signature.SignatureVerifier(SECRET)
    signature = verifier.generate_signature(timestamp=str(now), body=BODY)
    return {"x-slack-request-timestamp": str(now), "x-slack-signature": signature or ""}


NOW = int(time.time())
"""Time at which all deliveries arrive, however long their signatures take."""
SENDERS: dict[str, tuple[Callable[[int], dict[str, str]], Any, str]] = {
    "standard-webhooks": (sign_standard_webhooks, "standard_webhooks", "c1"),
    "svix": (sign_svix, "standard_webhooks", "c1"),
    "stripe": (sign_stripe, STRIPE, "cus_1"),
    "slack": (sign_slack, SLACK, "U1"),
}


def deliver(source: Source, headers: dict[str, str], body: str = BODY) -> Delivery:
    return Delivery(source.name, {"content-type": "application/json"} | headers, body.encode(), NOW)


@pytest.mark.parametrize("name", SENDERS)
def test_delivery_signed_by_the_library_is_accepted(make_source: MakeSource, name: str) -> None:
    sign, envelope, record = SENDERS[name]
    source = make_source(name, envelope=envelope)
    verified = source.verify_and_parse(deliver(source, sign(NOW)))
    (fact,) = verified.facts
    assert (fact.type, fact.change, fact.record) == (
        "customer.updated",
        "changed" if name == "slack" else "updated",
        RecordRef("erp", "customer", record),
    )
    assert verified.sender_ids[0]


@pytest.mark.parametrize("name", SENDERS)
def test_manipulated_or_stale_delivery_is_rejected(make_source: MakeSource, name: str) -> None:
    sign, envelope, _ = SENDERS[name]
    source = make_source(name, envelope=envelope)
    for headers, body, code in (
        (sign(NOW), BODY.replace("cus_1", "cus_2"), "not_verified"),
        (sign(NOW), BODY + "\n", "not_verified"),
        (sign(NOW - 301), BODY, "stale_timestamp"),
        (sign(NOW + 301), BODY, "stale_timestamp"),
        ({}, BODY, "not_verified"),
    ):
        with pytest.raises(Rejection) as caught:
            source.verify_and_parse(deliver(source, headers, body))
        assert caught.value.code == code


@pytest.mark.parametrize("name", SENDERS)
def test_redelivery_with_a_new_signature_is_the_same_event(make_source: MakeSource, name: str) -> None:
    sign, envelope, _ = SENDERS[name]
    source = make_source(name, envelope=envelope)
    first, redelivered = (source.verify_and_parse(deliver(source, sign(at))).dedupe_keys for at in (NOW - 200, NOW))
    assert first == redelivered


@pytest.mark.parametrize(("name", "envelope"), [("stripe", STRIPE), ("slack", SLACK)])
def test_redelivery_without_an_id_and_with_a_new_signature_is_a_new_event(
    make_source: MakeSource, name: str, envelope: dict[str, Any]
) -> None:
    source = make_source(name, envelope=envelope | {"id": None})
    sign = SENDERS[name][0]
    first, redelivered = (source.verify_and_parse(deliver(source, sign(at))).dedupe_keys for at in (NOW - 200, NOW))
    assert first != redelivered
    assert source.verify_and_parse(deliver(source, sign(NOW - 200))).dedupe_keys == first


def sign_with(scheme: Scheme) -> dict[str, str]:
    return scheme.sign(BODY.encode(), SECRET, "msg_1", int(time.time()))


def test_libraries_accept_our_signatures() -> None:
    import stripe  # noqa: PLC0415 - large

    standardwebhooks.Webhook(SECRET).verify(BODY, sign_with(StandardWebhooks(secrets=REF)))
    headers = sign_with(preset_scheme("svix", REF))
    assert npm.call("svix", "verify", BODY.encode(), SECRET, headers) is True
    assert npm.call("svix", "verify", BODY.encode() + b" ", SECRET, headers) is False
    headers = sign_with(preset_scheme("stripe", REF))
    verify = stripe.WebhookSignature.verify_header  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - likewise
    assert verify(BODY, headers["stripe-signature"], SECRET, tolerance=300)
    assert slack_sdk.signature.SignatureVerifier(SECRET).is_valid_request(BODY, sign_with(preset_scheme("slack", REF)))


def test_slack_challenge_is_answered(make_source: MakeSource) -> None:
    challenge = {"match": {"/type": "url_verification"}, "echo": "/challenge"}
    source = make_source("slack", envelope=SLACK, challenge=challenge)
    challenge_delivery = Delivery(
        "one", {}, msgspec.json.encode({"type": "url_verification", "challenge": "3eZbrw1a", "token": "x"}), 0
    )
    answer = source.answer_challenge(challenge_delivery)
    assert answer is not None
    assert (answer.content_type, answer.body) == ("text/plain; charset=utf-8", b"3eZbrw1a")
    assert source.answer_challenge(deliver(source, {})) is None
