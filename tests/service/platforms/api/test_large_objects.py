"""Splitting of large objects and lists: the parts have the same members, and what is not JSON is still not JSON."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.platforms.api.decoding import digest_of
from service.platforms.api.large_objects import split_members

TEXTS = st.text(st.sampled_from('a"\\{}[],: é\n'), max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9_999) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
CONTAINERS = st.dictionaries(TEXTS, VALUES, max_size=12) | st.lists(VALUES, max_size=12)
SEPARATORS = st.sampled_from([(",", ":"), (" , ", " : "), (",\n  ", ":\t")])


def merged(text: bytes, slice_bytes: int) -> Any:
    parts = [msgspec.json.decode(part) for part in split_members(text, slice_bytes)]
    if isinstance(parts[0], list):
        return [item for part in parts for item in part]
    return {key: value for part in parts for key, value in part.items()}


@given(value=CONTAINERS, separators=SEPARATORS, ascii_only=st.booleans(), slice_bytes=st.integers(1, 40))
def test_parts_have_the_members_of_the_object(
    *, value: Any, separators: tuple[str, str], ascii_only: bool, slice_bytes: int
) -> None:
    text = (" " + json.dumps(value, separators=separators, ensure_ascii=ascii_only) + "\n").encode()
    assert merged(text, slice_bytes) == value
    assert digest_of(merged(text, slice_bytes), large=True) == digest_of(value)


@given(
    value=CONTAINERS,
    position=st.integers(0, 400),
    character=st.sampled_from(list('",:{}[]\\ 1')),
    inserted=st.booleans(),
    slice_bytes=st.integers(1, 40),
)
def test_text_that_is_not_json_is_rejected(
    *, value: Any, position: int, character: str, inserted: bool, slice_bytes: int
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


@pytest.mark.parametrize(
    "text",
    [
        b"[1,]",
        b"[,1]",
        b"[1,,2]",
        b"[1",
        b"[1,",
        b"[1}",
        b'{"a":1]',
        b'{"a":1,}',
        b"{,}",
        b'{,"a":1}',
        b'{"a":1,,"b":2}',
        b'{"a":1',
        b'{"a":1,',
    ],
)
@pytest.mark.parametrize("slice_bytes", [1, 3, 100])
def test_commas_without_a_member_are_rejected(text: bytes, slice_bytes: int) -> None:
    with pytest.raises(msgspec.DecodeError):
        merged(text, slice_bytes)


@pytest.mark.parametrize(("form", "item"), [(b"{%b}", b'"key %d":"%d"'), (b"[%b]", b'["key %d",%d]')])
def test_flat_container_is_split_into_parts_of_bounded_size(form: bytes, item: bytes) -> None:
    text = form % b",".join(item % (number, number) for number in range(20_000))
    parts = list(split_members(text, 4_096))
    assert max(map(len, parts)) <= 2 * 4_096
    assert len(msgspec.json.decode(parts[0])) < 400
