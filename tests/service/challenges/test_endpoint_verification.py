"""The handshake by query: what is none is left alone, who has no token hears nothing, the others their own words."""

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

from service.challenges.challenge_response import ECHO_CHARACTERS_MAX, ChallengeResponse
from service.challenges.endpoint_verification import PARAMETERS_MAX, QUERY_BYTES_MAX, Handshake
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


def ask(
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
        urlencode(SENT) + "".join(f"&x{number}=1" for number in range(PARAMETERS_MAX)),
    ],
)
def test_what_is_no_handshake_is_not_answered(query: str | dict[str, str]) -> None:
    assert ask(query) is None


def test_another_method_is_none() -> None:
    assert ask(SENT, method="POST") is None
    assert ask(SENT, META | {"method": "POST"}, method="POST") == ChallengeResponse(
        "text/plain; charset=utf-8", b"1158201444"
    )


@pytest.mark.parametrize(
    "token", ["", "agreed-on-token-", "agreed-on-token-2", "AGREED-ON-TOKEN-1", "é", "agreed-on-token-1 "]
)
def test_who_has_no_token_hears_nothing_back(token: str) -> None:
    with pytest.raises(Rejection) as refused:
        ask(SENT | {"hub.verify_token": token})
    assert (refused.value.status, refused.value.code) == (401, "not_verified")
    assert "agreed" not in refused.value.detail.replace("was agreed on", "")
    assert "1158201444" not in refused.value.detail


@pytest.mark.parametrize("token", ["agreed-on-token-1", "agreed-on-token-0"])
def test_each_active_token_opens(token: str) -> None:
    assert ask(SENT | {"hub.verify_token": token}) == ChallengeResponse("text/plain; charset=utf-8", b"1158201444")


def test_the_answer_is_text_or_stands_in_an_object_under_its_name() -> None:
    config = {"echo": "challenge"}
    assert ask("challenge=a%2Bb+c", config) == ChallengeResponse("text/plain; charset=utf-8", b"a+b c")
    assert ask("challenge=<b>&x=", config) == ChallengeResponse("text/plain; charset=utf-8", b"<b>")
    assert ask("challenge=a", config | {"as": "json"}) == ChallengeResponse("application/json", b'{"challenge":"a"}')
    assert ask("challenge=a", config | {"as": "json", "name": "said"}) == ChallengeResponse(
        "application/json", b'{"said":"a"}'
    )


def test_a_header_is_said_back_where_the_sender_asks_by_one() -> None:
    asked = {"x_okta_verification_challenge": "Me_rShK8JHsTnbyYrWXCEoMGbM_zsZ6k0hLPZ_Pg"}
    said = ChallengeResponse("application/json", b'{"verification":"Me_rShK8JHsTnbyYrWXCEoMGbM_zsZ6k0hLPZ_Pg"}')
    assert ask("", OKTA, **asked) == said
    assert ask("more=1", OKTA, **asked) == said
    assert ask("X-Okta-Verification-Challenge=a", OKTA) is None
    assert ask("", OKTA, method="POST", **asked) is None
    assert ask("", OKTA, x_okta_verification_challenge="") is None
    assert ask("", OKTA, x_okta_verification_challenge="a\tb") is None
    assert ask("", OKTA, x_okta_verification_challenge="x" * (ECHO_CHARACTERS_MAX + 1)) is None


def test_where_nothing_is_to_be_said_the_way_of_asking_is_enough() -> None:
    nothing = ChallengeResponse("text/plain; charset=utf-8", b"")
    assert ask("", {"method": "HEAD"}, "HEAD") == ask("a=b", {"method": "HEAD"}, "HEAD") == nothing
    assert ask("", {"method": "HEAD"}) is ask("", {}, "POST") is None
    assert ask("", {}) == ask("is=there", {"match": {"is": "there"}}) == nothing
    assert ask("", {"match": {"is": "there"}}) is None
    with pytest.raises(Rejection):
        ask("", {"token": META["token"]})


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"method": "POST"}, "deliveries would be taken for handshakes"),
        ({"proof": {"secret": {"env": "APP"}}}, "is missing"),
    ],
)
def test_what_would_take_deliveries_for_handshakes_or_hash_nothing_is_a_mistake(
    config: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ConfigError, match=rf"handshake.echo: .*{reason}"):
        ask("", config)


def hashed(text: str) -> bytes:
    return b64encode(hmac.new(b"app-secret", text.encode(), hashlib.sha256).digest())


def test_a_keyed_hash_is_said_instead_of_what_was_sent() -> None:
    said = b'{"response_token":"sha256=%b"}' % hashed("a-Token_/+=9")
    assert ask({"crc_token": "a-Token_/+=9"}, X) == ChallengeResponse("application/json", said)
    text = {**X, "as": "text", "name": None}
    assert ask("crc_token=a", text) == ChallengeResponse("text/plain; charset=utf-8", b"sha256=" + hashed("a"))


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
def test_nothing_is_hashed_of_which_a_delivery_could_be_made(token: str) -> None:
    assert ask({"crc_token": token}, X) is None


def test_a_text_has_no_room_for_a_proof_beside_it() -> None:
    with pytest.raises(ConfigError, match=r"handshake.proof.name: a text has no room"):
        ask("crc_token=a", {**X, "as": "text", "proof": {"secret": {"env": "APP"}, "name": "proof"}})
    with pytest.raises(ConfigError, match=r"handshake.proof.secret: variable NONE is not set"):
        ask("crc_token=a", {**X, "proof": {"secret": {"env": "NONE"}}})


@pytest.mark.parametrize("name", ["ODD", "MISSING"])
def test_a_token_that_cannot_be_sent_or_is_not_there_is_a_mistake(name: str) -> None:
    with pytest.raises(ConfigError, match=r"handshake.token.secrets\[0\]"):
        ask(SENT, META | {"token": {"parameter": "hub.verify_token", "secrets": [{"env": name}]}})


@pytest.mark.parametrize(
    "change", [{"echo": "a b"}, {"echo": ""}, {"match": {"a&b": "c"}}, {"method": "PUT"}, {"more": 1}]
)
def test_what_is_no_handshake_is_no_config(change: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(META | change, Handshake)


@given(st.text(max_size=80) | st.dictionaries(st.sampled_from([*SENT, "x"]), st.text(max_size=20)))
def test_whatever_is_asked_without_the_token_nothing_comes_back_and_nothing_else_is_raised(
    query: str | dict[str, str],
) -> None:
    text = query if isinstance(query, str) else urlencode(query, errors="replace")
    handshake = msgspec.convert(META, Handshake).build(ENVIRON, "handshake")
    echo = None
    with contextlib.suppress(Rejection):
        echo = handshake.answer("GET", text.encode("utf-8", "replace"), {})
    assert echo is None
