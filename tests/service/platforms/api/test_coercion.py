"""From JSON to fields, digests, errors' words and waits: the pure parts that all platforms share."""

import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from service.errors import PermanentError, TransientError
from service.http_client import HttpResponse
from service.platforms.api import decoding
from service.platforms.api.coercion import (
    as_decimal,
    as_money,
    as_quantity,
    as_tags,
    as_text,
    as_timestamp,
    child,
    children,
    latest,
    money,
    nested,
    record_version,
)
from service.platforms.api.decoding import decode_body, digest_of, record_id, unwrap
from service.platforms.api.error_messages import error_message, scrub_secrets
from service.platforms.api.responses import (
    RETRY_AFTER_SECONDS_MAX,
    PlatformResponse,
    classify_response,
    retry_after_seconds,
)
from service.platforms.flow_retail.records import read_customer, read_purchase_order
from service.platforms.open_food_network.client import CUSTOMER as OFN_CUSTOMER
from service.platforms.pack_cloud.records import read_customer as pack_customer
from service.platforms.pack_cloud.records import read_purchase_order as pack_purchase_order
from service.platforms.pexip_engage.client import CUSTOMER as PEXIP_CUSTOMER
from service.records import Money
from tests.examples import examples

NOW = 1_800_000_000.0
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.decimals(allow_nan=False, places=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
READERS: dict[str, tuple[Callable[[PlatformResponse], tuple[Any, Any, Any]], bool]] = {
    "pack purchase order": (pack_purchase_order, False),
    "pack purchase order, wrapped": (pack_purchase_order, True),
    "pack customer": (pack_customer, False),
    "pexip customer": (PEXIP_CUSTOMER.read, True),
    "ofn customer": (OFN_CUSTOMER.read, True),
    "flow customer": (lambda reply: read_customer(reply, "1", "NOK"), False),
    "flow purchase order": (lambda reply: read_purchase_order(reply, "1", "NOK"), False),
}
FIELDS = st.sampled_from([
    "addresses", "attributes", "billing_address", "city", "code", "created_at", "createdAt", "credit", "currency",
    "customerNumber", "deletedAt", "email", "items", "lastModifiedAt", "lines", "location", "orders_count", "price",
    "product", "purchaseOrderStatus", "quantity_ordered", "quantityOrdered", "reference", "region", "shipping_address",
    "status", "street1", "supplier", "supplier_id", "tags", "unitPrice", "updated_at", "updatedAt", "value",
])  # fmt: skip
NODES = st.recursive(
    st.dictionaries(FIELDS, JSON, max_size=4),
    lambda inner: st.dictionaries(FIELDS, inner | st.lists(inner, max_size=3) | JSON, max_size=6),
    max_leaves=8,
)


@pytest.mark.parametrize("value", [True, 1.5, [], {}, Decimal("1.5"), UNSET])
def test_other_types_are_unknown_as_text(value: object) -> None:
    assert as_text(value) is UNSET


def test_ids_become_text_and_null_stays_null() -> None:
    assert (as_text(7), as_text(""), as_text("0007"), as_text(None)) == ("7", "", "0007", None)


@pytest.mark.parametrize("value", ["", "x", "NaN", "Infinity", "1e999999", True, [], None, Decimal("1E-999")])
def test_infinite_and_huge_numbers_are_unknown(value: object) -> None:
    assert as_decimal(value) is UNSET


def test_amounts_are_exact_in_every_spelling() -> None:
    assert as_money("9.95", "eur") == Money(Decimal("9.95"), "EUR")
    assert as_money(Decimal("0.10"), "EUR") == Money(Decimal("0.10"), "EUR")
    assert as_money(3, "EUR") == Money(Decimal(3), "EUR")


@pytest.mark.parametrize("currency", [None, "", 978, UNSET])
def test_an_amount_without_currency_is_unknown(currency: object) -> None:
    assert as_money("9.95", currency) is UNSET


def test_absent_null_and_present_money_differ() -> None:
    node = {"nothing": None, "some": {"value": "1", "currency": "EUR"}, "odd": 5}
    assert money(node, "absent") is UNSET
    assert money(node, "nothing") is None
    assert money(node, "odd") is UNSET
    assert money(node, "some") == Money(Decimal(1), "EUR")


def test_quantities_are_whole_or_decimal_never_truth_values() -> None:
    assert (as_quantity(5), as_quantity("1.5"), as_quantity(None)) == (5, Decimal("1.5"), None)
    assert as_quantity(value=True) is UNSET


@pytest.mark.parametrize("text", ["", "yesterday", "2024-13-01", "2024-08-02T25:00:00Z"])
def test_an_invalid_timestamp_is_unknown(text: str) -> None:
    assert as_timestamp(text) is UNSET
    assert as_timestamp(5) is UNSET


@pytest.mark.parametrize(
    "text",
    [
        "2024-08-02T09:15:00.000000Z",
        "2024-08-02T09:15:00Z",
        "2024-08-02T11:15:00+02:00",
        "2024-08-02 09:15:00",
        "2024-08-02 11:15:00 +0200".replace(" +", "+"),
    ],
)
def test_equal_timestamps_have_equal_versions(text: str) -> None:
    assert record_version(as_timestamp(text)) == "2024-08-02T09:15:00.000000Z"


@given(st.lists(st.datetimes(timezones=st.just(timezone(timedelta(hours=2)))), min_size=2, max_size=2))
def test_versions_sort_by_time(moments: list[datetime]) -> None:
    one, other = moments
    versions = record_version(one), record_version(other)
    assert None in versions or (str(versions[0]) < str(versions[1])) == (one < other)


def test_a_timestamp_before_year_one_has_no_version() -> None:
    assert record_version(as_timestamp("0001-01-01T00:00:00+02:00")) is None


def test_the_latest_of_no_timestamps_is_none() -> None:
    assert latest(UNSET, None) is None
    assert latest(UNSET, datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)) == datetime(
        2025, 1, 1, tzinfo=UTC
    )


def test_nested_parts_of_another_shape_are_unknown() -> None:
    node = {"object": {"a": {"b": 1}}, "list": [{"x": 1}, 5, None], "null": None, "text": "x"}
    assert child(node, "text") is UNSET
    assert child(node, "null") is None
    assert children(node, "text") is UNSET
    assert children(node, "null") is None
    assert children(node, "list") == [{"x": 1}]
    assert nested(node, "object", "a") == {"b": 1}
    assert nested(node, "text", "a") == {}
    assert as_tags(["a", 1, None, "b"]) == ("a", "1", "b")
    assert as_tags(["a", 1.5, "b"]) is UNSET
    assert as_tags("a") is UNSET
    assert as_tags(None) is None


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=examples(40))
@given(node=NODES)
def test_malformed_fields_never_make_a_record_unreadable(name: str, node: dict[str, Any]) -> None:
    read, wrapped = READERS[name]
    state = {**node, "id": "1", "customerUid": "1", "purchaseOrderUid": "1"}
    _, record, _ = read(PlatformResponse(200, {"data": state} if wrapped else state, 1.0))
    assert record.id == "1"


@given(JSON)
def test_the_digest_is_the_same_in_any_order_of_members(value: object) -> None:
    forwards = {"a": value, "b": 1}
    assert digest_of(forwards) == digest_of(dict(reversed(forwards.items())))
    assert digest_of(forwards) != digest_of({"a": value, "b": 2})


def test_numbers_that_are_not_whole_are_decimal_and_keep_their_digits() -> None:
    decoded = decode_body(b'{"a": 1.10, "b": 12345678901234567890123, "c": 0.1}', 200)
    assert decoded == {"a": Decimal("1.10"), "b": 12345678901234567890123, "c": Decimal("0.1")}
    assert str(decoded["a"]) == "1.10"


@pytest.mark.parametrize("body", [b"<html>", b"\xef\xbb\xbf  <!doctype", b"\n<?xml"])
def test_a_web_page_is_detected_without_its_content_type(body: bytes) -> None:
    with pytest.raises(TransientError) as raised:
        decode_body(body, 200)
    assert raised.value.kind == "platform_not_json"


@pytest.mark.parametrize(
    "body",
    [
        b'{"id": "1", "city": "K\xf6ln"}',
        b'{"id": "1", "skipped": "\xff"}',
        '{"id": "1"}'.encode("utf-16"),
        '{"id": "1"}'.encode("utf-32-le"),
        b'{"id": "1", "city": NaN}',
        b'{"id": "1", "weight": 1e99999999999999999999}',
        b'\xef\xbb\xbf\xef\xbb\xbf{"id": "1"}',
        b'\xef\xbb\xbf{id: "1"}',
        b"[" * 100_000,
    ],
)
def test_a_body_that_is_not_utf_8_json_is_a_platform_error(body: bytes) -> None:
    with pytest.raises(TransientError) as raised:
        decode_body(body, 200)
    assert (raised.value.kind, raised.value.http_status) == ("platform_malformed_json", 200)


def test_a_byte_order_mark_is_accepted() -> None:
    assert decode_body(b'\xef\xbb\xbf{"id": 1.10}', 200) == {"id": Decimal("1.10")}
    with pytest.raises(TransientError, match="ends early"):
        decode_body(b'\xef\xbb\xbf{"id": 1', 200)


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (r"\ud83d\ude00", "\N{GRINNING FACE}"),
        (r"cut \ud83d", "cut \ufffd"),
        (r"\ude00 alone", "\ufffd alone"),
        (r"\ud83d\ud83d\ude00\ude00", "\ufffd\N{GRINNING FACE}\ufffd"),
        (r"\\ud83d \ud83d\n", "\\ud83d \ufffd\n"),
        (r"\uD83Dx\u00e9", "\ufffdx\N{LATIN SMALL LETTER E WITH ACUTE}"),
    ],
)
def test_text_cut_inside_a_character_is_accepted(sent: str, read: str) -> None:
    assert decode_body(b'{"a": "%b", "b": 0.10}' % sent.encode(), 200) == {"a": read, "b": Decimal("0.10")}


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_json_or_a_known_error(body: bytes) -> None:
    with contextlib.suppress(TransientError, PermanentError):
        decode_body(body, 200)
    assert isinstance(error_message(body, []), str)


@pytest.mark.parametrize("status", [500, 400])
def test_an_error_body_in_another_encoding_keeps_its_status(status: int) -> None:
    answer = HttpResponse(status, {}, b'{"message": "K\xf6ln"}', 1.0)
    with pytest.raises((TransientError, PermanentError)) as raised:
        classify_response("acct: get", answer, transient=frozenset({429}), secrets=[], now=NOW)
    assert raised.value.http_status == status


def test_a_successful_write_succeeds_in_any_encoding() -> None:
    answer = HttpResponse(201, {}, b'{"city": "K\xf6ln"}', 1.0)
    reply = classify_response(
        "acct: create", answer, transient=frozenset({429}), secrets=[], now=NOW, body_needed=False
    )
    assert (reply.status, reply.data) == (201, None)


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("https://user:pass@www.example.org/orders?key=secret", "answered 301, which leads to www.example.org"),
        ("/elsewhere", "answered 301"),
        ("", "answered 301"),
        ("http://[", "answered 301"),
        ("https://ex\udcffample/", "answered 301"),
    ],
)
def test_a_redirect_error_names_the_host_only(location: str, said: str) -> None:
    with pytest.raises(PermanentError) as raised:
        classify_response(
            "acct: get", HttpResponse(301, {"location": location}, b"", 1.0), transient=frozenset(), secrets=[], now=NOW
        )
    assert (raised.value.kind, str(raised.value)) == (
        "config_redirected",
        f"acct: get {said}: redirects are not followed; correct the URL",
    )


def test_an_envelope_is_unwrapped_only_if_allowed() -> None:
    assert unwrap({"data": {"id": 1}}, 200, wrapped=None) == {"id": 1}
    assert unwrap({"id": 1}, 200, wrapped=None) == {"id": 1}
    assert unwrap({"data": {"id": 1}}, 200, wrapped=False) == {"data": {"id": 1}}
    refused: list[tuple[object, bool | None]] = [({"id": 1}, True), ({"data": [1]}, True), ([], None), ("x", False)]
    for data, wrapped in refused:
        with pytest.raises(PermanentError):
            unwrap(data, 200, wrapped=wrapped)


@pytest.mark.parametrize("value", [None, "", UNSET, {}, True])
def test_a_record_without_an_id_is_no_record(value: object) -> None:
    with pytest.raises(PermanentError):
        record_id(value, 200)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("0", 0),
        (" 120 ", 120),
        ("999999999", RETRY_AFTER_SECONDS_MAX),
        ("Fri, 15 Jan 2027 08:01:00 GMT", 60),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0),
        ("Fri, 15 Jan 2027 08:01:00 -0000", 60),
        ("Fri, 15 Jan 2100 08:01:00 GMT", RETRY_AFTER_SECONDS_MAX),
        ("Fri, 99 Jan 2027 08:01:00 GMT", None),
        ("Fri, 15 Jan 2027 08:01:00 +99999999999999999999", None),
    ],
)
def test_retry_after_is_read_in_both_forms_and_bounded(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, NOW) == seconds


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"errors": [{"detail": "Not yours"}]}, "Not yours"),
        ({"errors": [{"message": "Customer not found", "code": "X"}]}, "Customer not found"),
        ({"message": "Unauthenticated."}, "Unauthenticated."),
        ({"error": "invalid_client"}, "invalid_client"),
        ({"message": "The given data was invalid.", "errors": {"id": ["bad"]}}, "The given data was invalid. bad"),
        ({"message": "Invalid.", "errors": {"id": ["is bad", "is long"], "b": ["b"]}}, "Invalid. is bad; is long; b"),
        (
            {"errors": [{"detail": "Invalid."}], "meta": {"validation_errors": ["Email is bad"]}},
            "Invalid. Email is bad",
        ),
        ({"errors": [{"detail": "No."}], "meta": {"validation_errors": ["ann@example.com taken"]}}, "No. *** taken"),
        ({"errors": [{"detail": "No."}], "meta": {"validation_errors": "x"}}, "No."),
        ({"errors": [{"detail": "No."}], "meta": {"validation_errors": ["x" * 300]}}, "No. " + "x" * 196),
        ({"errors": [{"detail": "Key abcd-efgh of jane@example.com"}]}, "Key *** of ***"),
        ({"message": "x" * 500}, "x" * 200),
        ({"message": {"deep": 1}}, ""),
        ({"error": {"code": 7, "message": "order field is required"}}, "order field is required"),
        ({"errors": ["order field is required"]}, "order field is required"),
        ({"errors": {"id": ["is bad"]}}, "is bad"),
        ({"title": "Bad Request", "detail": "order field is required"}, "order field is required"),
        ({"type": "about:blank", "title": "Bad Request", "status": 400}, "Bad Request"),
        ({"detail": [{"loc": ["body", "order"], "msg": "Field required"}]}, "Field required"),
        ({"message": "\x1b[31mred\x1b[0m\r\nand \x1b]0;title\x07blue\x9b"}, "red and blue"),
        ({"error": [[[[[["deep"]]]]]]}, ""),
        ([], ""),
    ],
)
def test_error_messages_are_short_without_secrets_or_addresses(body: object, words: str) -> None:
    assert error_message(json.dumps(body).encode(), ["Bearer abcd-efgh"]) == words


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"order field is required\n", "order field is required"),
        (b"<html><head><title>502 Bad\n Gateway</title></head><body><hr>nginx</body></html>", "502 Bad Gateway"),
        (b"<p>Order &amp; customer</p><script>x=1</script> are <b>required", "Order & customer are required"),
        (b"\x1b[1mtoken=abc123\x1b[0m was bad", "token=[redacted] was bad"),
        (b"Key abcd-efgh of jane@example.com", "Key *** of ***"),
        (b"x" * 10_000, "x" * 200),
        (b"\x00\x01\x02", ""),
        (b"[" * 100_000, ""),
        (b'{"message": "cut of', ""),
        (b"", ""),
    ],
)
def test_the_message_of_text_and_html_has_no_tags_and_no_control_characters(body: bytes, words: str) -> None:
    assert error_message(body, ["Bearer abcd-efgh"]) == words


def test_short_words_are_not_removed_as_secrets() -> None:
    assert scrub_secrets("a b c", ["a b"]) == "a b c"


ENCODER = msgspec.json.Encoder(decimal_format="number")
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False, places=3)
    | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=20,
)


@given(value=JSON_VALUES, blanks=st.text(" \t\r\n", max_size=3), piece_bytes=st.integers(0, 40))
@settings(max_examples=examples(100))
def test_large_json_is_decoded_and_digested_in_pieces_with_the_same_result(
    value: object, blanks: str, piece_bytes: int
) -> None:
    body = blanks.encode() + msgspec.json.format(ENCODER.encode(value), indent=1)
    whole = decode_body(body, 200)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "PIECE_BYTES", piece_bytes)
        pieces = decode_body(body, 200)
    assert (pieces, repr(pieces)) == (whole, repr(whole))
    assert digest_of(pieces, large=True) == digest_of(whole)


@pytest.mark.parametrize("body", [b'{"a": [1, 2', b'{"a": [1 2]}', b'{"a": 1} x', b'[{"b": "\xff"}]', b"[" * 3_000])
def test_malformed_json_is_malformed_in_pieces(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def kind() -> str:
        with pytest.raises((TransientError, PermanentError)) as caught:
            decode_body(body, 200)
        return caught.value.kind

    whole = kind()
    monkeypatch.setattr(decoding, "PIECE_BYTES", 2)
    assert kind() == whole
