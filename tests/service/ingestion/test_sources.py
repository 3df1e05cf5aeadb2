"""Sources: order of the checks, rejections, and dedupe keys."""

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
from service.configuration import load_config
from service.envelopes import CustomEnvelope, EnvelopeConfig, ParseContext
from service.errors import ConfigError, PermanentError, Rejection
from service.events import Delivery, Fact, RecordRef
from service.http_client import HttpClient
from service.ingestion.fact_limits import ID_CHARACTERS_MAX, TEXT_CHARACTERS_MAX
from service.ingestion.sources import (
    Source,
    VerifiedDelivery,
    build_sources,
)
from service.platforms import CallContext, FetchedRecord, Platform
from service.platforms.base import RecordPage
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
FACTS_MAX = 1_000


def load_source_config(folder: Path, source: Mapping[str, Any], name: str = "one") -> Config:
    path = folder / "waybill.yaml"
    path.write_text(json.dumps({"platforms": PLATFORMS, "sources": {name: source}}))
    return load_config(path, ENVIRON)


class Harness:
    """Builds one source and delivers to it."""

    def __init__(self, folder: Path, platforms: Mapping[str, Platform]) -> None:
        self.folder = folder
        self.platforms = platforms

    def source(
        self, platform: str = "pack", settings: Settings | None = None, name: str = "one", **fields: Any
    ) -> Source:
        config = load_source_config(
            self.folder, {"platform": platform, "verify": HMAC, "envelope": WITH_ID} | fields, name
        )
        return build_sources(config, ENVIRON, self.platforms, settings or Settings())[name]

    def scheme(self, **fields: Any) -> Scheme:
        scheme = load_source_config(self.folder, {"platform": "pack", "verify": HMAC} | fields).sources["one"].verify
        assert scheme
        return scheme

    def dedupe_keys(
        self, body: object = None, /, *, event_id: str = "msg_1", at: int = NOW, **fields: Any
    ) -> tuple[str, ...]:
        """Deliver to a source with these fields; return the dedupe keys."""
        raw = body if isinstance(body, bytes) else json.dumps(body or BODY).encode()
        scheme = self.scheme(**{key: value for key, value in fields.items() if key in {"verify", "allow_unverified"}})
        headers = scheme.sign(raw, SECRETS[str(scheme.__struct_config__.tag)], event_id, at)
        return self.source(**fields).verify_and_parse(Delivery("one", headers, raw, at)).dedupe_keys


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[Harness]:
    config = load_source_config(tmp_path, {"platform": "pack", "verify": HMAC})
    async with HttpClient(Settings()) as outbound:
        yield Harness(tmp_path, build_platforms(config.platforms, ENVIRON, outbound))


def rejection_of(source: Source, headers: Mapping[str, str], body: bytes) -> Rejection:
    with pytest.raises(Rejection) as caught:
        source.verify_and_parse(Delivery("one", headers, body, NOW))
    return caught.value


def sign(harness: Harness, body: bytes) -> dict[str, str]:
    return harness.scheme().sign(body, "secret", "", NOW)


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
def test_invalid_verified_body_is_rejected_with_its_code(harness: Harness, body: bytes, status: int, code: str) -> None:
    source = harness.source()
    rejection = rejection_of(source, sign(harness, body), body)
    assert (rejection.status, rejection.code) == (status, code)
    assert rejection_of(source, {"x-signature": "00"}, body).code == "not_verified"


def test_verification_precedes_parsing(harness: Harness) -> None:
    assert rejection_of(harness.source(), {}, b"[" * 1_000_000).code == "not_verified"


def test_stale_delivery_is_rejected_as_stale_timestamp(harness: Harness) -> None:
    body = json.dumps(BODY).encode()
    headers = harness.scheme(verify=STANDARD).sign(body, WHSEC, "msg_1", NOW - 301)
    rejection = rejection_of(harness.source(verify=STANDARD), headers, body)
    assert (rejection.status, rejection.code) == (401, "stale_timestamp")


def test_failure_status_of_a_source_replaces_401(harness: Harness) -> None:
    assert rejection_of(harness.source(), {}, b"{}").status == 401
    rejection = rejection_of(harness.source(failure_status=503), {}, b"{}")
    assert (rejection.status, rejection.code) == (503, "not_verified")
    assert harness.source(failure_status=503).failure_status == 503
    body = b"[]"
    assert rejection_of(harness.source(failure_status=503), sign(harness, body), body).status == 422


@pytest.mark.parametrize(
    ("field", "length_max"), [("id", 2_000), ("type", TEXT_CHARACTERS_MAX), ("customer", TEXT_CHARACTERS_MAX)]
)
def test_ids_and_types_are_accepted_up_to_their_limit(harness: Harness, field: str, length_max: int) -> None:
    for length in (1, length_max):
        assert len(harness.dedupe_keys(BODY | {field: "x" * length})) == 1
    with pytest.raises(Rejection) as caught:
        harness.dedupe_keys(BODY | {field: "x" * (length_max + 100)})
    assert caught.value.code == "unrecognized_event"


def test_body_depth_is_limited(harness: Harness) -> None:
    body = json.dumps(BODY | {"x": [[[1]]]}).encode()
    settings = msgspec.structs.replace(Settings(), body_depth_max=4)
    assert harness.source(settings=settings).verify_and_parse(Delivery("one", sign(harness, body), body, NOW)).facts
    settings = msgspec.structs.replace(Settings(), body_depth_max=3)
    assert rejection_of(harness.source(settings=settings), sign(harness, body), body).code == "malformed_payload"


def test_verified_delivery_has_facts_and_dedupe_keys(harness: Harness) -> None:
    body = json.dumps(BODY).encode()
    verified = harness.source().verify_and_parse(Delivery("one", sign(harness, body), body, NOW))
    record = RecordRef("pack", "customer", "c1")
    assert verified.facts == (Fact("customer.updated", "evt_1", "changed", record),)
    assert verified.bodies == (body,)
    assert verified.sender_ids == ("evt_1",)
    (dedupe_key,) = verified.dedupe_keys
    assert len(dedupe_key) == 24
    assert set(dedupe_key) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_id_in_the_body_determines_the_dedupe_key(harness: Harness) -> None:
    first = harness.dedupe_keys()
    assert harness.dedupe_keys(BODY | {"customer": "c2"}) == first
    assert harness.dedupe_keys(verify=STANDARD, event_id="msg_2", at=NOW + 60) == first
    assert harness.dedupe_keys(BODY | {"id": "evt_2"}) != first
    assert harness.dedupe_keys(name="two") != first


def test_signed_header_determines_the_dedupe_key_without_an_id_in_the_body(harness: Harness) -> None:
    first = harness.dedupe_keys(verify=STANDARD, envelope=CUSTOM)
    assert harness.dedupe_keys(BODY | {"customer": "c2"}, verify=STANDARD, envelope=CUSTOM, at=NOW + 9) == first
    assert harness.dedupe_keys(verify=STANDARD, envelope=CUSTOM, event_id="msg_2") != first


def test_signed_bytes_determine_the_dedupe_key_without_any_id(harness: Harness) -> None:
    for verify in (HMAC, BASIC):
        first = harness.dedupe_keys(verify=verify, envelope=CUSTOM)
        assert harness.dedupe_keys(verify=verify, envelope=CUSTOM, event_id="other") == first
        assert harness.dedupe_keys(BODY | {"x": 1}, verify=verify, envelope=CUSTOM) != first


def test_dedupe_keys_of_ids_and_of_signed_bytes_differ(harness: Harness) -> None:
    assert harness.dedupe_keys(verify=HMAC, envelope=CUSTOM) != harness.dedupe_keys(verify=HMAC)


SIGNED: dict[str, dict[str, Any]] = {
    "hmac": HMAC,
    "standard_webhooks": STANDARD,
    "hmac with a timestamp": HMAC | {"signed": "{timestamp}.{body}", "timestamp_header": "X-Time"},
    "svix": STANDARD | {"header_prefix": "svix-"},
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
def test_unsigned_headers_do_not_change_the_dedupe_key(harness: Harness, verify: str, envelope: str) -> None:
    envelope_config, content = ENVELOPES[envelope]
    body = json.dumps(content).encode()
    plain = {"content-type": "application/json", "x-topic": "t"} | {
        f"ce-{name}": value for name, value in CLOUD_EVENT.items() if envelope == "cloudevents, binary"
    }
    secret = WHSEC if verify in {"standard_webhooks", "svix"} else "secret"
    signed = harness.scheme(verify=SIGNED[verify]).sign(body, secret, "msg_1", NOW)
    source = harness.source(verify=SIGNED[verify], envelope=envelope_config)
    first = source.verify_and_parse(Delivery("one", plain | signed, body, NOW)).dedupe_keys
    assert len(first) == 1
    for name in UNSIGNED_HEADERS - signed.keys():
        for value in ("text/plain", "/new"):
            with contextlib.suppress(Rejection):
                changed = Delivery("one", plain | signed | {name: value}, body, NOW + 1, "other address")
                assert source.verify_and_parse(changed).dedupe_keys == first


def test_distinct_source_treats_each_delivery_without_an_id_as_new(harness: Harness) -> None:
    dedupe_keys = {harness.dedupe_keys(envelope=CUSTOM, identical_bodies="distinct") for _ in range(5)}
    assert len(dedupe_keys) == 5
    assert harness.dedupe_keys(identical_bodies="distinct") == harness.dedupe_keys()
    once = harness.dedupe_keys(verify=STANDARD, envelope=CUSTOM, identical_bodies="distinct")
    assert harness.dedupe_keys(verify=STANDARD, envelope=CUSTOM, identical_bodies="distinct") == once


def test_flow_retail_sources_are_distinct_by_default(harness: Harness) -> None:
    assert harness.source(platform="flow", envelope="platform").distinct
    assert not harness.source(platform="flow", envelope="platform", identical_bodies="same").distinct
    assert not harness.source(platform="pack").distinct


def test_distinct_dedupe_keys_come_from_the_entropy_function(harness: Harness) -> None:
    config = load_source_config(harness.folder, {"platform": "flow", "verify": BASIC, "envelope": "platform"})
    values = iter([b"a" * 18, b"b" * 18, b"a" * 18])
    source = build_sources(config, ENVIRON, harness.platforms, Settings(), lambda _: next(values))["one"]
    scheme = config.sources["one"].verify
    assert scheme
    headers = scheme.sign(b"", "secret", "", NOW)
    delivery = Delivery("one", headers, b'{"action": "CUSTOMER_UPDATE", "customer": {"Uid": "1"}}', NOW)
    first, second, third = (source.verify_and_parse(delivery).dedupe_keys for _ in range(3))
    assert first == third != second


@pytest.mark.parametrize(("platform", "hours"), [("pack", 72), ("flow", 72), ("engage", 24), ("ofn", 21 * 24)])
def test_dedupe_window_covers_the_retries_of_the_platform(harness: Harness, platform: str, hours: int) -> None:
    short = msgspec.structs.replace(Settings(), dedupe_hours=1.0)
    assert harness.source(platform, short, envelope="platform").window_ms == hours * HOUR_MS
    long = msgspec.structs.replace(Settings(), dedupe_hours=1_000.0)
    assert harness.source(platform, long, envelope="platform").window_ms == 1_000 * HOUR_MS
    assert harness.source(platform, envelope="platform", dedupe_hours=1.5).window_ms == 5_400_000


@pytest.mark.parametrize(("preset", "hours"), [("github", 72), ("shopify", 48), ("slack", 24), ("stripe", 96)])
def test_dedupe_window_covers_the_retries_of_the_preset(harness: Harness, preset: str, hours: int) -> None:
    short = msgspec.structs.replace(Settings(), dedupe_hours=1.0)
    fields: dict[str, Any] = {"preset": preset, "secrets": [{"env": "S"}], "verify": {}}
    assert harness.source("erp", short, **fields).window_ms == hours * HOUR_MS
    assert harness.source("erp", short).window_ms == HOUR_MS


def test_missing_secret_is_a_config_error(harness: Harness) -> None:
    config = load_source_config(harness.folder, {"platform": "pack", "verify": HMAC})
    with pytest.raises(ConfigError) as caught:
        build_sources(config, {}, harness.platforms, Settings())
    assert caught.value.path == "sources.one.verify.secrets[0]"


class BatchPlatform:
    """Platform whose deliveries all contain the given facts."""

    account = "pack"
    hints = frozenset[str]()

    def __init__(self, *facts: Fact) -> None:
        self.facts = facts

    def read(self, delivery: Delivery) -> tuple[Fact, ...]:  # noqa: ARG002 - signature of the protocol
        return self.facts

    async def resolve(self, ref: RecordRef, context: CallContext) -> tuple[RecordRef, ...]:  # noqa: ARG002 - likewise
        return (ref,)

    async def fetch(self, ref: RecordRef, context: CallContext) -> FetchedRecord:  # noqa: ARG002 - likewise
        raise PermanentError("unknown_kind", ref.kind)

    async def list_records(self, kind: str, cursor: str | None, context: CallContext) -> RecordPage:  # noqa: ARG002 - likewise
        raise PermanentError("unknown_kind", kind)


def batch(harness: Harness, *facts: Fact) -> VerifiedDelivery:
    config = load_source_config(harness.folder, {"platform": "pack", "verify": HMAC})
    source = build_sources(config, ENVIRON, {"pack": BatchPlatform(*facts)}, Settings())["one"]
    return source.verify_and_parse(Delivery("one", sign(harness, b"{}"), b"{}", NOW))


def batch_dedupe_keys(harness: Harness, *facts: Fact) -> tuple[str, ...]:
    return batch(harness, *facts).dedupe_keys


def test_each_fact_has_its_bytes_and_the_id_of_its_sender(harness: Harness) -> None:
    verified = batch(harness, Fact("t"), Fact("t", "a"))
    assert verified.bodies == (b"{}", b"{}")
    assert verified.sender_ids == (None, "a")


def test_id_in_a_signed_header_identifies_every_fact(harness: Harness) -> None:
    body = json.dumps(BODY).encode()
    headers = harness.scheme(verify=STANDARD).sign(body, WHSEC, "msg_1", NOW)
    source = harness.source(verify=STANDARD, envelope=CUSTOM)
    assert source.verify_and_parse(Delivery("one", headers, body, NOW)).sender_ids == ("msg_1",)
    unsigned = harness.source(envelope=CUSTOM).verify_and_parse(Delivery("one", sign(harness, body), body, NOW))
    assert unsigned.sender_ids == (None,)


def test_facts_of_one_delivery_have_different_dedupe_keys(harness: Harness) -> None:
    alike = Fact("t")
    dedupe_keys = batch_dedupe_keys(harness, alike, alike, Fact("t", "a"), Fact("t", "a"), Fact("t", "b"), alike)
    assert len(set(dedupe_keys)) == 6
    assert (
        batch_dedupe_keys(harness, alike, alike, Fact("t", "a"), Fact("t", "a"), Fact("t", "b"), alike) == dedupe_keys
    )


def test_dedupe_key_of_an_id_is_the_same_alone_and_in_a_batch(harness: Harness) -> None:
    a, b = Fact("t", "a"), Fact("t", "b")
    assert batch_dedupe_keys(harness, a) == batch_dedupe_keys(harness, a, b)[:1] == batch_dedupe_keys(harness, b, a)[1:]
    assert batch_dedupe_keys(harness, Fact("t")) == batch_dedupe_keys(harness, Fact("t"), a)[:1]


def test_number_of_facts_is_limited(harness: Harness) -> None:
    assert batch_dedupe_keys(harness) == ()
    assert len(batch_dedupe_keys(harness, *[Fact("t")] * FACTS_MAX)) == FACTS_MAX
    with pytest.raises(Rejection) as caught:
        batch_dedupe_keys(harness, *[Fact("t")] * (FACTS_MAX + 1))
    assert caught.value.code == "unrecognized_event"


def test_facts_of_connectors_have_the_same_limits(harness: Harness) -> None:
    long, record = "x" * (TEXT_CHARACTERS_MAX + 1), RecordRef("pack", "customer", "a\nb")
    for fact in (
        Fact(long),
        Fact("t", "x" * (ID_CHARACTERS_MAX + 1), record=RecordRef("pack", "customer", "a")),
        Fact("t", "\x00", record=RecordRef("pack", "customer", "a")),
        Fact("t", record=record),
        Fact(""),
    ):
        with pytest.raises(Rejection) as caught:
            batch_dedupe_keys(harness, fact)
        assert caught.value.code == "unrecognized_event"


@given(st.binary(max_size=80), st.dictionaries(st.sampled_from(["authorization", "x"]), st.text(max_size=20)))
def test_random_deliveries_raise_only_rejections(body: bytes, headers: dict[str, str]) -> None:
    envelope: CustomEnvelope = msgspec.convert(WITH_ID, EnvelopeConfig)
    source = Source(
        name="one",
        platform="pack",
        window_ms=1,
        failure_status=401,
        content_types=envelope.content_types,
        distinct=False,
        verifier=Unverified().build({}, "verify"),
        parser=envelope.reader(ParseContext(BatchPlatform(), frozenset({"customer"}), 64, FACTS_MAX)),
        entropy=bytes,
    )
    with pytest.raises(Rejection):
        source.verify_and_parse(Delivery("one", headers, body, NOW))


EACH = {"kind": "custom", "each": "/e", "type": "t", "record": {"kind": "customer", "id": "/c"}}


def keys_of_items(harness: Harness, *items: object, **envelope: Any) -> tuple[str, ...]:
    body = json.dumps({"e": items}).encode()
    source = harness.source(envelope=EACH | envelope)
    return source.verify_and_parse(Delivery("one", sign(harness, body), body, NOW)).dedupe_keys


def test_items_with_the_same_id_and_bytes_are_duplicates(harness: Harness) -> None:
    first, other = {"id": "1", "c": "a"}, {"id": "1", "c": "b"}
    keys = keys_of_items(harness, first, first, other, first, id="/id")
    assert (keys[0], len(set(keys))) == (keys[1], 2)
    assert keys[3] == keys[0]


def test_corrected_configuration_changes_no_key_of_other_items(harness: Harness) -> None:
    body = json.dumps({"e": [{"c": "a"}, {"d": "b"}, {"c": "c"}]}).encode()
    delivery = Delivery("one", sign(harness, body), body, NOW)
    verified = harness.source(envelope=EACH).verify_and_parse(delivery)
    optional = EACH | {"record": {"kind": "customer", "id": "/c", "optional": True}}
    corrected = harness.source(envelope=optional).verify_and_parse(delivery)
    assert corrected.dedupe_keys == (verified.dedupe_keys[0], verified.rejected[0].dedupe_key, verified.dedupe_keys[1])


def test_malformed_item_of_a_batch_is_repaired(harness: Harness) -> None:
    body = b'{"e": [{"c": "a"}, {"c": "b", "x": NaN}]}'
    verified = harness.source(envelope=EACH).verify_and_parse(Delivery("one", sign(harness, body), body, NOW))
    assert (len(verified.facts), verified.repaired, verified.rejected) == (2, True, ())
