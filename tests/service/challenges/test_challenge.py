"""The handshake by echo: what is no challenge is left to whoever reads deliveries, what is one is said back."""

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
    return challenge.build({"ZOOM": "zoom-secret"}, "challenge", 8)(Delivery("s", {}, raw, 0.0))


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
def test_what_is_no_challenge_is_not_answered(body: object) -> None:
    assert answer(body) is None


def test_a_challenge_is_said_back_as_text_or_in_an_object() -> None:
    assert answer(BODY) == ChallengeResponse("text/plain; charset=utf-8", b"3eZbrw1a")
    as_json = msgspec.convert({"match": {"/type": "url_verification"}, "echo": "/challenge", "as": "json"}, Challenge)
    assert answer(BODY, as_json) == ChallengeResponse("application/json", b'{"challenge":"3eZbrw1a"}')


def test_a_keyed_hash_is_said_beside_what_was_sent() -> None:
    zoom = msgspec.convert(ZOOM, Challenge)
    asked = {"event": "endpoint.url_validation", "payload": {"plainToken": "qgg8vlvZRS6UYooatFL8Aw"}, "event_ts": 1}
    proof = hmac.new(b"zoom-secret", b"qgg8vlvZRS6UYooatFL8Aw", hashlib.sha256).hexdigest()
    told = b'{"plainToken":"qgg8vlvZRS6UYooatFL8Aw","encryptedToken":"%b"}' % proof.encode()
    assert answer(asked, zoom) == ChallengeResponse("application/json", told)
    assert answer(asked | {"payload": {"plainToken": "v0:1:{}"}}, zoom) is None
    assert answer(asked | {"event": "meeting.started"}, zoom) is None


def test_every_text_of_the_match_has_to_be_there() -> None:
    both = msgspec.structs.replace(SLACK, match={"/type": "url_verification", "/token": "t"})
    assert answer(BODY, both)
    assert answer(BODY | {"token": "u"}, both) is None


@given(st.binary(max_size=60) | st.dictionaries(st.sampled_from(["type", "challenge"]), st.text()).map(json.dumps))
def test_nothing_random_raises(body: bytes | str) -> None:
    answer(body if isinstance(body, bytes) else body.encode())
