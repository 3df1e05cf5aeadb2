"""Serialization: round trips, and damaged data."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.events import EVENT_VERSION, Event, RecordRef, traceparent_from_id
from service.platforms.api.coercion import record_version
from service.store.queue.last_state import LastState, decode_last_state, long_version, short_digest, short_version
from service.store.queue.serialization import (
    HISTORY_BYTES_MIN,
    compress_history,
    decode_event,
    decompress_history,
    encode_event,
)

EVENT_ID = "01a1fc5179b577a885b4de58a20a76c5"
ZSTANDARD = b"(\xb5/\xfd"
BODIES = st.binary(max_size=600) | st.binary(max_size=600).map(lambda tail: ZSTANDARD + tail)
HEADERS = st.dictionaries(
    st.sampled_from(["content-type", "user-agent", "webhook-id", "ce-id"]),
    st.sampled_from(["application/json", "application/json; charset=utf-8", "j", "k", "t"]) | st.text(max_size=20),
)
EVENTS = st.builds(
    Event,
    st.just(EVENT_VERSION),
    st.just(EVENT_ID),
    st.text(max_size=9),
    st.text(max_size=9),
    st.sampled_from(["created", "updated", "deleted", "changed"]),
    st.builds(RecordRef, st.text(max_size=9), st.text(max_size=9), st.text(max_size=9)),
    st.none() | st.text(max_size=9),
    HEADERS,
    st.sampled_from([None, traceparent_from_id(EVENT_ID), "00-" + "1" * 32 + "-" + "2" * 16 + "-01"]),
    BODIES | st.binary(max_size=300).map(lambda part: part * 5),
    st.integers(0, 5),
    st.booleans(),
    st.text(max_size=9),
)
LINES = st.lists(st.text(max_size=300).map(lambda text: msgspec.json.encode({"n": text}) + b"\n"), max_size=4)


@given(EVENTS)
def test_event_round_trip(event: Event) -> None:
    assert decode_event(EVENT_ID, encode_event(event)) == event


@given(EVENTS)
def test_event_round_trip_without_body(event: Event) -> None:
    read = decode_event(EVENT_ID, encode_event(event), with_body=False)
    assert read == msgspec.structs.replace(event, body=b"")


@given(EVENTS)
def test_uncompressed_event_is_decoded(event: Event) -> None:
    if not event.body.startswith(ZSTANDARD) and not {"t", "u"} & event.headers.keys():
        assert decode_event(EVENT_ID, msgspec.msgpack.encode(event)) == event


def test_json_body_is_halved_and_incompressible_body_is_unchanged() -> None:
    lines = [{"id": f"line-{number}", "quantity_ordered": 10, "product": f"SKU-{number:05d}"} for number in range(20)]
    record = RecordRef("pack", "purchase_order", "1")

    def packed(body: bytes) -> int:
        made = Event(EVENT_VERSION, EVENT_ID, "shop", "t", "updated", record, None, {}, None, body)
        return len(encode_event(made))

    json, noise = msgspec.json.encode(lines), bytes(number * number % 251 for number in range(1_000))
    assert packed(json) < len(json) / 2
    assert packed(noise[:180]) <= 180 + 50
    assert packed(bytes(hash(str(number)) % 256 for number in range(1_000))) <= 1_000 + 50


def test_damaged_body_is_a_decode_error() -> None:
    record = RecordRef("pack", "purchase_order", "1")
    event = Event(EVENT_VERSION, "", "shop", "t", "updated", record, None, {}, None, ZSTANDARD + b"not that")
    with pytest.raises(msgspec.DecodeError, match="cannot be decompressed"):
        decode_event(EVENT_ID, msgspec.msgpack.encode(event))


@given(st.lists(LINES.map(b"".join), max_size=4))
def test_history_of_mixed_parts_round_trip(parts: list[bytes]) -> None:
    assert decompress_history(b"".join(compress_history(part) for part in parts)) == b"".join(parts)


def test_long_part_is_compressed_and_left_out_when_truncated() -> None:
    received = b'{"entry":"received","at_ms":1795232954963,"source":"pack-orders"}\n'
    history = received + b"".join(
        b'{"entry":"attempt","at_ms":%d,"duration_ms":0.1}\n' % number for number in range(99)
    )
    compressed = compress_history(history)
    assert len(compressed) < len(history) / 3
    for cut in (5, len(compressed) // 2, len(compressed) - 1):
        assert decompress_history(received + compressed[:cut]) == received
    assert compress_history(history[: HISTORY_BYTES_MIN - 1]) == history[: HISTORY_BYTES_MIN - 1]


def test_stored_part_stays_readable() -> None:
    stored = bytes.fromhex("0500002600000d010043810392a9f74d32914572075983eddd0205fce89ca6638b3ba744e6194c7f2d03")
    assert decompress_history(stored) == (
        b'{"entry":"received","at_ms":1795232954963,"source":"shop"}\n'
        b'{"entry":"attempt","at_ms":1795232954970,"attempt":1,"outcome":"unmatched","duration_ms":0.2}\n'
    )


def test_damaged_part_does_not_affect_the_others() -> None:
    first, second = b'{"n":1}\n', b'{"n":2}\n'
    damaged = b"\x05\x00\x00\x04\xff\xff\xff\xff"
    assert decompress_history(first + damaged + second) == first + second


@given(st.binary(min_size=16, max_size=16).map(bytes.hex) | st.sampled_from(["", "d1"]))
def test_short_digest_round_trip(digest: str) -> None:
    short = short_digest(digest)
    assert decode_last_state(short.encode() + b"\n\n\n").digest == digest
    assert len(short) <= 22


@given(st.lists(st.datetimes(timezones=st.just(UTC)), min_size=2, max_size=2))
def test_short_versions_have_the_order_of_the_versions(times: list[datetime]) -> None:
    for rounded in (times, [time.replace(microsecond=time.microsecond // 500_000 * 500_000) for time in times]):
        one, other = (record_version(time) or "" for time in rounded)
        assert long_version(short_version(one)) == one
        assert (short_version(one) < short_version(other)) is (one < other)


@pytest.mark.parametrize("version", ["", "17", "2026-03-02", "2026-03-02T10:00:00Z", "2026-03-02T10:00:00.5Z", "v2026"])
def test_version_of_another_form_is_unchanged(version: str) -> None:
    assert long_version(short_version(version)) == short_version(version) == version


@pytest.mark.parametrize("types", ["updated", "u,c", "U"])
def test_unknown_change_type_is_an_error(types: str) -> None:
    with pytest.raises(ValueError, match="is no change type"):
        decode_last_state(b"d\n1\n" + types.encode() + b"\n")


def test_record_without_decision_has_an_empty_last_state() -> None:
    assert decode_last_state(None) == LastState()
    assert decode_last_state(b"d\n1\nuc\n\x81\xa1\n\n") == LastState("d", "1", b"\x81\xa1\n\n", ("updated", "created"))
