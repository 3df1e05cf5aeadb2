"""Challenges: deliveries that match get a challenge response, all others do not."""

import hashlib
import hmac
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.challenges.challenge import Challenge
from service.challenges.challenge_response import ECHO_CHARACTERS_MAX, ChallengeResponse
from service.events import Delivery

SLACK = Challenge(match={"/type": "url_verification"}, echo="/challenge")
BODY = {"type": "url_verification", "challenge": "3eZbrw1a", "token": "t"}


ZOOM = {
    "match": {"/event": "endpoint.url_validation"},
    "echo": "/payload/plainToken",
    "as": "json",
    "proof": {"name": "encryptedToken", "secret": {"env": "ZOOM"}},
}


def answer(body: object, challenge: Challenge = SLACK) -> ChallengeResponse | None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return challenge.build({"ZOOM": "zoom-secret"}, "challenge", 8, "json")(Delivery("s", {}, raw, 0.0))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[[[[[[[[[1]]]]]]]]]",
        b'{"type": "url_verification", "challenge": "a", "challenge": "b"}',
        [],
        {"type": "event_callback", "challenge": "x"},
        {"type": "url_verification"},
        {"type": ["url_verification"], "challenge": "x"},
        {"type": "url_verification", "challenge": {"x": 1}},
        {"type": "url_verification", "challenge": 7},
        {"type": "url_verification", "challenge": "x" * (ECHO_CHARACTERS_MAX + 1)},
        {"challenge": "x"},
    ],
)
def test_delivery_that_is_not_a_challenge_gets_no_response(body: object) -> None:
    assert answer(body) is None


def test_response_is_text_or_a_json_object() -> None:
    assert answer(BODY) == ChallengeResponse("text/plain; charset=utf-8", b"3eZbrw1a")
    as_json = msgspec.convert({"match": {"/type": "url_verification"}, "echo": "/challenge", "as": "json"}, Challenge)
    assert answer(BODY, as_json) == ChallengeResponse("application/json", b'{"challenge":"3eZbrw1a"}')


def test_response_contains_the_value_and_a_keyed_hash() -> None:
    zoom = msgspec.convert(ZOOM, Challenge)
    delivery = {"event": "endpoint.url_validation", "payload": {"plainToken": "qgg8vlvZRS6UYooatFL8Aw"}, "event_ts": 1}
    proof = hmac.new(b"zoom-secret", b"qgg8vlvZRS6UYooatFL8Aw", hashlib.sha256).hexdigest()
    expected = b'{"plainToken":"qgg8vlvZRS6UYooatFL8Aw","encryptedToken":"%b"}' % proof.encode()
    assert answer(delivery, zoom) == ChallengeResponse("application/json", expected)
    assert answer(delivery | {"payload": {"plainToken": "v0:1:{}"}}, zoom) is None
    assert answer(delivery | {"event": "meeting.started"}, zoom) is None


def test_all_texts_of_match_are_required() -> None:
    both = msgspec.structs.replace(SLACK, match={"/type": "url_verification", "/token": "t"})
    assert answer(BODY, both)
    assert answer(BODY | {"token": "u"}, both) is None


@given(st.binary(max_size=60) | st.dictionaries(st.sampled_from(["type", "challenge"]), st.text()).map(json.dumps))
def test_random_bodies_do_not_raise(body: bytes | str) -> None:
    answer(body if isinstance(body, bytes) else body.encode())
