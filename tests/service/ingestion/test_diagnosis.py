"""Diagnosis: wrong configurations are found, secrets are not part of the report, and the search is limited."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import convert, structs, to_builtins

from service.config.presets import expand_preset
from service.events import Delivery
from service.ingestion import diagnosis
from service.ingestion.diagnosis import Diagnosis, SchemeFinder
from service.secrets import SecretRef
from service.signatures import (
    Bearer,
    Hmac,
    HttpMessageSignatures,
    PublicKeySignature,
    SchemeConfig,
    StandardWebhooks,
)
from tests.service.signatures.schemes import HEX, P256, P256_PUBLIC, PRIVATE, PUBLIC, RSA, RSA_PUBLIC, WHSEC, key_pair

NOW = 1_700_000_000
BODY = b'{"id": "evt_1"}'
SECRETS = {"sources.a.verify.secrets[0]": "first-secret-of-a", "sources.b.verify.secrets[0]": HEX, "w": WHSEC}
REF = (SecretRef(env="S"),)
URL = "https://hooks.example.com/webhooks/a"
RSA_KEYS, P256_KEYS = (RSA, RSA_PUBLIC), (P256, P256_PUBLIC)
_, OTHER_PUBLIC = key_pair(ec.generate_private_key(ec.SECP256R1()))
PARAMETERS: dict[str, dict[str, Any]] = {"ebay": {"url": URL, "secrets": [{"env": "S"}]}}
CONFIGURED = Hmac(header="X-Signature", secrets=REF)


def find(sent: SchemeConfig, secret: str, configured: SchemeConfig = CONFIGURED, body: bytes = BODY) -> list[Diagnosis]:
    delivery = sent.sign_delivery(Delivery("a", {"user-agent": "x"}, BODY, NOW), secret, "msg_1")
    received = Delivery("a", delivery.headers, body, NOW + 10_000)
    return list(SchemeFinder(configured, SECRETS).diagnose(received).matches)


def preset(name: str) -> SchemeConfig:
    written = {"preset": name, "secrets": [{"env": "S"}]}
    return convert(expand_preset(written, "s")["verify"], type=SchemeConfig)  # pyright: ignore[reportArgumentType, reportReturnType] - a union


@pytest.mark.parametrize(
    ("sent", "secret", "expected"),
    [
        (Hmac(header="X-Signature", encoding="base64", secrets=REF), "a", {"encoding": "base64"}),
        (Hmac(header="X-Signature", algorithm="sha512", secrets=REF), "a", {"algorithm": "sha512"}),
        (Hmac(header="X-Signature", key_encoding="hex", secrets=REF), "b", {"key_encoding": "hex"}),
        (Hmac(header="X-Other", prefix="v2=", secrets=REF), "a", {"header": "x-other", "prefix": "v2="}),
        (
            Hmac(header="X-Other", signed="{timestamp}:{body}", timestamp_header="X-Time", secrets=REF),
            "a",
            {"signed": "{timestamp}:{body}", "timestamp_header": "x-time"},
        ),
        (
            Hmac(
                header="X-Other",
                prefix="s=",
                signed="{body}{timestamp}",
                timestamp_header="X-Other",
                timestamp_prefix="t=",
                timestamp_format="milliseconds",
                secrets=REF,
            ),
            "a",
            {"timestamp_prefix": "t=", "timestamp_format": "milliseconds"},
        ),
    ],
)
def test_other_scheme_is_found(sent: Hmac, secret: str, expected: dict[str, Any]) -> None:
    path = f"sources.{secret}.verify.secrets[0]"
    found = find(sent, SECRETS[path])
    assert any(match.secret == path and expected.items() <= dict(match.verify).items() for match in found)
    assert all(text not in json.dumps(to_builtins(found)) for text in SECRETS.values())


@pytest.mark.parametrize(
    ("sent", "private", "public", "expected"),
    [
        (PublicKeySignature(header="X-S", algorithm="rsa_pss_sha256", encoding="base64", public_keys=()), *RSA_KEYS,
         {"header": "x-s", "algorithm": "rsa_pss_sha256"}),
        (PublicKeySignature(header="X-S", algorithm="ecdsa_sha256", prefix="v1=", encoding="hex", public_keys=(),
                            signed="{timestamp}.{body}", timestamp_header="X-T"), *P256_KEYS,
         {"prefix": "v1=", "signed": "{timestamp}.{body}", "timestamp_header": "x-t"}),
        (PublicKeySignature(header="X-S", algorithm="ed25519", public_keys=()), PRIVATE, PUBLIC,
         {"algorithm": "ed25519"}),
        (StandardWebhooks(), PRIVATE, PUBLIC, {}),
        (HttpMessageSignatures(algorithm="ed25519", components=("@method", "content-digest")), PRIVATE, PUBLIC,
         {"algorithm": "ed25519", "components": ("@method", "content-digest"), "label": "sig1"}),
        (HttpMessageSignatures(algorithm="rsa-v1_5-sha256", label="a"), *RSA_KEYS, {"algorithm": "rsa-v1_5-sha256"}),
        (HttpMessageSignatures(algorithm="ecdsa-p256-sha256"), *P256_KEYS, {"algorithm": "ecdsa-p256-sha256"}),
    ],
)  # fmt: skip
def test_scheme_of_a_public_key_is_found(
    sent: SchemeConfig, private: str, public: str, expected: dict[str, Any]
) -> None:
    signed = sent.sign_delivery(Delivery("a", {}, BODY, NOW), private, "msg_1")
    for others in ({}, {"sources.c.verify.public_keys[0]": OTHER_PUBLIC}):
        finder = SchemeFinder(CONFIGURED, SECRETS, {"sources.b.verify.public_keys[0]": public, **others})
        found = finder.diagnose(signed).matches
        assert {match.secret for match in found} == {"sources.b.verify.public_keys[0]"}
        assert any(expected.items() <= dict(match.verify).items() for match in found), found
        assert "public_keys" not in str(to_builtins(found[0].verify))
    changed = Delivery("a", signed.headers, BODY[:-1] + b" }", NOW)
    assert finder.diagnose(changed).matches == ()


@pytest.mark.parametrize("name", ["discord", "sendgrid", "bol", "ebay", "shipstation"])
def test_preset_of_a_public_key_is_found(name: str) -> None:
    private, public = {"discord": (PRIVATE, PUBLIC), "sendgrid": P256_KEYS, "ebay": P256_KEYS}.get(name, RSA_KEYS)
    source = expand_preset({"preset": name, "public_keys": [public], **PARAMETERS.get(name, {})}, "s")
    written: SchemeConfig = convert(source["verify"], type=SchemeConfig)  # pyright: ignore[reportArgumentType, reportAssignmentType] - a union
    signed = written.sign_delivery(Delivery("a", {}, BODY, NOW), private, "msg_1")
    found = SchemeFinder(structs.replace(CONFIGURED, url=URL), {}, {"k": public}).diagnose(signed).matches
    assert name in {match.preset for match in found}


def test_http_message_signature_with_a_secret_is_found() -> None:
    found = find(HttpMessageSignatures(algorithm="hmac-sha256", secrets=REF, key_encoding="hex"), HEX)
    assert [(each.secret, dict(each.verify)["key_encoding"]) for each in found] == [
        ("sources.b.verify.secrets[0]", "hex")
    ]


@pytest.mark.parametrize("name", ["shopify", "stripe", "github", "zendesk", "svix", "paddle"])
def test_preset_is_found(name: str) -> None:
    sent = preset(name)
    secret = WHSEC if isinstance(sent, StandardWebhooks) else SECRETS["sources.a.verify.secrets[0]"]
    assert name in {match.preset for match in find(sent, secret)}


def test_changed_line_break_is_found() -> None:
    matches = find(CONFIGURED, "first-secret-of-a", body=BODY + b"\n")
    assert {match.body for match in matches} == {"without the line break at its end"}
    assert {"header": "X-Signature", "scheme": "hmac"} in [match.verify for match in matches]


def test_unknown_secret_has_no_match() -> None:
    assert find(CONFIGURED, "another secret") == []
    assert find(Bearer(secrets=REF), "another secret", Bearer(secrets=REF)) == []


def test_search_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "HASHED_BYTES_MAX", len(BODY) * 10)
    report = SchemeFinder(CONFIGURED, SECRETS).diagnose(Delivery("a", {"x-signature": "00" * 32}, BODY, NOW))
    assert (report.matches, report.complete) == ((), False)
    monkeypatch.setattr(diagnosis, "HASHED_BYTES_MAX", 10**9)
    monkeypatch.setattr(diagnosis, "ATTEMPTS_MAX", 5)
    assert not SchemeFinder(CONFIGURED, SECRETS).diagnose(Delivery("a", {}, BODY, NOW)).complete


def test_hostile_headers_do_not_raise() -> None:
    headers = {
        f"x-{number}": text for number, text in enumerate(["", "=" * 500, "a" * 128, "1700000000", "t=1,v1=é", ";;,"])
    }
    assert SchemeFinder(CONFIGURED, SECRETS).diagnose(Delivery("a", headers, b"\xff", NOW)).matches == ()
