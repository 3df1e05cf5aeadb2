"""Strict JSON: nesting is checked before decoding, and duplicate keys are found in any spelling."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.bodies.strict_json import check_body, read_children, read_members, read_scalar
from service.errors import Rejection


def depth_of(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)  # pyright: ignore[reportUnknownArgumentType]
    return 0


WRAPPED: list[Callable[[Any], Any]] = [
    lambda value: [value],
    lambda value: {"a": value},
    lambda value: {"]}": [value]},
    lambda value: [1, {"a": '"]}', "b": value}],
]


def is_deeper(body: bytes, depth_max: int) -> bool:
    try:
        check_body(body, depth_max)
    except Rejection:
        return True
    return False


@pytest.mark.parametrize("wrapped", WRAPPED)
@pytest.mark.parametrize("indent", [None, 1])
def test_nesting_one_level_above_the_limit_is_rejected(wrapped: Callable[[Any], Any], indent: int | None) -> None:
    value: Any = 1
    for _ in range(30):
        value = wrapped(value)
    depth, body = depth_of(value), json.dumps(value, indent=indent).encode()
    assert not is_deeper(body, depth)
    assert is_deeper(body, depth - 1)


def test_brackets_in_strings_are_not_nesting() -> None:
    assert not is_deeper(json.dumps(["[{" * 500, '\\"[[', "\\", {"[": "]"}]).encode(), 3)
    assert is_deeper(json.dumps({"]" * 500: [[["]]]]"]]]}).encode(), 3)


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000, b'{"\\"": "[", "b": ' + b"[" * 65])
def test_body_of_opening_brackets_is_rejected_before_recursion(body: bytes) -> None:
    assert is_deeper(body, 64)


@pytest.mark.parametrize("body", [b"\\" + b"[" * 900, b'{"a": \\" ' + b"[" * 900, b"]" * 900 + b"[" * 900])
def test_body_with_an_incorrect_bracket_count_is_invalid_json(body: bytes) -> None:
    for read in (read_members, read_children):
        with pytest.raises(Rejection):
            read(body)


def test_excessive_nesting_is_malformed() -> None:
    with pytest.raises(Rejection) as caught:
        check_body(b"[[1]]", 1)
    assert (caught.value.status, caught.value.code) == (400, "malformed_payload")


@pytest.mark.parametrize("body", [b"\xff", b'{"a": "\xc3"}', b'{"a": "\xed\xa0\x80"}', b'{"\xf5": 1}'])
def test_invalid_utf8_is_rejected_in_skipped_values(body: bytes) -> None:
    assert is_deeper(body, 64)


JSON = st.recursive(
    st.integers() | st.text(alphabet='[]{}"\\,:é1', max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='[]{}"\\a', max_size=4), inner, max_size=3)
    ),
    max_leaves=25,
)


@given(JSON, st.integers(1, 6), st.booleans())
def test_depth_agrees_with_a_naive_count(value: object, depth_max: int, ascii_only: bool) -> None:  # noqa: FBT001
    body = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert is_deeper(body, depth_max) == (depth_of(value) > depth_max)


@given(st.lists(st.tuples(st.text(alphabet='ab"\\é', max_size=3), JSON), max_size=5), st.booleans())
def test_duplicate_keys_agree_with_a_naive_count(pairs: list[tuple[str, Any]], ascii_only: bool) -> None:  # noqa: FBT001
    text = ", ".join(f"{json.dumps(key, ensure_ascii=ascii_only)}: {json.dumps(value)}" for key, value in pairs)
    body = f"{{{text}}}".encode()
    if len({key for key, _ in pairs}) == len(pairs):
        assert {key: json.loads(bytes(raw)) for key, raw in read_members(body).items()} == dict(pairs)
    else:
        with pytest.raises(Rejection):
            read_members(body)


@pytest.mark.parametrize(
    ("text", "value"), [(b'"a"', "a"), (b"12", 12), (b"true", None), (b"1e3", None), (b"[]", None)]
)
def test_scalars_are_text_or_whole_numbers(text: bytes, value: object) -> None:
    assert read_scalar(text) == value


def test_invalid_json_scalar_is_rejected() -> None:
    with pytest.raises(Rejection):
        read_scalar(b"nul")
