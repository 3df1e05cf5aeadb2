"""Redaction inside bodies: secrets and personal data are removed by name and by value, the rest stays."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.body_redaction import redact_pairs, redact_text, remove_secrets
from service.redaction import IS_SECRET, IS_SECRET_OR_PERSONAL, REDACTED, NameCheck

PLANTED = "pLaNtEd-value-4711"
NAMES = {"token": "token", "billingEmail": "billing_email", "X-Api-Key": "x_api_key", "customer_name": "customer_name"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"token": "ab\\"c", "n": 1.10}', '{"token": "[redacted]", "n": 1.10}'),
        ('{"a": {"email":"x@y", "b":[1,2]}}', '{"a": {"email":"[redacted]", "b":[1,2]}}'),
        ('{"address": {"street": "]}", "z":[{}]}, "n": 1}', '{"address": "[redacted]", "n": 1}'),
        ('{"pass\\u0077ord": 12, "b": true}', '{"pass\\u0077ord": "[redacted]", "b": true}'),
        ('{"token":null,"password":"","secret":false}', '{"token":null,"password":"","secret":false}'),
        ('{"body": "hello Ann", "payload": {"x": 1}}', '{"body": "[redacted]", "payload": {"x": 1}}'),
        ('{"s":"{\\"token\\":\\"x\\",\\"b\\":1}"}', '{"s":"{\\"token\\":\\"[redacted]\\",\\"b\\":1}"}'),
        ('{"access_token": "abc', '{"access_token": "[redacted]"'),
        ('{"address": {"a": [1', '{"address": "[redacted]"'),
        ('["email", "token"]', '["email", "token"]'),
        ("a=1&client_secret=x%20y&b=", "a=1&client_secret=[redacted]&b="),
        ("<a><ns:password x='1'>pw</ns:password><k token='x'>b</k></a>",
         "<a><ns:password x='1'>[redacted]</ns:password><k token='[redacted]'>b</k></a>"),
        ("<a><password><![CDATA[pw]]></password><token><v>pw</v> </token><id>1</id></a>",
         "<a><password>[redacted]</password><token>[redacted]</token><id>1</id></a>"),
        ("<s:Body><token>pw", "<s:Body><token>[redacted]"),
        ("<token/><id>1</id><token> </token>", "<token/><id>1</id><token> </token>"),
        ("a=1&user[password]=pw&b=2", "a=1&user[password]=[redacted]&b=2"),
        ("password = pw <x token = 'pw'>", "password = [redacted] <x token = '[redacted]'>"),
        ("HTTP 401\r\nAuthorization: Bearer pw\r\nId: 1", "HTTP 401\r\nAuthorization: [redacted]\r\nId: 1"),
        ("{'token': 'pw', 'id': 'a'}", "{'token': '[redacted]', 'id': 'a'}"),
        ('{"error": "got {\'token\': \'pw\'}", "n": 1}', '{"error": "got {\'token\': \'[redacted]\'}", "n": 1}'),
        ('\ufeff{"token": "pw"}', '\ufeff{"token": "[redacted]"}'),
        ("the token: expired", "the token: expired"),
        ("plain words", "plain words"),
        ("", ""),
    ],
)  # fmt: skip
def test_values_of_redacted_names_are_removed(text: str, expected: str) -> None:
    assert redact_text(text, IS_SECRET_OR_PERSONAL) == expected


def test_personal_data_stays_if_only_secrets_are_removed() -> None:
    assert redact_text('{"email":"x","api_key":"y","body":"z"}', IS_SECRET) == (
        '{"email":"x","api_key":"[redacted]","body":"z"}'
    )
    assert redact_pairs("https://x.test/a?id=1&token=s3cr#t", IS_SECRET) == "https://x.test/a?id=1&token=[redacted]"


@pytest.mark.parametrize("form", ['tok"en ä', "tok%22en%20%C3%A4", 'tok\\"en ä'])
def test_a_known_secret_is_removed_in_each_encoding(form: str) -> None:
    assert remove_secrets(f"a {form} b", ['tok"en ä']) == "a [redacted] b"


def test_short_parts_of_secrets_stay_in_text() -> None:
    assert remove_secrets("the key of abcd", ["the", "Basic abcd"]) == "the key of [redacted]"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(JSON, st.sampled_from(list(NAMES)), st.booleans())
def test_json_stays_json_and_keeps_all_but_the_redacted_value(value: Any, name: str, spaces: bool) -> None:  # noqa: FBT001
    body = {"before": value, name: {"deep": [PLANTED]}, "after": [value, {name: PLANTED}]}
    text = json.dumps(body, indent=2 if spaces else None)
    assert PLANTED not in redact_text(text, IS_SECRET_OR_PERSONAL)
    redacted = json.loads(redact_text(text, NameCheck(frozenset(), frozenset({NAMES[name]}))))
    assert redacted == {"before": value, name: REDACTED, "after": [value, {name: REDACTED}]}


@given(st.text(alphabet='{}[]",:\\ \n=&<>/ab', max_size=200) | st.text(max_size=200))
def test_any_text_can_be_redacted(text: str) -> None:
    redact_text(text, IS_SECRET_OR_PERSONAL)


@given(st.integers(0, 200))
def test_a_body_without_its_end_keeps_no_part_of_a_secret(length: int) -> None:
    text = json.dumps({"id": 1, "auth": {"refresh_token": PLANTED * 3}, "address": {"lines": [PLANTED, PLANTED]}})
    assert "pLaN" not in redact_text(text[:length], IS_SECRET_OR_PERSONAL)
