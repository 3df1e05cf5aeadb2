"""Splitting of large objects: the parts have the same members, and what is not JSON is still not JSON."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.platforms.api.decoding import digest_of
from service.platforms.api.large_objects import split_object

TEXTS = st.text(st.sampled_from('a"\\{}[],: é\n'), max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9_999) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=12)
SEPARATORS = st.sampled_from([(",", ":"), (" , ", " : "), (",\n  ", ":\t")])


def merged(text: bytes, slice_bytes: int) -> Any:
    return {key: value for part in split_object(text, slice_bytes) for key, value in msgspec.json.decode(part).items()}


@given(value=OBJECTS, separators=SEPARATORS, ascii_only=st.booleans(), slice_bytes=st.integers(1, 40))
def test_parts_have_the_members_of_the_object(
    *, value: dict[str, Any], separators: tuple[str, str], ascii_only: bool, slice_bytes: int
) -> None:
    text = (" " + json.dumps(value, separators=separators, ensure_ascii=ascii_only) + "\n").encode()
    assert merged(text, slice_bytes) == value
    assert digest_of(merged(text, slice_bytes), large=True) == digest_of(value)


@given(
    value=OBJECTS,
    position=st.integers(0, 400),
    character=st.sampled_from(list('",:{}[]\\ 1')),
    inserted=st.booleans(),
    slice_bytes=st.integers(1, 40),
)
def test_text_that_is_not_json_is_rejected(
    *, value: dict[str, Any], position: int, character: str, inserted: bool, slice_bytes: int
) -> None:
    text = json.dumps(value)
    at = 1 + position % len(text)
    damaged = (text[:at] + character + text[at + (not inserted) :]).encode()
    try:
        expected = msgspec.json.decode(damaged)
    except (msgspec.DecodeError, UnicodeDecodeError):
        with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
            merged(damaged, slice_bytes)
    else:
        assert merged(damaged, slice_bytes) == expected


@pytest.mark.parametrize("text", [b'{"a":1,}', b"{,}", b'{,"a":1}', b'{"a":1,,"b":2}', b'{"a":1', b'{"a":1,'])
@pytest.mark.parametrize("slice_bytes", [1, 3, 100])
def test_commas_without_a_member_are_rejected(text: bytes, slice_bytes: int) -> None:
    with pytest.raises(msgspec.DecodeError):
        merged(text, slice_bytes)


def test_flat_object_is_split_into_parts_of_bounded_size() -> None:
    text = b"{" + b",".join(b'"key %d":"%d"' % (number, number) for number in range(20_000)) + b"}"
    parts = list(split_object(text, 4_096))
    assert max(map(len, parts)) <= 2 * 4_096
    assert len(msgspec.json.decode(parts[0])) < 400
