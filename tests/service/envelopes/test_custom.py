"""The custom envelope: what it refuses, what it reads; and that the platform's own is guarded the same."""

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.config.decoding import decode_config
from service.envelopes import CustomEnvelope, Envelope, EnvelopeConfig, ParseContext, PlatformEnvelope
from service.envelopes.envelope import FACTS_MAX
from service.envelopes.pointers import parse_pointer
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
    """An account whose connector reads one thin shape, as the real ones do."""

    account = "erp"

    def read(self, delivery: Delivery) -> tuple[Fact, ...]:
        return (Fact(msgspec.json.decode(delivery.body, type=dict[str, str])["type"]),)


DESK = ParseContext(Connector(), frozenset({"purchase_order", "customer"}), 64)


def read(body: object, envelope: EnvelopeConfig = ERP) -> tuple[Fact, ...]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    told = envelope.reader(DESK)(Delivery("erp-orders", {}, raw, 0.0))
    assert told.bodies == (raw,) * len(told.facts)
    return told.facts


def refused(body: object, envelope: EnvelopeConfig = ERP) -> tuple[int, str]:
    with pytest.raises(Rejection) as caught:
        read(body, envelope)
    return caught.value.status, caught.value.code


def changed(**fields: Any) -> CustomEnvelope:
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
def test_what_is_no_json_is_unparsable(body: bytes) -> None:
    assert refused(body) == (400, "malformed_payload")


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
def test_a_key_that_stands_twice_on_the_way_is_unparsable(body: bytes) -> None:
    assert refused(body) == (400, "malformed_payload")


def test_a_key_that_stands_twice_where_nobody_looks_is_left_alone() -> None:
    body = (
        b'{"id": "evt_1", "type": "order.created", "at": "2026-01-01", "data": {"id": "po_1", "x": {"a": 1, "a": 2}}}'
    )
    assert read(body) == (FACT,)


def test_keys_with_quotes_backslashes_and_escapes_are_no_repetition() -> None:
    odd = {'a"b': 1, "a\\": '"', '\\"': {'"': '"'}, "é": "\\", "": ['"', "\\"]}
    assert read(BODY | odd) == (FACT,)
    assert read(json.dumps(BODY | odd, ensure_ascii=False, indent=2).encode()) == (FACT,)


@pytest.mark.parametrize("body", [[], {}, 1, "text", None, True, [BODY], {"event": BODY}])
def test_json_that_is_not_the_sources_shape_is_not_an_event(body: object) -> None:
    assert refused(body) == (422, "unrecognized_event")


@pytest.mark.parametrize("value", [None, True, 1.5, [], {}, ["x"], "x" * 3_000, 10**2_100])
@pytest.mark.parametrize("place", ["id", "type", "data.id"])
def test_an_id_or_type_of_another_kind_is_not_an_event(place: str, value: object) -> None:
    body = BODY | ({"data": {"id": value}} if place == "data.id" else {place: value})
    assert refused(body) == (422, "unrecognized_event")


@pytest.mark.parametrize("missing", ["id", "type", "data"])
def test_a_missing_part_is_not_an_event(missing: str) -> None:
    assert refused({key: value for key, value in BODY.items() if key != missing}) == (422, "unrecognized_event")


def test_a_type_can_be_refused() -> None:
    assert refused(BODY | {"type": "spam"}) == (422, "unrecognized_event")
    assert refused(BODY | {"type": "other"}, changed(unmapped="rejected")) == (422, "unrecognized_event")


def test_a_refusal_tells_no_value_of_the_body() -> None:
    with pytest.raises(Rejection) as caught:
        read(BODY | {"id": ["hush"]})
    assert "hush" not in str(caught.value)
    assert "/id" in caught.value.detail


def test_an_event_is_read() -> None:
    assert read(BODY) == (FACT,)


def test_ids_that_are_whole_numbers_become_text() -> None:
    (fact,) = read(BODY | {"id": 7, "data": {"id": -12345678901234567890123}})
    assert (fact.id, fact.record and fact.record.id) == ("7", "-12345678901234567890123")


def test_an_ignored_type_needs_neither_id_nor_record() -> None:
    assert read({"type": "ping"}) == (Fact("ping"),)
    assert read({"type": "ping", "id": "p1", "at": "now"}) == (Fact("ping", occurred_at="now"),)
    assert read({"type": "other"}, changed(unmapped="ignored")) == (Fact("other"),)


@pytest.mark.parametrize("odd", [None, "", 1.5, True, {}, [], "a\nb", "x" * 10_000])
def test_an_ignored_type_may_have_anything_for_an_id(odd: object) -> None:
    assert read({"type": "ping", "id": odd}) == (Fact("ping"),)


def test_an_unmapped_type_is_changed_unless_it_says_otherwise() -> None:
    assert read(BODY | {"type": "other"})[0].change == "changed"
    assert read(BODY | {"type": "other"}, changed(unmapped="updated"))[0].change == "updated"


@pytest.mark.parametrize(
    ("moment", "told"),
    [(1_700_000_000, "1700000000"), (None, None), ({}, None), (1.5, None), ("x" * 65, None), ("x" * 9_000, None)],
)
def test_an_odd_moment_is_never_a_reason_to_refuse(moment: object, told: str | None) -> None:
    assert read(BODY | {"at": moment})[0].occurred_at == told
    assert read({key: value for key, value in BODY.items() if key != "at"})[0].occurred_at is None


def test_without_an_id_pointer_an_event_has_no_id() -> None:
    assert read(BODY, changed(id=None))[0].id is None


def test_a_sender_without_types_gets_a_fixed_one() -> None:
    fixed = changed(type="order changed", types={"order changed": "updated"})
    assert read({"id": 1, "data": {"id": 2}}, fixed)[0] == Fact(
        "order changed", "1", "updated", RecordRef("erp", "purchase_order", "2")
    )


def test_the_kind_may_be_pointed_at_and_renamed() -> None:
    place = {"kind": "/object", "id": "/data/id", "kinds": {"PO": "purchase_order"}}
    renamed = changed(record=place)
    assert read(BODY | {"object": "PO"}, renamed)[0].record == RecordRef("erp", "purchase_order", "po_1")
    (other,) = read(BODY | {"object": "product"}, renamed)
    assert (other.record, other.reason) == (None, "unknown_kind")
    plain = changed(record=place | {"kinds": {}})
    assert read(BODY | {"object": "customer"}, plain)[0].record == RecordRef("erp", "customer", "po_1")
    assert refused(BODY, plain) == (422, "unrecognized_event")


def test_pointers_go_through_arrays_escapes_and_shared_objects() -> None:
    place = {"kind": "customer", "id": "/e/1/a~1b/~0"}
    envelope = changed(id="/e/0", type="/e/1/t", record=place, occurred_at="/e/1/a~1b/0")
    (fact,) = read({"e": ["x", {"t": "y", "a/b": {"~": "z", "0": "m"}}]}, envelope)
    assert fact == Fact("y", "x", "changed", RecordRef("erp", "customer", "z"), "m")
    for body in ({"e": ["x"]}, {"e": {"0": "x", "1": 5}}, {"e": ["x", {"t": "y", "a/b": ["z"]}]}):
        assert refused(body, envelope) == (422, "unrecognized_event")


@pytest.mark.parametrize(
    ("pointer", "steps"), [("", ()), ("/", ("",)), ("/a/b", ("a", "b")), ("/~01/~10", ("~1", "/0")), ("/0", ("0",))]
)
def test_pointers_are_split_as_rfc_6901_says(pointer: str, steps: tuple[str, ...]) -> None:
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
def test_pointers_and_meanings_that_are_none_are_refused_at_load(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        changed(**fields)
    assert caught.value.path == path


EACH = changed(each="/events", record={"kind": "customer", "id": "/c"})
ITEM = {"id": "1", "type": "order.created", "c": "c1"}


def test_several_events_in_one_delivery_are_read_each_from_its_own_bytes() -> None:
    body = b'{"events": [{"id":"1","type":"order.created","c":"c1"} , {"c":2,"type":"ping"}]}'
    told = EACH.reader(DESK)(Delivery("erp", {}, body, 0.0))
    first = Fact("order.created", "1", "created", RecordRef("erp", "customer", "c1"))
    assert told.facts == (first, Fact("ping"))
    assert told.bodies == (b'{"id":"1","type":"order.created","c":"c1"}', b'{"c":2,"type":"ping"}')
    whole = changed(each="", record={"kind": "customer", "id": "/c"})
    assert whole.reader(DESK)(Delivery("erp", {}, json.dumps([ITEM]).encode(), 0.0)).facts == (first,)
    assert whole.reader(DESK)(Delivery("erp", {}, b"[]", 0.0)).facts == ()


@pytest.mark.parametrize(
    "body",
    [{}, {"events": None}, {"events": {}}, {"events": ITEM}, {"events": [ITEM, {}]}, {"events": [ITEM, 1]}, [ITEM]],
)
def test_a_list_of_events_with_one_that_is_none_is_refused_whole(body: object) -> None:
    assert refused(body, EACH) == (422, "unrecognized_event")


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"events": None}, "at /events"),
        ({"events": [ITEM] * (FACTS_MAX + 1)}, "at /events"),
        ({"events": [ITEM, ITEM, {}]}, "at /type, in event 2 of the list, counted from 0"),
        ({"events": [{**ITEM, "c": None}, ITEM]}, "at /c, in event 0 of the list, counted from 0"),
        ({"events": [{**ITEM, "c": None}]}, "at /c"),
    ],
)
def test_a_refusal_says_where_the_list_is_due_and_which_of_its_events_is_wrong(body: object, place: str) -> None:
    with pytest.raises(Rejection, match=re.escape(f"{place}.") + r"\Z"):
        read(body, EACH)


def test_a_key_that_stands_twice_in_one_event_of_a_list_is_told_with_its_place() -> None:
    with pytest.raises(Rejection) as caught:
        read(b'{"events": [{"id":"1","type":"order.created","c":"c1"}, {"id":"1","id":"2","type":"t","c":"c"}]}', EACH)
    assert (caught.value.status, caught.value.code) == (400, "malformed_payload")
    assert "in event 1 of the list" in caught.value.detail


def test_a_list_of_events_is_bounded() -> None:
    told = EACH.reader(DESK)(Delivery("erp", {}, json.dumps({"events": [ITEM] * FACTS_MAX}).encode(), 0.0))
    assert len(told.facts) == FACTS_MAX
    assert refused({"events": [ITEM] * (FACTS_MAX + 1)}, EACH) == (422, "unrecognized_event")


def test_the_type_may_stand_in_a_header() -> None:
    read_it = changed(type={"header": "X-Topic"}).reader(DESK)
    body = json.dumps(BODY).encode()
    assert read_it(Delivery("erp", {"x-topic": "order.created"}, body, 0.0)).facts == (FACT,)
    for headers in ({}, {"x-topic": ""}):
        with pytest.raises(Rejection) as caught:
            read_it(Delivery("erp", headers, body, 0.0))
        assert caught.value.code == "unrecognized_event"


def test_a_kind_the_account_does_not_know_was_not_asked_for() -> None:
    plain = changed(record={"kind": "/object", "id": "/data/id"})
    assert read(BODY | {"object": "invoice"}, plain)[0].record is None


def test_the_platforms_own_envelope_is_read_by_its_connector() -> None:
    assert read({"type": "x"}, PlatformEnvelope()) == (Fact("x"),)


@pytest.mark.parametrize("body", [b"", b"{", b'{"type": "a", "type": "b"}', b'{"type": 1}', b"[1]"])
def test_what_a_connector_cannot_decode_is_unparsable(body: bytes) -> None:
    assert refused(body, PlatformEnvelope()) == (400, "malformed_payload")


def test_an_envelope_that_says_nothing_of_its_own_reads_nothing() -> None:
    with pytest.raises(NotImplementedError):
        Envelope().reader(DESK)


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_random_bytes_raise_nothing_but_refusals(body: bytes) -> None:
    assert refused(body)[1] in {"malformed_payload", "unrecognized_event"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["id", "type", "data", "at", '"', "\\", "é"]) | st.text(max_size=4), inner)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=5), st.booleans(), st.sampled_from([None, 2]))
def test_whatever_stands_beside_the_pointers_changes_nothing(beside: Any, ascii_only: bool, indent: int | None) -> None:  # noqa: FBT001
    body = json.dumps(beside | BODY, ensure_ascii=ascii_only, indent=indent).encode()
    assert read(body) == (FACT,)


@given(JSON)
def test_random_json_raises_nothing_but_refusals(body: object) -> None:
    assert refused(body)[1] in {"malformed_payload", "unrecognized_event"}
