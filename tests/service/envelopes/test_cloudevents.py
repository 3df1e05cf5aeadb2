"""CloudEvents and Standard Webhooks: valid and invalid deliveries. Random deliveries raise only Rejection."""

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.config.decoding import decode_config
from service.envelopes import (
    CloudEventsEnvelope,
    EnvelopeConfig,
    ParseContext,
    ParsedDelivery,
    StandardWebhooksEnvelope,
)
from service.errors import Rejection
from service.events import Delivery, Fact, RecordRef

STRUCTURED, BATCHED = "application/cloudevents+json", "application/cloudevents-batch+json"
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "1",
    "source": "/shop",
    "type": "customer.created",
    "subject": "c1",
    "time": "2026-01-01T00:00:00Z",
}
WEBHOOK = {"type": "customer.updated", "timestamp": "2026-01-01T00:00:00Z", "data": {"id": "c1"}}


class Connector:
    account = "erp"

    def read(self, delivery: Delivery) -> tuple[Fact, ...]:
        return (Fact(delivery.source),)


FACTS_MAX = 500
CONTEXT = ParseContext(Connector(), frozenset({"purchase_order", "customer"}), 16, FACTS_MAX)


def envelope(kind: str, **fields: Any) -> EnvelopeConfig:
    return decode_config({"kind": kind, **fields}, EnvelopeConfig, "envelope")


def read(body: object, media: str = STRUCTURED, config: EnvelopeConfig | None = None, **headers: str) -> ParsedDelivery:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return (config or CloudEventsEnvelope()).reader(CONTEXT)(Delivery("s", {"content-type": media, **named}, raw, 0.0))


def rejection(*args: Any, **headers: Any) -> tuple[int, str]:
    with pytest.raises(Rejection) as caught:
        read(*args, **headers)
    return caught.value.status, caught.value.code


@pytest.mark.parametrize(
    "change",
    [
        {"specversion": "0.3"},
        {"specversion": 1.0},
        {"specversion": None},
        {"id": ""},
        {"id": None},
        {"id": {}},
        {"source": ""},
        {"source": 7},
        {"source": "a b"},
        {"type": None},
        {"type": ["x"]},
        {"subject": None},
    ],
)
def test_invalid_attribute_is_rejected(change: dict[str, Any]) -> None:
    assert rejection(EVENT | change) == (422, "unrecognized_event")


@pytest.mark.parametrize("missing", ["specversion", "id", "source", "type", "subject"])
@pytest.mark.parametrize("media", [STRUCTURED, BATCHED])
def test_missing_attribute_is_rejected(missing: str, media: str) -> None:
    event = {name: value for name, value in EVENT.items() if name != missing}
    assert rejection([event] if media == BATCHED else event, media) == (422, "unrecognized_event")


@pytest.mark.parametrize(
    ("body", "media", "expected"),
    [
        (b"", STRUCTURED, (422, "unrecognized_event")),
        (b"{", STRUCTURED, (400, "malformed_payload")),
        (b'{"id": "\xff"}', STRUCTURED, (400, "malformed_payload")),
        (b"[" * 17 + b"]" * 17, BATCHED, (400, "malformed_payload")),
        (b'{"a": 1, "a": 2}', "application/json", (400, "malformed_payload")),
        (b"[1, 2", BATCHED, (400, "malformed_payload")),
        (EVENT, BATCHED, (422, "unrecognized_event")),
        ([EVENT], STRUCTURED, (422, "unrecognized_event")),
        ({}, STRUCTURED, (422, "unrecognized_event")),
        (b"x", "application/cloudevents+avro", (415, "unsupported_media_type")),
        (EVENT, "application/cloudevents+xml", (415, "unsupported_media_type")),
        (b"a=b", "application/x-www-form-urlencoded", (415, "unsupported_media_type")),
        ({"some": "json"}, "application/json", (415, "unsupported_media_type")),
    ],
)
def test_delivery_without_cloudevent_is_rejected(body: object, media: str, expected: tuple[int, str]) -> None:
    assert rejection(body, media) == expected


def test_structured_event_is_detected_without_its_content_type() -> None:
    assert read(EVENT, "application/json").facts == read(EVENT).facts
    assert read([EVENT], "application/json").facts == read([EVENT], BATCHED).facts == read(EVENT).facts


def test_batch_size_is_limited() -> None:
    assert len(read([EVENT] * FACTS_MAX, BATCHED).facts) == FACTS_MAX
    assert rejection([EVENT] * (FACTS_MAX + 1), BATCHED) == (422, "unrecognized_event")
    assert rejection([EVENT] * (FACTS_MAX + 1), "application/json") == (422, "unrecognized_event")
    attributes: dict[str, Any] = {f"ce_{name}": value for name, value in EVENT.items()}
    assert len(read([1] * (FACTS_MAX + 1), "application/json", **attributes).facts) == 1


def test_rejection_contains_the_index_of_the_event() -> None:
    for body, detail in (
        ([EVENT | {"subject": None}] * 2, "/subject, in event 0 of the list"),
        (EVENT | {"subject": None}, "/subject."),
    ):
        with pytest.raises(Rejection) as caught:
            read(body, BATCHED if isinstance(body, list) else STRUCTURED)
        assert detail in caught.value.detail


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("not base64!", (400, "malformed_payload")),
        (7, (400, "malformed_payload")),
        (base64.b64encode(b"text").decode(), (400, "malformed_payload")),
        (base64.b64encode(b"[" * 20 + b"]" * 20).decode(), (400, "malformed_payload")),
        (base64.b64encode(b"[]").decode(), (422, "unrecognized_event")),
    ],
)
def test_data_in_base64_is_checked_like_json(data: object, expected: tuple[int, str]) -> None:
    config = envelope("cloudevents", record={"kind": "customer", "id": "/data/id"})
    assert rejection(EVENT | {"data_base64": data}, STRUCTURED, config) == expected


def test_binary_event_requires_its_attributes() -> None:
    attributes: dict[str, Any] = {f"ce_{name}": value for name, value in EVENT.items()}
    assert read(b"{}", "application/json", **attributes).facts[0].record == RecordRef("erp", "customer", "c1")
    for missing in ("ce_id", "ce_source", "ce_type", "ce_subject"):
        headers = {name: value for name, value in attributes.items() if name != missing}
        assert rejection(b"{}", "application/json", **headers) == (422, "unrecognized_event")
    assert rejection(b"{}", "application/json", **attributes | {"ce_specversion": "0.3"}) == (422, "unrecognized_event")


@pytest.mark.parametrize(
    ("event_type", "kind", "change"),
    [
        ("customer.created", "customer", "created"),
        ("com.example.purchase-order.deleted.v2", "purchase_order", "deleted"),
        ("example/Customer/updated", "customer", "updated"),
        ("customer:merged", "customer", "changed"),
    ],
)
def test_kind_and_change_are_derived_from_the_event_type(event_type: str, kind: str, change: str) -> None:
    for fact in (
        read(EVENT | {"type": event_type}).facts[0],
        read(WEBHOOK | {"type": event_type}, config=StandardWebhooksEnvelope()).facts[0],
    ):
        assert (fact.record, fact.change) == (RecordRef("erp", kind, "c1"), change)


def test_configured_kinds_and_types_override_the_event_type() -> None:
    config = envelope(
        "standard_webhooks",
        record={"kind": "/data/object", "id": "/data/number", "kinds": {"client": "customer"}},
        types={"client.changed": "updated", "client.spam": "rejected", "customer.created": "ignored"},
        unmapped="changed",
    )

    def webhook(event_type: str, **data: Any) -> ParsedDelivery:
        return read({"type": event_type, "data": {"object": "client", "number": 7} | data}, config=config)

    assert webhook("client.changed").facts == (
        Fact("client.changed", None, "updated", RecordRef("erp", "customer", "7")),
    )
    assert webhook("customer.created").facts == (Fact("customer.created"),)
    assert webhook("client.deleted").facts[0].change == "changed"
    assert webhook("client.changed", object="product").facts == (Fact("client.changed", reason="unknown_kind"),)
    assert rejection({"type": "client.spam"}, config=config) == (422, "unrecognized_event")


def test_standard_webhook_is_parsed() -> None:
    fact = Fact("customer.updated", None, "updated", RecordRef("erp", "customer", "c1"), WEBHOOK["timestamp"])  # pyright: ignore[reportArgumentType] - a text
    assert read(WEBHOOK, config=StandardWebhooksEnvelope()).facts == (fact,)
    invalid: list[tuple[object, tuple[int, str]]] = [
        (b"", (400, "malformed_payload")),
        ([], (422, "unrecognized_event")),
        ({"type": "customer.updated", "data": {}}, (422, "unrecognized_event")),
        ({"data": {"id": "c1"}}, (422, "unrecognized_event")),
    ]
    for body, expected in invalid:
        assert rejection(body, config=StandardWebhooksEnvelope()) == expected


MEDIA = ["", "application/json", STRUCTURED, BATCHED, "text/plain", "application/cloudevents+avro", "x/y+json"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*EVENT, "data", "data_base64"]), inner)
    ),
    max_leaves=12,
)
NAMES = st.sampled_from([f"ce-{name}" for name in EVENT])


@given(
    body=st.binary(max_size=80)
    | JSON.map(lambda value: json.dumps(value).encode())
    | JSON.map(lambda value: json.dumps(EVENT | {"data": value}).encode())
    | st.lists(JSON, max_size=3).map(lambda values: json.dumps([EVENT, *values]).encode()),
    media=st.sampled_from(MEDIA),
    headers=st.dictionaries(NAMES, st.text(max_size=20) | st.sampled_from(["1.0", "%FF", "%C3%AB", "/x"])),
    config=st.sampled_from([
        CloudEventsEnvelope(),
        StandardWebhooksEnvelope(),
        envelope("cloudevents", record={"kind": "customer", "id": "/data/id"}),
        envelope("custom", type={"header": "ce-type"}, record={"kind": "/kind", "id": "/id"}, each="/data"),
        envelope("custom", type="/type", record={"kind": "customer", "id": "/subject"}, each=""),
    ]),
)  # fmt: skip
def test_random_deliveries_raise_only_rejections(
    body: bytes, media: str, headers: dict[str, str], config: EnvelopeConfig
) -> None:
    parsed = ParsedDelivery((), ())
    with contextlib.suppress(Rejection):
        parsed = config.reader(CONTEXT)(Delivery("s", {"content-type": media, **headers}, body, 0.0))
    assert len(parsed.facts) == len(parsed.bodies)
    assert sum(map(len, parsed.bodies)) <= len(body)
