"""Handshakes: requests that match and contain a valid token get a response, all others do not."""

import contextlib
import hashlib
import hmac
from base64 import b64encode
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.bodies.forms import QUERY_BYTES_MAX, QUERY_FIELDS_MAX
from service.challenges.challenge_response import ECHO_CHARACTERS_MAX, ChallengeResponse
from service.challenges.endpoint_verification import Handshake
from service.errors import ConfigError, Rejection

ENVIRON = {"APP": "app-secret", "TOKEN": "agreed-on-token-1", "OLD": "agreed-on-token-0", "ODD": "tökén"}
META = {
    "match": {"hub.mode": "subscribe"},
    "token": {"parameter": "hub.verify_token", "secrets": [{"env": "TOKEN"}, {"env": "OLD"}]},
    "echo": "hub.challenge",
}
OKTA = {"echo": {"header": "X-Okta-Verification-Challenge"}, "as": "json", "name": "verification"}
X = {
    "echo": "crc_token",
    "as": "json",
    "name": "response_token",
    "proof": {"secret": {"env": "APP"}, "encoding": "base64", "prefix": "sha256="},
}
SENT = {"hub.mode": "subscribe", "hub.verify_token": "agreed-on-token-1", "hub.challenge": "1158201444"}


def answer(
    query: str | dict[str, str], config: dict[str, Any] = META, method: str = "GET", **headers: str
) -> ChallengeResponse | None:
    text = query if isinstance(query, str) else urlencode(query)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return msgspec.convert(config, Handshake).build(ENVIRON, "handshake").answer(method, text.encode(), named)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "hub.challenge",
        SENT | {"hub.mode": "unsubscribe"},
        {name: text for name, text in SENT.items() if name != "hub.mode"},
        {name: text for name, text in SENT.items() if name != "hub.challenge"},
        SENT | {"hub.challenge": ""},
        SENT | {"hub.challenge": "x" * (ECHO_CHARACTERS_MAX + 1)},
        SENT | {"hub.challenge": "a\r\nset-cookie: b"},
        SENT | {"hub.challenge": "\x1b[2J"},
        urlencode(SENT) + "&hub.challenge=2",
        urlencode(SENT) + "&hub.verify_token=another",
        urlencode(SENT) + "&x=%ff",
        urlencode(SENT) + "&x=\xff",
        urlencode(SENT) + "&x=" + "a" * QUERY_BYTES_MAX,
        urlencode(SENT) + "".join(f"&x{number}=1" for number in range(QUERY_FIELDS_MAX)),
    ],
)
def test_request_that_is_not_a_handshake_gets_no_response(query: str | dict[str, str]) -> None:
    assert answer(query) is None


def test_method_must_match() -> None:
    assert answer(SENT, method="POST") is None
    assert answer(SENT, META | {"method": "POST"}, method="POST") == ChallengeResponse(
        "text/plain; charset=utf-8", b"1158201444"
    )


@pytest.mark.parametrize(
    "token", ["", "agreed-on-token-", "agreed-on-token-2", "AGREED-ON-TOKEN-1", "é", "agreed-on-token-1 "]
)
def test_request_with_a_wrong_token_is_rejected(token: str) -> None:
    with pytest.raises(Rejection) as caught:
        answer(SENT | {"hub.verify_token": token})
    assert (caught.value.status, caught.value.code) == (401, "not_verified")
    assert "agreed" not in caught.value.detail
    assert "1158201444" not in caught.value.detail


@pytest.mark.parametrize("token", ["agreed-on-token-1", "agreed-on-token-0"])
def test_each_configured_token_is_valid(token: str) -> None:
    assert answer(SENT | {"hub.verify_token": token}) == ChallengeResponse("text/plain; charset=utf-8", b"1158201444")


def test_response_is_text_or_a_json_object() -> None:
    config = {"echo": "challenge"}
    assert answer("challenge=a%2Bb+c", config) == ChallengeResponse("text/plain; charset=utf-8", b"a+b c")
    assert answer("challenge=<b>&x=", config) == ChallengeResponse("text/plain; charset=utf-8", b"<b>")
    assert answer("challenge=a", config | {"as": "json"}) == ChallengeResponse("application/json", b'{"challenge":"a"}')
    assert answer("challenge=a", config | {"as": "json", "name": "reply"}) == ChallengeResponse(
        "application/json", b'{"reply":"a"}'
    )


def test_response_contains_the_value_of_a_header() -> None:
    header = {"x_okta_verification_challenge": "Me_rShK8JHsTnbyYrWXCEoMGbM_zsZ6k0hLPZ_Pg"}
    expected = ChallengeResponse("application/json", b'{"verification":"Me_rShK8JHsTnbyYrWXCEoMGbM_zsZ6k0hLPZ_Pg"}')
    assert answer("", OKTA, **header) == expected
    assert answer("more=1", OKTA, **header) == expected
    assert answer("X-Okta-Verification-Challenge=a", OKTA) is None
    assert answer("", OKTA, method="POST", **header) is None
    assert answer("", OKTA, x_okta_verification_challenge="") is None
    assert answer("", OKTA, x_okta_verification_challenge="a\tb") is None
    assert answer("", OKTA, x_okta_verification_challenge="x" * (ECHO_CHARACTERS_MAX + 1)) is None


def test_handshake_without_echo_gets_an_empty_response() -> None:
    empty = ChallengeResponse("text/plain; charset=utf-8", b"")
    assert answer("", {"method": "HEAD"}, "HEAD") == answer("a=b", {"method": "HEAD"}, "HEAD") == empty
    assert answer("", {"method": "HEAD"}) is answer("", {}, "POST") is None
    assert answer("", {}) == answer("is=there", {"match": {"is": "there"}}) == empty
    assert answer("", {"match": {"is": "there"}}) is None
    with pytest.raises(Rejection):
        answer("", {"token": META["token"]})


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"method": "POST"}, "deliveries would count as handshakes"),
        ({"proof": {"secret": {"env": "APP"}}}, "is missing"),
    ],
)
def test_missing_echo_is_a_configuration_error(config: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=rf"handshake.echo: .*{reason}"):
        answer("", config)


def hashed(text: str) -> bytes:
    return b64encode(hmac.new(b"app-secret", text.encode(), hashlib.sha256).digest())


def test_keyed_hash_replaces_the_value() -> None:
    expected = b'{"response_token":"sha256=%b"}' % hashed("a-Token_/+=9")
    assert answer({"crc_token": "a-Token_/+=9"}, X) == ChallengeResponse("application/json", expected)
    text = {**X, "as": "text", "name": None}
    assert answer("crc_token=a", text) == ChallengeResponse("text/plain; charset=utf-8", b"sha256=" + hashed("a"))


@pytest.mark.parametrize(
    "token",
    [
        "",
        '{"id":1}',
        "[1]",
        '"a"',
        "1700000000.{}",
        "a.b",
        "v0:1:{}",
        "a b",
        "a\n",
        "é",
        "%7B",
        "x" * 257,
        "a,b",
        "a&b",
    ],
)
def test_text_that_could_be_a_delivery_is_not_hashed(token: str) -> None:
    assert answer({"crc_token": token}, X) is None


def test_text_response_cannot_have_a_named_proof() -> None:
    with pytest.raises(ConfigError, match=r"handshake.proof.name: is not allowed in a text response"):
        answer("crc_token=a", {**X, "as": "text", "proof": {"secret": {"env": "APP"}, "name": "proof"}})
    with pytest.raises(ConfigError, match=r"handshake.proof.secret: variable NONE is not set"):
        answer("crc_token=a", {**X, "proof": {"secret": {"env": "NONE"}}})


@pytest.mark.parametrize("name", ["ODD", "MISSING"])
def test_invalid_or_missing_token_is_a_configuration_error(name: str) -> None:
    with pytest.raises(ConfigError, match=r"handshake.token.secrets\[0\]"):
        answer(SENT, META | {"token": {"parameter": "hub.verify_token", "secrets": [{"env": name}]}})


@pytest.mark.parametrize(
    "change", [{"echo": "a b"}, {"echo": ""}, {"match": {"a&b": "c"}}, {"method": "PUT"}, {"more": 1}]
)
def test_invalid_handshake_configuration_is_rejected(change: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(META | change, Handshake)


@given(st.text(max_size=80) | st.dictionaries(st.sampled_from([*SENT, "x"]), st.text(max_size=20)))
def test_random_queries_without_the_token_get_no_response(
    query: str | dict[str, str],
) -> None:
    text = query if isinstance(query, str) else urlencode(query, errors="replace")
    handshake = msgspec.convert(META, Handshake).build(ENVIRON, "handshake")
    response = None
    with contextlib.suppress(Rejection):
        response = handshake.answer("GET", text.encode("utf-8", "replace"), {})
    assert response is None
