"""Redaction of values whose name is a value: pairs of JSON in any order, and the parts of a multipart form."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.body_redaction import redact_text
from service.redaction import IS_SECRET, REDACTED, NameCheck

PLANTED = "pLaNtEd-value-4711"
JSON = st.none() | st.text(max_size=5) | st.lists(st.dictionaries(st.text(max_size=5), st.integers(), max_size=2))
IS_API_KEY = NameCheck(frozenset(), frozenset({"api_key"}))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '[{"name": "Authorization", "value": "Bearer pw"}, {"name": "id", "value": "1"}]',
            '[{"name": "Authorization", "value": "[redacted]"}, {"name": "id", "value": "1"}]',
        ),
        (
            '{"value":["a",{"b":"pw"}],"Key":"api_key","n":1,"v":{"value":2}}',
            '{"value":"[redacted]","Key":"api_key","n":1,"v":{"value":2}}',
        ),
        ('{"all": [{"header": "X-Token", "Value": 12', '{"all": [{"header": "X-Token", "Value": "[redacted]"'),
        ('{"all": [{"field": "password", "values": ["a', '{"all": [{"field": "password", "values": "[redacted]"'),
        ('{"key": "token", "value": null}', '{"key": "token", "value": null}'),
        ('{"key": "token", "b": {"value": "x"}}', '{"key": "token", "b": {"value": "x"}}'),
        ('{"key": "token"}, {"value": "x"}', '{"key": "token"}, {"value": "x"}'),
        (
            '{"s":"{\\"key\\":\\"token\\",\\"value\\":\\"x\\"}"}',
            '{"s":"{\\"key\\":\\"token\\",\\"value\\":\\"[redacted]\\"}"}',
        ),
    ],
)
def test_values_of_pairs_with_a_redacted_name_are_removed(text: str, expected: str) -> None:
    assert redact_text(text, IS_SECRET) == expected


@given(JSON, st.permutations(["name", "value", "id"]), st.integers(0, 300))
def test_values_of_pairs_are_removed_wherever_they_stand_and_end(value: Any, order: list[str], length: int) -> None:
    pair = {"name": "X-Api-Key", "value": [PLANTED, value], "id": value}
    text = json.dumps([value, {name: pair[name] for name in order}, {"name": "note", "value": value}])
    redacted = json.loads(redact_text(text, IS_API_KEY))
    assert redacted == [value, {**pair, "value": REDACTED}, {"name": "note", "value": value}]
    if order.index("name") < order.index("value"):
        assert PLANTED[:4] not in redact_text(text[:length], IS_API_KEY)


@given(st.text(alphabet='{}[]",:\\ \n-=;nameke', max_size=200))
def test_any_text_with_pairs_can_be_redacted(text: str) -> None:
    redact_text(f'{{"key": "token", "value": {text}', IS_SECRET)
    redact_text(f'--b\nContent-Disposition: form-data; name="token"\n{text}', IS_SECRET)


def form(*parts: tuple[str, str], line: str = "\r\n") -> str:
    heads = (f"--b{line}Content-Disposition: form-data; {head}{line}{line}{content}{line}" for head, content in parts)
    return "".join((*heads, f"--b--{line}"))


@pytest.mark.parametrize("line", ["\r\n", "\n"])
def test_parts_of_a_form_with_a_redacted_name_are_removed(line: str) -> None:
    name = f'name="order"{line}Content-Type: application/json'
    given_parts = [
        ('name="password"', f"pw{line}--pw2{line}"),
        ('filename="token"; name=id', "1"),
        ("name=client_secret", "pw"),
        ('name="token"', ""),
        (name, '{"token": "pw", "n": 1}'),
    ]
    shown = ["[redacted]", "1", "[redacted]", "", '{"token": "[redacted]", "n": 1}']
    expected = form(*((head, content) for (head, _), content in zip(given_parts, shown, strict=True)), line=line)
    redacted = redact_text(form(*given_parts, line=line), IS_SECRET)
    assert redacted == expected.replace(f"[redacted]{line}--b", f"[redacted]{line}{line}--b", 1)


@given(st.integers(0, 120))
def test_form_without_its_end_shows_no_part_of_a_secret(length: int) -> None:
    text = form(('name="client_secret"', PLANTED), ("name=id", "1"))
    assert PLANTED[:4] not in redact_text(text[:length], IS_SECRET)
