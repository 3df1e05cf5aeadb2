"""A source: what it refuses in which order, and what makes a delivery new."""

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.config import Config
from service.envelopes import CustomEnvelope, EnvelopeConfig, ParseContext
from service.errors import ConfigError, PermanentError, Rejection
from service.events import Delivery, Fact, RecordRef
from service.http_client import HttpClient
from service.ingestion.sources import (
    FACTS_MAX,
    ID_CHARACTERS_MAX,
    TEXT_CHARACTERS_MAX,
    Source,
    VerifiedDelivery,
    build_sources,
)
from service.platforms import CallContext, FetchedRecord, Platform
from service.platforms.base import RecordPage
from service.platforms.loading import load_config
from service.platforms.registry import build_platforms
from service.settings import Settings
from service.signatures import Scheme, Unverified

NOW = 1_700_000_000
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ENVIRON = {"T": "token", "S": "secret", "W": WHSEC}
HMAC = {"scheme": "hmac", "header": "X-Signature", "secrets": [{"env": "S"}]}
STANDARD = {"scheme": "standard_webhooks", "secrets": [{"env": "W"}]}
BASIC = {"scheme": "basic", "username": "till", "password": {"env": "S"}}
SECRETS = {"hmac": "secret", "standard_webhooks": WHSEC, "basic": "secret", "none": ""}
CUSTOM: dict[str, Any] = {"kind": "custom", "type": "/type", "record": {"kind": "customer", "id": "/customer"}}
WITH_ID = CUSTOM | {"id": "/id"}
BODY = {"id": "evt_1", "type": "customer.updated", "customer": "c1"}
PLATFORMS = {
    "pack": {"kind": "pack_cloud", "organization_id": "org_1", "token": {"env": "T"}},
    "ofn": {"kind": "open_food_network", "base_url": "https://ofn.example.org", "token": {"env": "T"}},
    "flow": {"kind": "flow_retail", "tenant_uid": "7", "store_uid": "70", "token": {"env": "T"}},
    "engage": {"kind": "pexip_engage", "enterprise": "acme", "client_id": {"env": "T"}, "client_secret": {"env": "S"}},
    "erp": {
        "kind": "custom",
        "base_url": "https://erp.example.com",
        "auth": {"type": "none"},
        "records": {"customer": {"path": "/customers/{id}"}},
    },
}
HOUR_MS = 3_600_000


def configured(folder: Path, source: Mapping[str, Any], name: str = "one") -> Config:
    path = folder / "waybill.yaml"
    path.write_text(json.dumps({"platforms": PLATFORMS, "sources": {name: source}}))
    return load_config(path, ENVIRON)


class Bench:
    """Builds one source and sends it what its sender would."""

    def __init__(self, folder: Path, platforms: Mapping[str, Platform]) -> None:
        self.folder = folder
        self.platforms = platforms

    def source(
        self, platform: str = "pack", settings: Settings | None = None, name: str = "one", **fields: Any
    ) -> Source:
        config = configured(self.folder, {"platform": platform, "verify": HMAC, "envelope": WITH_ID} | fields, name)
        return build_sources(config, ENVIRON, self.platforms, settings or Settings())[name]

    def scheme(self, **fields: Any) -> Scheme:
        scheme = configured(self.folder, {"platform": "pack", "verify": HMAC} | fields).sources["one"].verify
        assert scheme
        return scheme

    def claims(
        self, body: object = None, /, *, event_id: str = "msg_1", at: int = NOW, **fields: Any
    ) -> tuple[str, ...]:
        """Send a delivery to a source of these fields; give its claims."""
        raw = body if isinstance(body, bytes) else json.dumps(body or BODY).encode()
        scheme = self.scheme(**{key: value for key, value in fields.items() if key in {"verify", "allow_unverified"}})
        headers = scheme.sign(raw, SECRETS[str(scheme.__struct_config__.tag)], event_id, at)
        return self.source(**fields).verify_and_parse(Delivery("one", headers, raw, at)).claims


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    config = configured(tmp_path, {"platform": "pack", "verify": HMAC})
    async with HttpClient(Settings()) as outbound:
        yield Bench(tmp_path, build_platforms(config.platforms, ENVIRON, outbound))


def refusal(source: Source, headers: Mapping[str, str], body: bytes) -> Rejection:
    with pytest.raises(Rejection) as caught:
        source.verify_and_parse(Delivery("one", headers, body, NOW))
    return caught.value


def sign(bench: Bench, body: bytes) -> dict[str, str]:
    return bench.scheme().sign(body, "secret", "", NOW)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed_payload"),
        (b"no json", 400, "malformed_payload"),
        (b'{"id": "\xff"}', 400, "malformed_payload"),
        (b'{"id": 1, "x": "\xff", "type": "t", "customer": 1}', 400, "malformed_payload"),
        (b'{"id": ' + b"[" * 65 + b"]" * 65 + b"}", 400, "malformed_payload"),
        (b'{"id": "a", "id": "b", "type": "t", "customer": "c"}', 400, "malformed_payload"),
        (b"[]", 422, "unrecognized_event"),
        (b'{"id": "a", "type": "t"}', 422, "unrecognized_event"),
        (b'{"id": "a", "type": "t", "customer": "a\\u0000b"}', 422, "unrecognized_event"),
        (b'{"id": "a\\nb", "type": "t", "customer": "c"}', 422, "unrecognized_event"),
        (b'{"id": "", "type": "t", "customer": "c"}', 422, "unrecognized_event"),
        (b'{"id": "a", "type": "\\u200b", "customer": "c"}', 422, "unrecognized_event"),
    ],
)
def test_every_refusal_of_a_verified_body_has_its_status_and_code(
    bench: Bench, body: bytes, status: int, code: str
) -> None:
    source = bench.source()
    refused = refusal(source, sign(bench, body), body)
    assert (refused.status, refused.code) == (status, code)
    assert refusal(source, {"x-signature": "00"}, body).code == "not_verified"


def test_a_delivery_is_verified_before_anything_is_read(bench: Bench) -> None:
    assert refusal(bench.source(), {}, b"[" * 1_000_000).code == "not_verified"


def test_a_stale_delivery_is_refused_by_its_own_code(bench: Bench) -> None:
    body = json.dumps(BODY).encode()
    headers = bench.scheme(verify=STANDARD).sign(body, WHSEC, "msg_1", NOW - 301)
    refused = refusal(bench.source(verify=STANDARD), headers, body)
    assert (refused.status, refused.code) == (401, "stale_timestamp")


def test_the_status_of_a_failed_verification_is_the_sources_own(bench: Bench) -> None:
    assert refusal(bench.source(), {}, b"{}").status == 401
    refused = refusal(bench.source(failure_status=503), {}, b"{}")
    assert (refused.status, refused.code) == (503, "not_verified")
    assert bench.source(failure_status=503).failure_status == 503
    body = b"[]"
    assert refusal(bench.source(failure_status=503), sign(bench, body), body).status == 422


@pytest.mark.parametrize(
    ("field", "most"), [("id", 2_000), ("type", TEXT_CHARACTERS_MAX), ("customer", TEXT_CHARACTERS_MAX)]
)
def test_ids_and_types_are_taken_up_to_their_limit(bench: Bench, field: str, most: int) -> None:
    for length in (1, most):
        assert len(bench.claims(BODY | {field: "x" * length})) == 1
    with pytest.raises(Rejection) as caught:
        bench.claims(BODY | {field: "x" * (most + 100)})
    assert caught.value.code == "unrecognized_event"


def test_depth_is_held_to_the_setting(bench: Bench) -> None:
    body = json.dumps(BODY | {"x": [[[1]]]}).encode()
    settings = msgspec.structs.replace(Settings(), body_depth_max=4)
    assert bench.source(settings=settings).verify_and_parse(Delivery("one", sign(bench, body), body, NOW)).facts
    settings = msgspec.structs.replace(Settings(), body_depth_max=3)
    assert refusal(bench.source(settings=settings), sign(bench, body), body).code == "malformed_payload"


def test_an_admission_tells_facts_and_their_claims(bench: Bench) -> None:
    body = json.dumps(BODY).encode()
    admission = bench.source().verify_and_parse(Delivery("one", sign(bench, body), body, NOW))
    record = RecordRef("pack", "customer", "c1")
    assert admission.facts == (Fact("customer.updated", "evt_1", "changed", record),)
    assert admission.bodies == (body,)
    assert admission.identified == (True,)
    (claim,) = admission.claims
    assert len(claim) == 24
    assert set(claim) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_the_same_id_in_the_body_is_the_same_event_whatever_else_changed(bench: Bench) -> None:
    first = bench.claims()
    assert bench.claims(BODY | {"customer": "c2"}) == first
    assert bench.claims(verify=STANDARD, event_id="msg_2", at=NOW + 60) == first
    assert bench.claims(BODY | {"id": "evt_2"}) != first
    assert bench.claims(name="two") != first


def test_without_an_id_in_the_body_the_signed_header_is_the_identity(bench: Bench) -> None:
    first = bench.claims(verify=STANDARD, envelope=CUSTOM)
    assert bench.claims(BODY | {"customer": "c2"}, verify=STANDARD, envelope=CUSTOM, at=NOW + 9) == first
    assert bench.claims(verify=STANDARD, envelope=CUSTOM, event_id="msg_2") != first


def test_without_any_id_the_signed_bytes_are_the_identity(bench: Bench) -> None:
    for verify in (HMAC, BASIC):
        first = bench.claims(verify=verify, envelope=CUSTOM)
        assert bench.claims(verify=verify, envelope=CUSTOM, event_id="other") == first
        assert bench.claims(BODY | {"x": 1}, verify=verify, envelope=CUSTOM) != first


def test_an_id_in_the_body_and_the_same_digest_are_different_identities(bench: Bench) -> None:
    assert bench.claims(verify=HMAC, envelope=CUSTOM) != bench.claims(verify=HMAC)


SIGNED: dict[str, dict[str, Any]] = {
    "hmac": HMAC,
    "standard_webhooks": STANDARD,
    "github": {"scheme": "github", "secrets": [{"env": "S"}]},
    "shopify": {"scheme": "shopify", "secrets": [{"env": "S"}]},
    "slack": {"scheme": "slack", "secrets": [{"env": "S"}]},
    "stripe": {"scheme": "stripe", "secrets": [{"env": "S"}]},
    "svix": {"scheme": "svix", "secrets": [{"env": "W"}]},
    "basic": BASIC,
    "bearer": {"scheme": "bearer", "secrets": [{"env": "S"}]},
    "header": {"scheme": "header", "header": "X-Token", "secrets": [{"env": "S"}]},
}
CLOUD_EVENT = {"specversion": "1.0", "id": "1", "source": "/s", "type": "customer.updated", "subject": "c1"}
ENVELOPES: dict[str, tuple[Any, dict[str, Any]]] = {
    "custom": (CUSTOM, BODY),
    "custom with an id": (WITH_ID, BODY),
    "custom with its type in a header": (CUSTOM | {"type": {"header": "X-Topic"}}, BODY),
    "standard_webhooks": ("standard_webhooks", {"type": "customer.updated", "data": {"id": "c1"}}),
    "cloudevents, structured": ("cloudevents", CLOUD_EVENT),
    "cloudevents, binary": ("cloudevents", {"some": "data"}),
}
UNSIGNED_HEADERS = {
    "webhook-id", "svix-id", "x-request-id", "x-id", "idempotency-key", "date", "user-agent", "x-topic",
    "x-github-delivery", "x-shopify-webhook-id", "x-shopify-event-id", "ce-id", "ce-source", "ce-type", "ce-subject",
    "ce-time", "content-type",
}  # fmt: skip


@pytest.mark.parametrize("envelope", ENVELOPES)
@pytest.mark.parametrize("verify", SIGNED)
def test_an_unsigned_header_never_makes_a_captured_delivery_new(bench: Bench, verify: str, envelope: str) -> None:
    written, told = ENVELOPES[envelope]
    body = json.dumps(told).encode()
    plain = {"content-type": "application/json", "x-topic": "t"} | {
        f"ce-{name}": value for name, value in CLOUD_EVENT.items() if envelope == "cloudevents, binary"
    }
    secret = WHSEC if verify in {"standard_webhooks", "svix"} else "secret"
    signed = bench.scheme(verify=SIGNED[verify]).sign(body, secret, "msg_1", NOW)
    source = bench.source(verify=SIGNED[verify], envelope=written)
    first = source.verify_and_parse(Delivery("one", plain | signed, body, NOW)).claims
    assert len(first) == 1
    for name in UNSIGNED_HEADERS - signed.keys():
        for value in ("text/plain", "/new"):
            with contextlib.suppress(Rejection):
                changed = Delivery("one", plain | signed | {name: value}, body, NOW + 1, "other address")
                assert source.verify_and_parse(changed).claims == first


def test_distinct_bodies_make_each_delivery_its_own_unless_it_has_an_id(bench: Bench) -> None:
    claims = {bench.claims(envelope=CUSTOM, identical_bodies="distinct") for _ in range(5)}
    assert len(claims) == 5
    assert bench.claims(identical_bodies="distinct") == bench.claims()
    once = bench.claims(verify=STANDARD, envelope=CUSTOM, identical_bodies="distinct")
    assert bench.claims(verify=STANDARD, envelope=CUSTOM, identical_bodies="distinct") == once


def test_flow_retail_is_distinct_by_itself(bench: Bench) -> None:
    assert bench.source(platform="flow", envelope="platform").distinct
    assert not bench.source(platform="flow", envelope="platform", identical_bodies="same").distinct
    assert not bench.source(platform="pack").distinct


def test_entropy_is_handed_in(bench: Bench) -> None:
    config = configured(bench.folder, {"platform": "flow", "verify": BASIC, "envelope": "platform"})
    rolls = iter([b"a" * 18, b"b" * 18, b"a" * 18])
    source = build_sources(config, ENVIRON, bench.platforms, Settings(), lambda _: next(rolls))["one"]
    scheme = config.sources["one"].verify
    assert scheme
    headers = scheme.sign(b"", "secret", "", NOW)
    delivery = Delivery("one", headers, b'{"action": "CUSTOMER_UPDATE", "customer": {"Uid": "1"}}', NOW)
    first, second, third = (source.verify_and_parse(delivery).claims for _ in range(3))
    assert first == third != second


@pytest.mark.parametrize(("platform", "hours"), [("pack", 72), ("flow", 72), ("engage", 24), ("ofn", 21 * 24)])
def test_the_window_outlives_the_platforms_retries(bench: Bench, platform: str, hours: int) -> None:
    short = msgspec.structs.replace(Settings(), dedupe_hours=1.0)
    assert bench.source(platform, short, envelope="platform").window_ms == hours * HOUR_MS
    long = msgspec.structs.replace(Settings(), dedupe_hours=1_000.0)
    assert bench.source(platform, long, envelope="platform").window_ms == 1_000 * HOUR_MS
    assert bench.source(platform, envelope="platform", dedupe_hours=1.5).window_ms == 5_400_000


@pytest.mark.parametrize(("scheme", "hours"), [("github", 72), ("shopify", 48), ("slack", 24), ("stripe", 96)])
def test_the_window_outlives_the_retries_of_a_well_known_sender(bench: Bench, scheme: str, hours: int) -> None:
    short = msgspec.structs.replace(Settings(), dedupe_hours=1.0)
    verify = {"scheme": scheme, "secrets": [{"env": "S"}]}
    assert bench.source("erp", short, verify=verify).window_ms == hours * HOUR_MS
    assert bench.source("erp", short).window_ms == HOUR_MS


def test_a_secret_that_went_missing_stops_the_building(bench: Bench) -> None:
    config = configured(bench.folder, {"platform": "pack", "verify": HMAC})
    with pytest.raises(ConfigError) as caught:
        build_sources(config, {}, bench.platforms, Settings())
    assert caught.value.path == "sources.one.verify.secrets[0]"


class Batches:
    """A platform whose every delivery tells the facts it was made with."""

    account = "pack"

    def __init__(self, *facts: Fact) -> None:
        self.facts = facts

    def read(self, delivery: Delivery) -> tuple[Fact, ...]:  # noqa: ARG002 - the protocol's signature
        return self.facts

    async def resolve(self, ref: RecordRef, context: CallContext) -> tuple[RecordRef, ...]:  # noqa: ARG002 - likewise
        return (ref,)

    async def fetch(self, ref: RecordRef, context: CallContext) -> FetchedRecord:  # noqa: ARG002 - likewise
        raise PermanentError("unknown_kind", ref.kind)

    async def list_records(self, kind: str, cursor: str | None, context: CallContext) -> RecordPage:  # noqa: ARG002 - likewise
        raise PermanentError("unknown_kind", kind)


def batch(bench: Bench, *facts: Fact) -> VerifiedDelivery:
    config = configured(bench.folder, {"platform": "pack", "verify": HMAC})
    source = build_sources(config, ENVIRON, {"pack": Batches(*facts)}, Settings())["one"]
    return source.verify_and_parse(Delivery("one", sign(bench, b"{}"), b"{}", NOW))


def batch_claims(bench: Bench, *facts: Fact) -> tuple[str, ...]:
    return batch(bench, *facts).claims


def test_each_fact_is_told_with_its_bytes_and_whether_it_has_an_id(bench: Bench) -> None:
    admission = batch(bench, Fact("t"), Fact("t", "a"))
    assert admission.bodies == (b"{}", b"{}")
    assert admission.identified == (False, True)


def test_an_id_in_a_signed_header_identifies_every_fact(bench: Bench) -> None:
    body = json.dumps(BODY).encode()
    headers = bench.scheme(verify=STANDARD).sign(body, WHSEC, "msg_1", NOW)
    source = bench.source(verify=STANDARD, envelope=CUSTOM)
    assert source.verify_and_parse(Delivery("one", headers, body, NOW)).identified == (True,)
    unsigned = bench.source(envelope=CUSTOM).verify_and_parse(Delivery("one", sign(bench, body), body, NOW))
    assert unsigned.identified == (False,)


def test_the_facts_of_one_delivery_are_told_apart(bench: Bench) -> None:
    alike = Fact("t")
    claims = batch_claims(bench, alike, alike, Fact("t", "a"), Fact("t", "a"), Fact("t", "b"), alike)
    assert len(set(claims)) == 6
    assert batch_claims(bench, alike, alike, Fact("t", "a"), Fact("t", "a"), Fact("t", "b"), alike) == claims


def test_an_id_is_the_same_event_alone_and_in_a_batch(bench: Bench) -> None:
    a, b = Fact("t", "a"), Fact("t", "b")
    assert batch_claims(bench, a) == batch_claims(bench, a, b)[:1] == batch_claims(bench, b, a)[1:]
    assert batch_claims(bench, Fact("t")) == batch_claims(bench, Fact("t"), a)[:1]


def test_a_delivery_may_tell_nothing_or_much_but_not_too_much(bench: Bench) -> None:
    assert batch_claims(bench) == ()
    assert len(batch_claims(bench, *[Fact("t")] * FACTS_MAX)) == FACTS_MAX
    with pytest.raises(Rejection) as caught:
        batch_claims(bench, *[Fact("t")] * (FACTS_MAX + 1))
    assert caught.value.code == "unrecognized_event"


def test_what_a_connector_read_is_held_to_the_same_limits(bench: Bench) -> None:
    long, record = "x" * (TEXT_CHARACTERS_MAX + 1), RecordRef("pack", "customer", "a\nb")
    for fact in (
        Fact(long),
        Fact("t", "x" * (ID_CHARACTERS_MAX + 1), record=RecordRef("pack", "customer", "a")),
        Fact("t", "\x00", record=RecordRef("pack", "customer", "a")),
        Fact("t", record=record),
        Fact(""),
    ):
        with pytest.raises(Rejection) as caught:
            batch_claims(bench, fact)
        assert caught.value.code == "unrecognized_event"


@given(st.binary(max_size=80), st.dictionaries(st.sampled_from(["authorization", "x"]), st.text(max_size=20)))
def test_random_deliveries_raise_nothing_but_refusals(body: bytes, headers: dict[str, str]) -> None:
    envelope: CustomEnvelope = msgspec.convert(WITH_ID, EnvelopeConfig)
    source = Source(
        name="one",
        platform="pack",
        window_ms=1,
        failure_status=401,
        content_types=envelope.content_types,
        distinct=False,
        verifier=Unverified().build({}, "verify"),
        reader=envelope.reader(ParseContext(Batches(), frozenset({"customer"}), 64)),
        entropy=bytes,
    )
    with pytest.raises(Rejection):
        source.verify_and_parse(Delivery("one", headers, body, NOW))
