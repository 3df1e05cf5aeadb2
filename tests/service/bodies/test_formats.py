"""Forms as JSON, and repairs of JSON that senders produce although RFC 8259 does not allow it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.bodies.body_format import FormField, build_body_decoder
from service.bodies.forms import FIELDS_MAX
from service.bodies.repair import repair_json
from service.errors import Rejection

FORM = build_body_decoder("form")
PAYLOAD = build_body_decoder(FormField(form="payload"))
assert FORM
assert PAYLOAD


@pytest.mark.parametrize(
    ("body", "document"),
    [
        (b"id=tr_1", {"id": "tr_1"}),
        (b"a=1&a=2&b=&a=3", {"a": ["1", "2", "3"], "b": ""}),
        (b"a%2Fb=%C3%BC+x&c=%22", {"a/b": "\u00fc x", "c": '"'}),
        (b"", {}),
    ],
)
def test_form_becomes_an_object(body: bytes, document: object) -> None:
    assert FORM
    assert json.loads(FORM(body)) == document


@pytest.mark.parametrize("body", [b"\xff", b"a=%ff", "a=ü".encode(), b"&".join([b"a=1"] * (FIELDS_MAX + 1))])
def test_malformed_form_is_rejected(body: bytes) -> None:
    for decode in (FORM, PAYLOAD):
        assert decode
        with pytest.raises(Rejection, match="malformed_payload"):
            decode(body)


def test_form_at_the_limit_of_fields_is_accepted() -> None:
    assert FORM
    assert len(json.loads(FORM(b"&".join([b"a=1"] * FIELDS_MAX)))["a"]) == FIELDS_MAX


@pytest.mark.parametrize("body", [b"", b"payload=", b"other=1", b"payload=1&payload=2"])
def test_form_without_the_field_is_rejected(body: bytes) -> None:
    assert PAYLOAD
    with pytest.raises(Rejection, match="payload"):
        PAYLOAD(body)


def test_document_is_read_from_a_field() -> None:
    assert PAYLOAD
    assert PAYLOAD(b"payload=%7B%22id%22%3A1%7D&domain=shop") == b'{"id":1}'


@pytest.mark.parametrize(
    ("body", "repaired"),
    [
        (b'\xef\xbb\xbf{"a": 1}', b'{"a": 1}'),
        (b'{"a": 1}\0\0', b'{"a": 1}'),
        (rb'{"a": "Anna \ud83d"}', rb'{"a": "Anna \ufffd"}'),
        (rb'{"a": "\ude00"}', rb'{"a": "\ufffd"}'),
        (rb'{"a": "\ud83d\ude00"}', rb'{"a": "\ud83d\ude00"}'),
        (rb'{"a": "\\ud83d"}', rb'{"a": "\\ud83d"}'),
        (b'{"a": "one\ntwo"}', rb'{"a": "one\u000atwo"}'),
        (b'{\n"a":\n1}', b'{\n"a":\n1}'),
        (b'{"a": NaN, "b": -Infinity, "c": Infinity}', b'{"a": null, "b": null, "c": null}'),
        (b'{"a": "NaN Infinity"}', b'{"a": "NaN Infinity"}'),
        (b'{"a": NaNa}', b'{"a": NaNa}'),
        (b"no json", b"no json"),
        (b'{"a": "cut', b'{"a": "cut'),
    ],
)
def test_repairs(body: bytes, repaired: bytes) -> None:
    assert repair_json(body) == repaired


@given(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner)))
def test_valid_json_is_not_changed(value: object) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        body = text.encode("utf-8", "ignore")
        assert json.loads(repair_json(body)) == json.loads(body)


def test_repair_of_a_long_body_takes_linear_time() -> None:
    body = b'{"a": "' + b'\\"' * 100_000 + b"x" * 100_000
    assert repair_json(body) == body
