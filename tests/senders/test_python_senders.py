"""The senders' own Python libraries sign, and we verify; we sign, and they verify."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import slack_sdk.signature
import standardwebhooks
import stripe
import svix

from service.errors import Rejection
from service.events import Delivery, RecordRef
from service.ingestion.sources import Source
from service.secrets import SecretRef
from service.signatures import Scheme, Slack, StandardWebhooks, Stripe, Svix

from .conftest import SECRET, MakeSource

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


def from_standard_webhooks(now: int) -> dict[str, str]:
    webhook, at = standardwebhooks.Webhook(SECRET), datetime.fromtimestamp(now, UTC)
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(now),
        "webhook-signature": webhook.sign(msg_id="msg_1", timestamp=at, data=BODY),
    }


def from_svix(now: int) -> dict[str, str]:
    at = datetime.fromtimestamp(now, UTC)
    signature = svix.Webhook(SECRET).sign("msg_1", at, BODY)
    return {"svix-id": "msg_1", "svix-timestamp": str(now), "svix-signature": signature}


def from_stripe(now: int) -> dict[str, str]:
    signature = stripe.WebhookSignature.generate_signature_header(BODY, SECRET, now)  # pyright: ignore[reportUnknownMemberType] - typed with a hole
    return {"stripe-signature": signature}


def from_slack(now: int) -> dict[str, str]:
    verifier = slack_sdk.signature.SignatureVerifier(SECRET)
    signature = verifier.generate_signature(timestamp=str(now), body=BODY)
    return {"x-slack-request-timestamp": str(now), "x-slack-signature": signature or ""}


SENDERS: dict[str, tuple[Callable[[int], dict[str, str]], Any, str]] = {
    "standard_webhooks": (from_standard_webhooks, "standard_webhooks", "c1"),
    "svix": (from_svix, "standard_webhooks", "c1"),
    "stripe": (from_stripe, STRIPE, "cus_1"),
    "slack": (from_slack, SLACK, "U1"),
}


def deliver(source: Source, headers: dict[str, str], body: str = BODY) -> Delivery:
    return Delivery(source.name, {"content-type": "application/json"} | headers, body.encode(), time.time())


@pytest.mark.parametrize("name", SENDERS)
def test_what_a_senders_library_signs_is_taken_in(make_source: MakeSource, name: str) -> None:
    sign, envelope, record = SENDERS[name]
    source = make_source(name, envelope=envelope)
    admission = source.verify_and_parse(deliver(source, sign(int(time.time()))))
    (fact,) = admission.facts
    assert (fact.type, fact.change, fact.record) == (
        "customer.updated",
        "changed" if name == "slack" else "updated",
        RecordRef("erp", "customer", record),
    )
    assert admission.identified == (True,)


@pytest.mark.parametrize("name", SENDERS)
def test_what_somebody_changed_on_the_way_is_refused(make_source: MakeSource, name: str) -> None:
    sign, envelope, _ = SENDERS[name]
    source = make_source(name, envelope=envelope)
    now = int(time.time())
    for headers, body, code in (
        (sign(now), BODY.replace("cus_1", "cus_2"), "not_verified"),
        (sign(now), BODY + "\n", "not_verified"),
        (sign(now - 301), BODY, "stale_timestamp"),
        (sign(now + 305), BODY, "stale_timestamp"),
        ({}, BODY, "not_verified"),
    ):
        with pytest.raises(Rejection) as caught:
            source.verify_and_parse(deliver(source, headers, body))
        assert caught.value.code == code


@pytest.mark.parametrize("name", SENDERS)
def test_a_retry_that_is_signed_anew_is_the_same_event(make_source: MakeSource, name: str) -> None:
    sign, envelope, _ = SENDERS[name]
    source = make_source(name, envelope=envelope)
    now = int(time.time())
    first, again = (source.verify_and_parse(deliver(source, sign(at))).claims for at in (now - 200, now))
    assert first == again


@pytest.mark.parametrize(("name", "envelope"), [("stripe", STRIPE), ("slack", SLACK)])
def test_without_an_id_in_the_body_a_retry_signed_anew_is_a_new_event(
    make_source: MakeSource, name: str, envelope: dict[str, Any]
) -> None:
    source = make_source(name, envelope={key: value for key, value in envelope.items() if key != "id"})
    sign, now = SENDERS[name][0], int(time.time())
    first, again = (source.verify_and_parse(deliver(source, sign(at))).claims for at in (now - 200, now))
    assert first != again
    assert source.verify_and_parse(deliver(source, sign(now - 200))).claims == first


def signed_by_us(scheme: Scheme) -> dict[str, str]:
    return scheme.sign(BODY.encode(), SECRET, "msg_1", int(time.time()))


def test_what_we_sign_the_senders_libraries_verify() -> None:
    standardwebhooks.Webhook(SECRET).verify(BODY, signed_by_us(StandardWebhooks(secrets=REF)))
    svix.Webhook(SECRET).verify(BODY, signed_by_us(Svix(secrets=REF)))
    headers = signed_by_us(Stripe(secrets=REF))
    verify = stripe.WebhookSignature.verify_header  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - likewise
    assert verify(BODY, headers["stripe-signature"], SECRET, tolerance=300)
    assert slack_sdk.signature.SignatureVerifier(SECRET).is_valid_request(BODY, signed_by_us(Slack(secrets=REF)))


def test_slacks_handshake_is_answered_with_what_it_asked(make_source: MakeSource) -> None:
    challenge = {"match": {"/type": "url_verification"}, "echo": "/challenge"}
    source = make_source("slack", envelope=SLACK, challenge=challenge)
    asked = Delivery(
        "one", {}, msgspec.json.encode({"type": "url_verification", "challenge": "3eZbrw1a", "token": "x"}), 0
    )
    answer = source.answer_challenge(asked)
    assert answer is not None
    assert (answer.content_type, answer.body) == ("text/plain; charset=utf-8", b"3eZbrw1a")
    assert source.answer_challenge(deliver(source, {})) is None
