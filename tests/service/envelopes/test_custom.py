"""The custom envelope and the platform envelope: valid and invalid deliveries, and configuration errors."""

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.bodies.pointers import parse_pointer
from service.config.decoding import decode_config
from service.envelopes import CustomEnvelope, Envelope, EnvelopeConfig, ParseContext, PlatformEnvelope
from service.envelopes.envelope import REJECTED_ITEMS_MAX
from service.errors import ConfigError, Rejection
from service.events import Delivery, Fact, RecordRef

ERP = CustomEnvelope(
    id="/id",
    type="/type",
    occurred_at="/at",
    record=msgspec.convert({"kind": "purchase_order", "id": "/data/id"}, CustomEnvelope.__annotations__["record"]),
    types={"order.created": "created", "ping": "ignored", "spam": "rejected"},
)
BODY: dict[str, Any] = {"id": "evt_1", "type": "order.created", "at": "2026-01-01", "data": {"id": "po_1", "n": 1}}
FACT = Fact("order.created", "evt_1", "created", RecordRef("erp", "purchase_order", "po_1"), "2026-01-01")


class Connector:
    """A connector that parses one simple format."""

    account = "erp"

    def read(self, delivery: Delivery) -> tuple[Fact, ...]:
        return (Fact(msgspec.json.decode(delivery.body, type=dict[str, str])["type"]),)


FACTS_MAX = 500
CONTEXT = ParseContext(Connector(), frozenset({"purchase_order", "customer"}), 64, FACTS_MAX)


def read(body: object, envelope: EnvelopeConfig = ERP) -> tuple[Fact, ...]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    parsed = envelope.reader(CONTEXT)(Delivery("erp-orders", {}, raw, 0.0))
    assert parsed.bodies == (raw,) * len(parsed.facts)
    return parsed.facts


def rejection(body: object, envelope: EnvelopeConfig = ERP) -> tuple[int, str]:
    with pytest.raises(Rejection) as caught:
        read(body, envelope)
    return caught.value.status, caught.value.code


def envelope_with(**fields: Any) -> CustomEnvelope:
    return decode_config({"kind": "custom", **msgspec.to_builtins(ERP), **fields}, EnvelopeConfig, "envelope")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"hello",
        b"{",
        b'{"id": "evt_1"',
        b'{"id": "evt_1",}',
        b'{"id": "evt_1"} {}',
        b'{"id": NaN}',
        b"{'id': 1}",
        b'\xef\xbb\xbf{"id": "evt_1"}',
        b'{"id": "\xff", "type": "t"}',
        b'{"id": "\\ud800", "type": "order.created", "data": {"id": "x"}}',
        b'{"id": "a\x00b"}',
        b'{"id": 01}',
    ],
)
def test_invalid_json_is_malformed(body: bytes) -> None:
    assert rejection(body) == (400, "malformed_payload")


@pytest.mark.parametrize(
    "body",
    [
        b'{"id": "a", "id": "b", "type": "order.created", "data": {"id": "x"}}',
        b'{"id": "a", "\\u0069d": "b", "type": "order.created", "data": {"id": "x"}}',
        b'{"id": "a", "type": "ping", "type": "order.created", "data": {"id": "x"}}',
        b'{"id": "a", "type": "order.created", "data": {"id": "x"}, "data": {"id": "y"}}',
        b'{"id": "a", "type": "order.created", "data": {"id": "x", "id": "x"}}',
        b'{"id": "a", "type": "order.created", "data": {"id": "x", "n": 1, "n": 2}}',
        b'{"id": "a", "type": "order.created", "data": {"id": "x"}, "q\\"": 1, "q\\u0022": 2}',
    ],
)
def test_duplicate_key_on_a_pointer_path_is_malformed(body: bytes) -> None:
    assert rejection(body) == (400, "malformed_payload")


def test_duplicate_key_outside_the_pointer_paths_is_accepted() -> None:
    body = (
        b'{"id": "evt_1", "type": "order.created", "at": "2026-01-01", "data": {"id": "po_1", "x": {"a": 1, "a": 2}}}'
    )
    assert read(body) == (FACT,)


def test_keys_with_quotes_and_escapes_are_not_duplicates() -> None:
    invalid = {'a"b': 1, "a\\": '"', '\\"': {'"': '"'}, "é": "\\", "": ['"', "\\"]}
    assert read(BODY | invalid) == (FACT,)
    assert read(json.dumps(BODY | invalid, ensure_ascii=False, indent=2).encode()) == (FACT,)


@pytest.mark.parametrize("body", [[], {}, 1, "text", None, True, [BODY], {"event": BODY}])
def test_json_of_another_structure_is_not_an_event(body: object) -> None:
    assert rejection(body) == (422, "unrecognized_event")


@pytest.mark.parametrize("value", [None, True, 1.5, [], {}, ["x"], "x" * 3_000, 10**2_100])
@pytest.mark.parametrize("path", ["id", "type", "data.id"])
def test_id_or_type_of_the_wrong_type_is_not_an_event(path: str, value: object) -> None:
    body = BODY | ({"data": {"id": value}} if path == "data.id" else {path: value})
    assert rejection(body) == (422, "unrecognized_event")


@pytest.mark.parametrize("missing", ["id", "type", "data"])
def test_missing_part_is_not_an_event(missing: str) -> None:
    assert rejection({key: value for key, value in BODY.items() if key != missing}) == (422, "unrecognized_event")


def test_event_type_can_be_rejected() -> None:
    assert rejection(BODY | {"type": "spam"}) == (422, "unrecognized_event")
    assert rejection(BODY | {"type": "other"}, envelope_with(unmapped="rejected")) == (422, "unrecognized_event")


def test_rejection_contains_no_value_of_the_body() -> None:
    with pytest.raises(Rejection) as caught:
        read(BODY | {"id": ["hush"]})
    assert "hush" not in str(caught.value)
    assert "/id" in caught.value.detail


def test_event_is_parsed() -> None:
    assert read(BODY) == (FACT,)


def test_whole_number_ids_become_text() -> None:
    (fact,) = read(BODY | {"id": 7, "data": {"id": -12345678901234567890123}})
    assert (fact.id, fact.record and fact.record.id) == ("7", "-12345678901234567890123")


def test_ignored_type_requires_neither_id_nor_record() -> None:
    assert read({"type": "ping"}) == (Fact("ping"),)
    assert read({"type": "ping", "id": "p1", "at": "now"}) == (Fact("ping", occurred_at="now"),)
    assert read({"type": "other"}, envelope_with(unmapped="ignored")) == (Fact("other"),)


@pytest.mark.parametrize("invalid", [None, "", 1.5, True, {}, [], "a\nb", "x" * 10_000])
def test_ignored_type_accepts_any_id(invalid: object) -> None:
    assert read({"type": "ping", "id": invalid}) == (Fact("ping"),)


def test_unmapped_type_is_changed_by_default() -> None:
    assert read(BODY | {"type": "other"})[0].change == "changed"
    assert read(BODY | {"type": "other"}, envelope_with(unmapped="updated"))[0].change == "updated"


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [(1_700_000_000, "1700000000"), (None, None), ({}, None), (1.5, None), ("x" * 65, None), ("x" * 9_000, None)],
)
def test_invalid_timestamp_is_not_rejected(timestamp: object, expected: str | None) -> None:
    assert read(BODY | {"at": timestamp})[0].occurred_at == expected
    assert read({key: value for key, value in BODY.items() if key != "at"})[0].occurred_at is None


def test_event_without_id_pointer_has_no_id() -> None:
    assert read(BODY, envelope_with(id=None))[0].id is None


def test_fixed_event_type() -> None:
    fixed = envelope_with(type="order changed", types={"order changed": "updated"})
    assert read({"id": 1, "data": {"id": 2}}, fixed)[0] == Fact(
        "order changed", "1", "updated", RecordRef("erp", "purchase_order", "2")
    )


def test_kind_can_be_a_pointer_and_mapped() -> None:
    path = {"kind": "/object", "id": "/data/id", "kinds": {"PO": "purchase_order"}}
    renamed = envelope_with(record=path)
    assert read(BODY | {"object": "PO"}, renamed)[0].record == RecordRef("erp", "purchase_order", "po_1")
    (other,) = read(BODY | {"object": "product"}, renamed)
    assert (other.record, other.reason) == (None, "unknown_kind")
    plain = envelope_with(record=path | {"kinds": {}})
    assert read(BODY | {"object": "customer"}, plain)[0].record == RecordRef("erp", "customer", "po_1")
    assert rejection(BODY, plain) == (422, "unrecognized_event")


def test_pointers_support_arrays_escapes_and_shared_objects() -> None:
    path = {"kind": "customer", "id": "/e/1/a~1b/~0"}
    envelope = envelope_with(id="/e/0", type="/e/1/t", record=path, occurred_at="/e/1/a~1b/0")
    (fact,) = read({"e": ["x", {"t": "y", "a/b": {"~": "z", "0": "m"}}]}, envelope)
    assert fact == Fact("y", "x", "changed", RecordRef("erp", "customer", "z"), "m")
    for body in ({"e": ["x"]}, {"e": {"0": "x", "1": 5}}, {"e": ["x", {"t": "y", "a/b": ["z"]}]}):
        assert rejection(body, envelope) == (422, "unrecognized_event")


@pytest.mark.parametrize(
    ("pointer", "steps"), [("", ()), ("/", ("",)), ("/a/b", ("a", "b")), ("/~01/~10", ("~1", "/0")), ("/0", ("0",))]
)
def test_pointers_are_parsed_as_in_rfc_6901(pointer: str, steps: tuple[str, ...]) -> None:
    assert parse_pointer(pointer) == steps


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"id": "id"}, "envelope.id"),
        ({"id": ""}, "envelope.id"),
        ({"id": "/a~2"}, "envelope.id"),
        ({"type": ""}, "envelope.type"),
        ({"type": "/a~"}, "envelope.type"),
        ({"occurred_at": "at"}, "envelope.occurred_at"),
        ({"record": {"kind": "Order", "id": "/id"}}, "envelope.record.kind"),
        ({"record": {"kind": "order"}}, "envelope.record.id"),
        ({"types": {"x": "touched"}}, "envelope.types.x"),
        ({"types": {"w": "created", "x": "touched"}}, "envelope.types.x"),
        ({"unmapped": "ignore"}, "envelope.unmapped"),
        ({"each": "events"}, "envelope.each"),
        ({"type": {"header": "X Topic"}}, "envelope.type.header"),
        ({"type": {"heder": "X-Topic"}}, "envelope.type.heder"),
    ],
)
def test_invalid_pointers_and_types_are_configuration_errors(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        envelope_with(**fields)
    assert caught.value.path == path


EACH = envelope_with(each="/events", record={"kind": "customer", "id": "/c"})
NO_ITEM: dict[str, str] = {}
ITEM = {"id": "1", "type": "order.created", "c": "c1"}


def test_events_of_a_list_are_parsed_from_their_own_bytes() -> None:
    body = b'{"events": [{"id":"1","type":"order.created","c":"c1"} , {"c":2,"type":"ping"}]}'
    parsed = EACH.reader(CONTEXT)(Delivery("erp", {}, body, 0.0))
    first = Fact("order.created", "1", "created", RecordRef("erp", "customer", "c1"))
    assert parsed.facts == (first, Fact("ping"))
    assert parsed.bodies == (b'{"id":"1","type":"order.created","c":"c1"}', b'{"c":2,"type":"ping"}')
    whole = envelope_with(each="", record={"kind": "customer", "id": "/c"})
    assert whole.reader(CONTEXT)(Delivery("erp", {}, json.dumps([ITEM]).encode(), 0.0)).facts == (first,)
    assert whole.reader(CONTEXT)(Delivery("erp", {}, b"[]", 0.0)).facts == ()


@pytest.mark.parametrize(
    "body",
    [{}, {"events": None}, {"events": {}}, {"events": ITEM}, {"events": [NO_ITEM, NO_ITEM]}, {"events": [1]}, [ITEM]],
)
def test_list_with_an_invalid_event_is_rejected(body: object) -> None:
    assert rejection(body, EACH) == (422, "unrecognized_event")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"events": None}, "at /events (WAYBILL_DELIVERY_EVENTS_MAX)"),
        ({"events": [ITEM] * (FACTS_MAX + 1)}, "at /events (WAYBILL_DELIVERY_EVENTS_MAX)"),
        ({"events": [NO_ITEM, NO_ITEM]}, "at /type, in event 0 of the list, counted from 0"),
        ({"events": [{**ITEM, "c": None}] * 2}, "at /c, in event 0 of the list, counted from 0"),
        ({"events": [{**ITEM, "c": None}]}, "at /c"),
    ],
)
def test_rejection_contains_the_path_of_the_list_or_the_index_of_the_event(body: object, path: str) -> None:
    with pytest.raises(Rejection, match=re.escape(f"{path}.") + r"\Z"):
        read(body, EACH)


def test_duplicate_key_in_a_list_is_rejected_with_the_index_of_the_event() -> None:
    body = b'{"events": [{"id":"1","type":"order.created","c":"c1"}, {"id":"1","id":"2","type":"t","c":"c"}]}'
    [item] = EACH.reader(CONTEXT)(Delivery("erp", {}, body, 0.0)).rejected
    assert (item.rejection.status, item.rejection.code) == (400, "malformed_payload")
    assert "in event 1 of the list" in item.rejection.detail


def test_valid_items_of_a_list_are_accepted_and_others_rejected_singly() -> None:
    bad: list[Any] = [{}, 1, {**ITEM, "c": None}]
    parsed = EACH.reader(CONTEXT)(Delivery("erp", {}, json.dumps({"events": [bad[0], ITEM, *bad[1:]]}).encode(), 0.0))
    assert (len(parsed.facts), parsed.indexes) == (1, (1,))
    assert [(item.index, json.loads(item.body)) for item in parsed.rejected] == [(0, bad[0]), (2, 1), (3, bad[2])]
    assert {item.rejection.code for item in parsed.rejected} == {"unrecognized_event"}
    for number, rejected in ((REJECTED_ITEMS_MAX, False), (REJECTED_ITEMS_MAX + 1, True)):
        body = {"events": [ITEM, *[{}] * number]}
        assert (rejected and rejection(body, EACH)) in {False, (422, "unrecognized_event")}
        if not rejected:
            assert len(EACH.reader(CONTEXT)(Delivery("erp", {}, json.dumps(body).encode(), 0.0)).rejected) == number


LISTS: list[tuple[Any, Any, str]] = [
    ("/entry/*/changes", {"entry": [{"changes": [{"c": 1}, {"c": 2}]}, {}, {"changes": [{"c": 3}]}]}, "123"),
    ("/entry/*/changes/*", {"entry": [{"changes": [{"c": 1}]}, {"changes": []}]}, "1"),
    ("/*", [{"c": 1}, {"c": 2}], "12"),
    ("/*/b", [{"b": [{"c": 1}]}, {"b": None}], "1"),
    ("/a", {"a": []}, ""),
]


@pytest.mark.parametrize(("each", "body", "records"), LISTS)
def test_items_of_lists_in_lists_are_found(each: str, body: object, records: str) -> None:
    envelope = envelope_with(id=None, each=each, type="t", occurred_at=None, record={"kind": "customer", "id": "/c"})
    parsed = envelope.reader(CONTEXT)(Delivery("erp", {}, json.dumps(body).encode(), 0.0))
    assert "".join(fact.record.id for fact in parsed.facts if fact.record) == records


@pytest.mark.parametrize("body", [{}, {"entry": None}, {"entry": {"changes": []}}, []])
def test_missing_outer_list_is_rejected(body: object) -> None:
    envelope = envelope_with(id=None, each="/entry/*/changes", type="t", record={"kind": "customer", "id": "/c"})
    assert rejection(body, envelope) == (422, "unrecognized_event")


def test_items_can_be_texts() -> None:
    texts = envelope_with(id=None, each="/accounts", type="t", occurred_at=None, record={"kind": "customer", "id": ""})
    parsed = texts.reader(CONTEXT)(Delivery("erp", {}, b'{"accounts": ["a", 7, {}]}', 0.0))
    assert [fact.record and fact.record.id for fact in parsed.facts] == ["a", "7"]
    assert [item.index for item in parsed.rejected] == [2]


@pytest.mark.parametrize("data", [{}, {"id": None}, {"id": {}}, {"id": True}])
def test_event_without_an_optional_record_is_ignored(data: dict[str, Any]) -> None:
    optional = envelope_with(record={"kind": "purchase_order", "id": "/data/id", "optional": True})
    assert read(BODY, optional) == (FACT,)
    [fact] = read(BODY | {"data": data}, optional)
    assert (fact.record, fact.reason) == (None, "no_record")
    assert rejection(BODY | {"data": data}) == (422, "unrecognized_event")


def test_number_of_events_in_a_list_is_limited() -> None:
    parsed = EACH.reader(CONTEXT)(Delivery("erp", {}, json.dumps({"events": [ITEM] * FACTS_MAX}).encode(), 0.0))
    assert len(parsed.facts) == FACTS_MAX
    assert rejection({"events": [ITEM] * (FACTS_MAX + 1)}, EACH) == (422, "unrecognized_event")


def test_event_type_can_be_a_header() -> None:
    parse = envelope_with(type={"header": "X-Topic"}).reader(CONTEXT)
    body = json.dumps(BODY).encode()
    assert parse(Delivery("erp", {"x-topic": "order.created"}, body, 0.0)).facts == (FACT,)
    for headers in ({}, {"x-topic": ""}):
        with pytest.raises(Rejection) as caught:
            parse(Delivery("erp", headers, body, 0.0))
        assert caught.value.code == "unrecognized_event"


def test_unknown_kind_has_no_record() -> None:
    plain = envelope_with(record={"kind": "/object", "id": "/data/id"})
    assert read(BODY | {"object": "invoice"}, plain)[0].record is None


def test_platform_envelope_is_parsed_by_the_connector() -> None:
    assert read({"type": "x"}, PlatformEnvelope()) == (Fact("x"),)


@pytest.mark.parametrize("body", [b"", b"{", b'{"type": "a", "type": "b"}', b'{"type": 1}', b"[1]"])
def test_delivery_that_the_connector_cannot_decode_is_malformed(body: bytes) -> None:
    assert rejection(body, PlatformEnvelope()) == (400, "malformed_payload")


def test_envelope_without_a_parser_raises() -> None:
    with pytest.raises(NotImplementedError):
        Envelope().reader(CONTEXT)


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_random_bytes_raise_only_rejections(body: bytes) -> None:
    assert rejection(body)[1] in {"malformed_payload", "unrecognized_event"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["id", "type", "data", "at", '"', "\\", "é"]) | st.text(max_size=4), inner)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=5), st.booleans(), st.sampled_from([None, 2]))
def test_other_members_do_not_change_the_event(others: Any, ascii_only: bool, indent: int | None) -> None:  # noqa: FBT001
    body = json.dumps(others | BODY, ensure_ascii=ascii_only, indent=indent).encode()
    assert read(body) == (FACT,)


@given(JSON)
def test_random_json_raises_only_rejections(body: object) -> None:
    assert rejection(body)[1] in {"malformed_payload", "unrecognized_event"}
