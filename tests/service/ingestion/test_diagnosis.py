"""Diagnosis: wrong configurations are found, secrets are not part of the report, and the search is limited."""

import json
from typing import Any

import pytest
from msgspec import convert, to_builtins

from service.config.presets import expand_preset
from service.events import Delivery
from service.ingestion import diagnosis
from service.ingestion.diagnosis import Diagnosis, SchemeFinder
from service.secrets import SecretRef
from service.signatures import Bearer, Hmac, SchemeConfig, StandardWebhooks
from tests.service.signatures.schemes import HEX, WHSEC

NOW = 1_700_000_000
BODY = b'{"id": "evt_1"}'
SECRETS = {"sources.a.verify.secrets[0]": "first-secret-of-a", "sources.b.verify.secrets[0]": HEX, "w": WHSEC}
REF = (SecretRef(env="S"),)
URL = "https://hooks.example.com/webhooks/a"
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
