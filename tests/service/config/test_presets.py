"""Conformance of every preset: its samples are accepted and parsed, forged ones are not, its answers are documented."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec import structs

from service.config import Config
from service.config.presets import PresetSample, load_preset, preset_names
from service.configuration import load_config
from service.envelopes import CustomEnvelope
from service.errors import ConfigError, Rejection
from service.events import Delivery
from service.ingestion.headers import check_content_type
from service.ingestion.sources import Source, build_sources
from service.ingress.http.responses import accepted_response
from service.settings import Settings
from service.signatures import Hmac, PublicKeySignature, Scheme, SchemeConfig, StandardWebhooks
from tests.service.signatures.schemes import HEX, NOW, P256, P256_PUBLIC, PRIVATE, PUBLIC, RSA, RSA_PUBLIC, WHSEC

SECRET, VERIFY_TOKEN, URL = "secret-of-the-sender-1", "agreed-on-token-1", "https://hooks.example.com/webhooks/one"
ENVIRON = {"SECRET": SECRET, "HEX": HEX, "WHSEC": WHSEC, "VERIFY": VERIFY_TOKEN}
KEYS = {"ed25519": (PUBLIC, PRIVATE), "rsa_sha256": (RSA_PUBLIC, RSA)}
PLATFORM = {
    "kind": "custom",
    "base_url": "https://erp.example.com",
    "auth": {"type": "none"},
    "records": {"customer": {"path": "/customers/{id}"}, "purchase_order": {"path": "/orders/{id}"}},
}
COVERED_PARTLY = {"adyen", "ecwid", "exact-online", "mailgun"}
"""Presets whose senders do not sign the whole body."""


class Connector:
    """Stands for the platform, which is not called."""

    account = "erp"


def key_pair(verify: dict[str, Any]) -> tuple[str, str]:
    return KEYS.get(verify["algorithm"], (P256_PUBLIC, P256))


def written(name: str) -> dict[str, Any]:
    """Return a source with this preset and all its parameters."""
    preset = load_preset(name)
    verify = preset.source["verify"]
    encoding = verify.get("key_encoding", "base64" if verify["scheme"] == "standard_webhooks" else "text")
    reference = {"env": {"hex": "HEX", "base64": "WHSEC", "text": "SECRET"}[encoding]}
    values: dict[str, Any] = {"secrets": [reference], "url": URL, "verify_token": [{"env": "VERIFY"}]}
    if "public_keys" in preset.requires:
        values["public_keys"] = [key_pair(verify)[0]]
    return {"platform": "erp", "preset": name} | {key: values[key] for key in preset.requires}


def load(folder: Path, *sources: dict[str, Any]) -> Config:
    path = folder / "waybill.yaml"
    named = {f"s{number}": source for number, source in enumerate(sources)}
    path.write_text(yaml.dump({"platforms": {"erp": PLATFORM}, "sources": named}, Dumper=yaml.CSafeDumper))
    return load_config(path, ENVIRON)


class Sender:
    """One preset as sender and as source."""

    def __init__(self, name: str, config: Config) -> None:
        [source] = config.sources.values()
        assert source.verify
        self.preset, self.scheme = load_preset(name), source.verify
        self.source: Source = build_sources(config, ENVIRON, {"erp": Connector()}, Settings())["s0"]  # pyright: ignore[reportArgumentType] - not called
        self.secret = secret_of(self.scheme)

    def deliver(self, sample: PresetSample, at: float = NOW) -> Delivery:
        body = json.dumps(sample.body).encode() if sample.text is None else sample.text.encode()
        headers = {"content-type": "application/json"} | {key.lower(): text for key, text in sample.headers.items()}
        delivery = Delivery("s0", headers, body, at)
        return self.scheme.sign_delivery(delivery, self.secret, "msg_1") if sample.signed else delivery

    def rejects(self, delivery: Delivery) -> bool:
        try:
            self.source.verify(delivery)
        except Rejection as rejection:
            return rejection.status == self.source.failure_status
        return False


def secret_of(scheme: SchemeConfig) -> str:
    if isinstance(scheme, PublicKeySignature):
        return key_pair({"algorithm": scheme.algorithm})[1]
    encoding = scheme.key_encoding if isinstance(scheme, Hmac | StandardWebhooks) else "text"
    return {"hex": HEX, "base64": WHSEC, "text": SECRET}[encoding]


@pytest.fixture(params=preset_names())
def sender(request: pytest.FixtureRequest, tmp_path: Path) -> Sender:
    return Sender(request.param, load(tmp_path, written(request.param)))


def deliveries(sender: Sender) -> Iterator[PresetSample]:
    return (sample for sample in sender.preset.samples if sample.handshake is None and sample.answer is None)


def test_samples_are_accepted_with_all_their_events(sender: Sender) -> None:
    assert len(sender.preset.samples) == 2
    for sample in deliveries(sender):
        delivery = sender.deliver(sample)
        check_content_type(delivery.headers, sender.source.content_types)
        assert sender.source.answer_challenge(delivery) is None
        parsed = sender.source.verify_and_parse(delivery)
        found = [
            [fact.type, fact.change, fact.record and fact.record.kind, fact.record and fact.record.id, fact.id]
            for fact in parsed.facts
        ]
        assert found == [[*row, *[None] * (5 - len(row))] for row in sample.expect]
        assert not parsed.rejected
        assert len(set(parsed.dedupe_keys)) == len(parsed.facts)


def test_forged_samples_are_rejected(sender: Sender, request: pytest.FixtureRequest) -> None:
    name = request.node.callspec.params["sender"]
    for sample in deliveries(sender):
        good = sender.deliver(sample)
        assert not sender.rejects(good)
        other = "another-secret-of-the-sender" if sender.secret == SECRET else None
        if other:
            plain = structs.replace(good, headers={"content-type": good.headers["content-type"]})
            assert sender.rejects(sender.scheme.sign_delivery(structs.replace(plain, path_token=None), other, "msg_1"))
        added = good.headers.keys() - {"content-type", *map(str.lower, sample.headers)}
        for header in added:
            assert sender.rejects(structs.replace(good, headers={**good.headers, header: ""})), header
        if "body" in sender.scheme.signed_parts:
            for at in range(0, len(good.body), max(1, len(good.body) // 12)):
                flipped = bytearray(good.body)
                flipped[at] ^= 1 << at % 7
                assert sender.rejects(structs.replace(good, body=bytes(flipped))), at
        if "timestamp" in sender.scheme.signed_parts:
            late = structs.replace(good, received_at=NOW + 100_000)
            with pytest.raises(Rejection, match="stale_timestamp"):
                sender.source.verify(late)
    covered = "body" in sender.scheme.signed_parts or (not sender.scheme.signed_parts and not _signs(sender.scheme))
    assert covered != (name in COVERED_PARTLY)


def _signs(scheme: Scheme) -> bool:
    return isinstance(scheme, Hmac | PublicKeySignature)


def test_handshakes_and_challenges_are_answered(sender: Sender) -> None:
    for sample in sender.preset.samples:
        if sample.answer is None:
            continue
        if sample.handshake is not None:
            query = sample.handshake.query.replace("$verify_token", VERIFY_TOKEN)
            answer = sender.source.answer_verification_request(
                sample.handshake.method, query.encode(), sample.handshake.headers
            )
            forged = sample.handshake.query.replace("$verify_token", "wrong")
            if forged != query and "$" in sample.handshake.query:
                with pytest.raises(Rejection, match="not_verified"):
                    sender.source.answer_verification_request("GET", forged.encode(), {})
        else:
            delivery = sender.deliver(sample)
            assert sender.rejects(delivery) != sample.signed
            assert sender.source.answers_unsigned_challenges or sample.signed
            answer = sender.source.answer_challenge(delivery)
        assert answer is not None
        assert answer.status == sample.answer.status
        assert sample.answer.body in {None, answer.body.decode()}
        assert sample.answer.contains in answer.body.decode()


def test_success_answer_is_the_configured_one(sender: Sender) -> None:
    source = sender.source
    answer = accepted_response((), source.success_status, source.success_body)
    assert answer.status == source.success_status in {200, 202, 204}
    assert source.success_body is None or answer.body.decode() == source.success_body
    assert answer.status != 204 or answer.body == b""


def test_dedupe_window_outlives_the_redeliveries(sender: Sender) -> None:
    assert sender.source.window_ms >= (sender.preset.redelivery_hours or 0) * 3_600_000


def test_facts_have_sources(sender: Sender) -> None:
    preset = sender.preset
    assert preset.facts
    assert all(address.startswith("https://") for address in preset.documentation)
    assert set(preset.requires) >= ({"public_keys"} if isinstance(sender.scheme, PublicKeySignature) else {"secrets"})
    assert all(fact.text.endswith((".", "…")) for fact in preset.facts)


def test_catalogue_has_the_promised_size() -> None:
    assert len(preset_names()) >= 50


@pytest.mark.parametrize(
    ("change", "path", "text"),
    [
        ({"preset": "shopfy"}, "preset", "did you mean shopify"),
        ({"secrets": None}, "verify.secrets", "array"),
        ({"url": URL}, "url", "not used"),
        ({"record": "customer"}, "record", "not used"),
        ({"verify": {"headers": "X"}}, "verify.headers", "unknown key"),
        ({"verify": {"scheme": "bearer"}}, "verify.secrets", "missing"),
        ({"envelope": {"record": {"kind": "invoice"}}}, "envelope.record.kind", "has no invoice"),
    ],
)
def test_mistake_in_a_source_with_a_preset_is_reported(
    change: dict[str, Any], path: str, text: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=text) as caught:
        load(tmp_path, written("shopify") | change)
    assert f"sources.s0.{path}" in str(caught.value)


def test_missing_parameter_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the notification URL as it is registered"):
        load(tmp_path, {key: value for key, value in written("square").items() if key != "url"})


def test_source_overrides_details_of_its_preset(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        written("stripe")
        | {"record": "purchase_order", "verify": {"tolerance_seconds": 600}, "envelope": {"types": {"a.b": "ignored"}}},
    )
    source = config.sources["s0"]
    assert isinstance(source.verify, Hmac)
    assert (source.verify.tolerance_seconds, source.verify.header) == (600, "Stripe-Signature")
    assert isinstance(source.envelope, CustomEnvelope)
    assert source.envelope.record is not None
    assert source.envelope.record.kind == "purchase_order"
    plain = load(tmp_path, written("stripe") | {"envelope": "standard_webhooks"}).sources["s0"]
    assert type(plain.envelope).__name__ == "StandardWebhooksEnvelope"


def test_strict_sender_causes_a_warning(tmp_path: Path) -> None:
    warnings = load(tmp_path, written("odoo")).warnings
    assert any("waits 1 s" in text for text in warnings)
    patient = load_config(tmp_path / "waybill.yaml", ENVIRON | {"WAYBILL_INGEST_TIMEOUT_SECONDS": "0.9"}).warnings
    assert not any("waits 1 s" in text for text in patient)
