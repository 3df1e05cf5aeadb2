"""CloudEvents of the official SDK in structured, batched and binary mode, and manipulated copies of them."""

import json
from typing import Any

import pytest
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

from service.errors import Rejection
from service.events import Delivery, Fact, RecordRef
from service.ingestion.sources import Source, VerifiedDelivery
from service.secrets import SecretRef
from service.signatures import Hmac

from .conftest import SECRET, MakeSource

HMAC = {"scheme": "hmac", "header": "X-Signature"}
SCHEME = Hmac(header="X-Signature", secrets=(SecretRef(env="SECRET"),))
FACT = Fact("com.example.customer.updated", "/shop/7 42", "updated", RecordRef("erp", "customer", "c1"))


def event(**attributes: Any) -> CloudEvent:
    known = {"id": "42", "source": "/shop/7", "type": "com.example.customer.updated", "subject": "c1"}
    data = attributes.pop("data", {"customer": {"id": "c9"}, "name": "Zoë"})
    return CloudEvent(known | {"datacontenttype": "application/json"} | attributes, data)


def signed(body: bytes, headers: dict[str, str]) -> Delivery:
    lower = {name.lower(): value for name, value in headers.items()}
    return Delivery("one", lower | SCHEME.sign(body, SECRET, "", 0), body, 0)


def structured(*args: Any, **attributes: Any) -> Delivery:
    message = to_structured_event(event(*args, **attributes))
    return signed(message.body, dict(message.headers))


def binary(**attributes: Any) -> Delivery:
    message = to_binary_event(event(**attributes))
    return signed(message.body, dict(message.headers))


def batched(*events: CloudEvent) -> tuple[Delivery, list[bytes]]:
    bodies = [to_structured_event(item).body for item in events]
    return signed(b"[" + b",\n".join(bodies) + b"]", {"Content-Type": "application/cloudevents-batch+json"}), bodies


def fact_of(verified: VerifiedDelivery) -> Fact:
    (fact,) = verified.facts
    return Fact(fact.type, fact.id, fact.change, fact.record)


@pytest.fixture
def source(make_source: MakeSource) -> Source:
    return make_source(HMAC, envelope="cloudevents")


def test_structured_event_is_accepted(source: Source) -> None:
    verified = source.verify_and_parse(structured())
    assert fact_of(verified) == FACT
    assert verified.facts[0].occurred_at is not None
    assert verified.sender_ids == (FACT.id,)


def test_binary_event_is_accepted_without_its_unsigned_id(source: Source) -> None:
    verified = source.verify_and_parse(binary())
    assert fact_of(verified) == Fact(FACT.type, None, FACT.change, FACT.record)
    assert verified.sender_ids == (None,)


def test_events_of_a_batch_have_their_own_bytes_and_dedupe_keys(source: Source) -> None:
    events = [event(id=str(number), subject=f"c{number}") for number in range(3)]
    delivery, bodies = batched(*events)
    verified = source.verify_and_parse(delivery)
    assert [fact.record and fact.record.id for fact in verified.facts] == ["c0", "c1", "c2"]
    assert list(verified.bodies) == bodies
    assert verified.dedupe_keys == tuple(
        source.verify_and_parse(structured(id=str(n), subject=f"c{n}")).dedupe_keys[0] for n in range(3)
    )
    assert source.verify_and_parse(batched()[0]).facts == ()


def test_invalid_event_of_a_batch_is_rejected_singly(source: Source) -> None:
    good = json.loads(to_structured_event(event()).body)
    invalid_items: list[Any] = [
        {},
        1,
        None,
        [],
        {"specversion": "1.0"},
        good | {"id": ""},
        good | {"specversion": "0.3"},
    ]
    for invalid in invalid_items:
        for items in ([good, invalid], [invalid, good]):
            delivery = signed(json.dumps(items).encode(), {"content-type": "application/cloudevents-batch+json"})
            verified = source.verify_and_parse(delivery)
            assert len(verified.facts) == 1
            [rejected] = verified.rejected
            assert (rejected.item.index, rejected.item.rejection.code) == (items.index(invalid), "unrecognized_event")


def test_source_and_id_determine_the_dedupe_key(source: Source) -> None:
    first = source.verify_and_parse(structured()).dedupe_keys
    assert source.verify_and_parse(structured(subject="c2")).dedupe_keys == first
    assert source.verify_and_parse(structured(source="/shop/8")).dedupe_keys != first
    assert source.verify_and_parse(structured(id="43")).dedupe_keys != first


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/json", "ce-specversion": "1.0", "ce-id": "9", "ce-source": "/x", "ce-type": "t"},
        {"content-type": "text/plain", "ce-specversion": "1.0", "ce-id": "9", "ce-source": "/x", "ce-type": "t"},
        {"content-type": "application/json", "ce-subject": "c2"},
        {"content-type": "", "ce-specversion": "1.0", "ce-id": "9", "ce-source": "/x", "ce-type": "customer.deleted"},
        {"ce-id": "9", "ce-source": "/y", "ce-subject": "c2"},
    ],
)
def test_unsigned_headers_change_neither_dedupe_key_nor_facts(source: Source, headers: dict[str, str]) -> None:
    for captured in (structured(), batched(event())[0]):
        first = source.verify_and_parse(captured)
        changed = Delivery("one", {**captured.headers, **headers}, captured.body, 0)
        assert (source.verify_and_parse(changed).dedupe_keys, source.verify_and_parse(changed).facts) == (
            first.dedupe_keys,
            first.facts,
        )
    captured = binary()
    first = source.verify_and_parse(captured).dedupe_keys
    attributes = {name: value for name, value in headers.items() if name.startswith("ce-")}
    assert (
        source.verify_and_parse(Delivery("one", {**captured.headers, **attributes}, captured.body, 0)).dedupe_keys
        == first
    )


@pytest.mark.parametrize("mode", ["application/cloudevents+json", "application/cloudevents-batch+json"])
def test_another_content_type_is_rejected(source: Source, mode: str) -> None:
    for captured in (structured(), batched(event())[0], binary()):
        if captured.headers.get("content-type") != mode:
            with pytest.raises(Rejection) as caught:
                source.verify_and_parse(Delivery("one", {**captured.headers, "content-type": mode}, captured.body, 0))
            assert caught.value.status == 422


def test_binary_event_has_an_id_if_the_scheme_signs_it(make_source: MakeSource) -> None:
    verify = {"scheme": "hmac", "header": "X-Signature", "signed": "{id}.{body}", "id_header": "ce-id"}
    source = make_source(verify, envelope="cloudevents")
    scheme = Hmac(header="X-Signature", signed="{id}.{body}", id_header="ce-id", secrets=(SecretRef(env="SECRET"),))
    dedupe_keys: list[tuple[str, ...]] = []
    for number in ("1", "2", "1"):
        message = to_binary_event(event(id=number))
        headers = {name.lower(): value for name, value in message.headers.items()}
        headers |= scheme.sign(message.body, SECRET, number, 0)
        verified = source.verify_and_parse(Delivery("one", headers, message.body, 0))
        assert verified.sender_ids == (number,)
        dedupe_keys.append(verified.dedupe_keys)
    assert dedupe_keys[0] == dedupe_keys[2] != dedupe_keys[1]


def test_record_id_can_be_in_the_data_of_every_mode(make_source: MakeSource) -> None:
    envelope = {"kind": "cloudevents", "record": {"kind": "customer", "id": "/data/customer/id"}}
    source = make_source(HMAC, envelope=envelope)
    plain = {"datacontenttype": "text/plain", "data": b'{"customer": {"id": "c9"}}'}  # the SDK writes it as data_base64
    for delivery in (structured(), binary(), batched(event())[0], structured(**plain)):
        record = source.verify_and_parse(delivery).facts[0].record
        assert record == RecordRef("erp", "customer", "c9")


def test_binary_data_need_not_be_json_if_the_subject_is_the_record(source: Source) -> None:
    for data in (b"", b"\xff\x00 no text", b"{not json", b"[section]\nkey = value", "Zoë".encode()):
        delivery = binary(datacontenttype="application/octet-stream", data=data)
        assert fact_of(source.verify_and_parse(delivery)).record == RecordRef("erp", "customer", "c1")


def test_attributes_in_headers_are_percent_decoded(source: Source) -> None:
    for subject in ("Zoë", "a b", "100%", '"', "€"):
        assert fact_of(source.verify_and_parse(binary(subject=subject))).record == RecordRef("erp", "customer", subject)
    captured = binary()
    with pytest.raises(Rejection) as caught:
        source.verify_and_parse(Delivery("one", {**captured.headers, "ce-subject": "%FF"}, captured.body, 0))
    assert caught.value.code == "unrecognized_event"


def test_unknown_event_types_are_ignored(source: Source) -> None:
    assert fact_of(source.verify_and_parse(structured(type="com.example.invoice.paid"))).record is None
    assert fact_of(source.verify_and_parse(structured(type="ping"))).record is None


HMAC_WITH_ID = {"scheme": "hmac", "header": "X-Signature", "signed": "{id}.{body}", "id_header": "ce-id"}
ID_SCHEME = Hmac(header="X-Signature", signed="{id}.{body}", id_header="ce-id", secrets=(SecretRef(env="SECRET"),))


def signed_with_id(event_id: str, body: bytes, headers: dict[str, str]) -> Delivery:
    lower = {name.lower(): value for name, value in headers.items()}
    return Delivery("one", lower | ID_SCHEME.sign(body, SECRET, event_id, 0), body, 0)


@pytest.mark.parametrize("media", ["text/plain", "application/octet-stream", "application/json", ""])
@pytest.mark.parametrize("is_structured", [False, True])
def test_signed_id_and_body_cannot_be_split_differently(
    make_source: MakeSource, media: str, *, is_structured: bool
) -> None:
    source = make_source(HMAC_WITH_ID, envelope="cloudevents")
    sent = event(data={"price": 1.5, "site": "shop.example.com"}, source="shop.example.com/7")
    message = to_structured_event(sent) if is_structured else to_binary_event(sent)
    good = signed_with_id("42", message.body, dict(message.headers))
    assert source.verify_and_parse(good).facts[0].record == RecordRef("erp", "customer", "c1")
    signed_bytes = b"42." + good.body
    ends = [place for place, byte in enumerate(signed_bytes) if byte == ord(".")]
    assert len(ends) > 2
    for end in ends[1:]:
        shifted = {"ce-id": signed_bytes[:end].decode(), "content-type": media}
        fact_of = to_binary_event(sent)
        headers = {name.lower(): value for name, value in fact_of.headers.items()} | dict(good.headers) | shifted
        with pytest.raises(Rejection) as caught:
            source.verify_and_parse(Delivery("one", headers, signed_bytes[end + 1 :], 0))
        assert caught.value.code in {"not_verified", "malformed_payload", "unrecognized_event"}


def test_id_with_separators_is_accepted_with_a_json_body(make_source: MakeSource) -> None:
    source = make_source(
        HMAC_WITH_ID, envelope={"kind": "custom", "type": "/type", "record": {"kind": "customer", "id": "/id"}}
    )
    body = b'{"type": "customer.updated", "id": "c1"}'
    verified = source.verify_and_parse(signed_with_id("shop.example.42", body, {"content-type": "application/json"}))
    assert verified.sender_ids == ("shop.example.42",)
