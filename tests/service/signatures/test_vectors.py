"""Test vectors published by senders and by the Standard Webhooks specification."""

import pytest

from service.events import Delivery
from service.secrets import SecretRef
from service.signatures import Hmac, Scheme, StandardWebhooks
from tests.service.signatures.schemes import preset_scheme

REF = (SecretRef(env="S"),)
SLACK_BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar"
    b"&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com"
    b"%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121."
    b"803a0bc887a14d10d2c447fce8b6703c"
)
RFC_TEXT = b"what do ya want for nothing?"

VECTORS: dict[str, tuple[Scheme, str, bytes, int, dict[str, str]]] = {
    "Standard Webhooks, reference libraries": (
        StandardWebhooks(secrets=REF),
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        b'{"test": 2432232314}',
        1_614_265_330,
        {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        },
    ),
    "Standard Webhooks, secret without its prefix": (
        StandardWebhooks(secrets=REF),
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        b'{"test": 2432232314}',
        1_614_265_330,
        {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        },
    ),
    "GitHub, validating webhook deliveries": (
        preset_scheme("github", REF),
        "It's a Secret to Everybody",
        b"Hello, World!",
        0,
        {"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
    ),
    "Slack, verifying requests": (
        preset_scheme("slack", REF),
        "8f742231b10e8888abcd99yyyzzz85a5",
        SLACK_BODY,
        1_531_420_618,
        {
            "x-slack-request-timestamp": "1531420618",
            "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        },
    ),
    "RFC 2202, case 2": (
        Hmac(header="H", algorithm="sha1", secrets=REF),
        "Jefe",
        RFC_TEXT,
        0,
        {"h": "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"},
    ),
    "RFC 4231, case 2": (
        Hmac(header="H", secrets=REF),
        "Jefe",
        RFC_TEXT,
        0,
        {"h": "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
    ),
    "RFC 4231, case 2, 512 bits, base64": (
        Hmac(header="H", algorithm="sha512", encoding="base64", secrets=REF),
        "Jefe",
        RFC_TEXT,
        0,
        {"h": "Fkt6e/z4GeLjlfvnO1bgo4e9ZCIugx/WECcM1+olBVSXWL91wFqZSm0DT2X48Ob9yuqxo01Ka0tjbgcKOLznNw=="},
    ),
}


@pytest.mark.parametrize("name", VECTORS)
def test_published_delivery_is_verified(name: str) -> None:
    scheme, secret, body, at, headers = VECTORS[name]
    verified = scheme.build({"S": secret}, "verify").verify(Delivery("source", headers, body, at))
    assert verified.signed.endswith(body)


@pytest.mark.parametrize("name", VECTORS)
def test_signing_returns_the_published_headers(name: str) -> None:
    scheme, secret, body, at, headers = VECTORS[name]
    assert scheme.sign(body, secret, headers.get("webhook-id", ""), at) == headers


def test_published_v1a_signature_is_verified_and_reproduced() -> None:
    # the key pair and the delivery of Svix's own server tests
    key = "6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
    signature = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
    scheme = StandardWebhooks(public_keys=("whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=",))
    body, at = b'{"test": 2432232314}', 1_614_265_330
    headers = scheme.sign(body, f"whsk_{key}", "msg_p5jXN8AQM9LWM0D4loKWxJek", at)
    assert headers["webhook-signature"] == signature
    verified = scheme.build({}, "verify").verify(Delivery("source", headers, body, at))
    assert verified.id == "msg_p5jXN8AQM9LWM0D4loKWxJek"
