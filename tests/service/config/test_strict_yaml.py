"""Strict YAML: rejected constructs, scalars of YAML 1.2, aliases and limits."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.config import parse_yaml, read_yaml
from service.config.strict_yaml import DEPTH_MAX, FILE_BYTES_MAX, NODES_MAX
from service.errors import ConfigError
from service.mistakes import Mistakes

BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("text", "path", "reason"),
    [
        ("a: 1\na: 2", "a", "duplicate key, repeated in line 2"),
        ("a:\n  b: {c: 1, 'c': 2}", "a.b.c", "duplicate key"),
        ("- {a: 1, a: 1}", "[0].a", "duplicate key"),
        ("1: 2", "w.yaml:1", "line 1 is not text"),
        ("a: {true: 1}", "a", "line 1 is not text"),
        ("? [a]\n: 1", "w.yaml:1", "line 1 is not text"),
        ("a: !!python/object/apply:os.system [echo]", "a", "is not supported"),
        ("a: !!binary aGk=", "a", "is not supported"),
        ("a: !!int twelve", "a", "is not supported"),
        ("a: !!float .nan", "a", "is not supported"),
        ("a: !env X", "a", "is not supported"),
        ("a: [", "w.yaml:1", "expected node content"),
        ("a:\n  b: c: d", "w.yaml:2", "mapping values are not allowed"),
        ("a: *b", "w.yaml:1", "undefined alias"),
        ("--- 1\n--- 2", "w.yaml:2", "another document"),
        ("a: \x00", "w.yaml", "unacceptable character"),
        ("body: {order: {id}}", "body.order", "{id} without quotes is an object with an empty value"),
        ("body: {id, total}", "body", "{id} without quotes"),
        ("body: {{id}}", "body", "line 1 is not text"),
        ("[" * (DEPTH_MAX + 1), "w.yaml:1", "deeper than"),
        ("a: &a [*a]", "", "levels"),
        (BOMB, "", f"more than {NODES_MAX} values"),
    ],
)
def test_ambiguous_or_unsafe_yaml_is_rejected(text: str, path: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "w.yaml")
    error = caught.value
    assert not path or path in {error.path, error.file, f"{error.file}:{error.line}"}
    assert reason in caught.value.reason
    assert caught.value.fix


def test_a_text_that_begins_with_an_unquoted_placeholder_has_its_own_fix() -> None:
    for text in ("message: {reference} came in", "- {message: {reference} came in}", "a:\n- {id} is late"):
        with pytest.raises(ConfigError) as caught:
            parse_yaml(text, "w.yaml")
        assert "put a text with placeholders in quotes" in caught.value.fix, text


def test_a_placeholder_inside_of_a_text_in_braces_has_the_same_fix() -> None:
    with pytest.raises(ConfigError, match="put a text with placeholders in quotes"):
        parse_yaml("- {do: http, url: http://x.example/{id}, method: PUT}", "f")


def test_rejected_constructs_can_be_collected_beside_the_rest_of_the_file() -> None:
    mistakes = Mistakes()
    assert parse_yaml("- {a: {id}, b: 1}\n- {a: 1, a: 2}", "f", mistakes) == [{"a": "{id}", "b": 1}, {"a": 1}]
    assert [(each.path, each.line) for each in mistakes.found] == [("[0].a", 1), ("[1].a", 2)]


def test_all_rejected_constructs_of_a_file_are_reported_with_their_lines() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml("a: 1\na: 2\nb:\n  c: {d}\n1: 2\ne: !env X\n", "w.yaml")
    places = [(each.path, each.line) for each in caught.value.mistakes]
    assert places == [("a", 2), ("b.c", 4), ("", 5), ("e", 6)]


def test_objects_with_null_and_empty_values_in_blocks_are_accepted() -> None:
    assert parse_yaml("a: {b: null, c: ~}\nd:\n  e:\n", "w.yaml") == {"a": {"b": None, "c": None}, "d": {"e": None}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("2020-01-01", "2020-01-01"),
        ("0123", "0123"),
        ("1_000", "1_000"),
        ("9999999999999999999", "9999999999999999999"),
        (".inf", ".inf"),
        ("True", "True"),
        ("<<", "<<"),
        ("'1'", "1"),
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("0", 0),
        ("-17", -17),
        ("1.50", 1.5),
        ("1e3", 1000.0),
        ("!!str 1", "1"),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    read: Any = parse_yaml(f"a: {text}", "w.yaml")
    assert read == {"a": value}
    assert type(read["a"]) is type(value)


def test_aliases_are_expanded() -> None:
    assert parse_yaml("a: &x {b: 1}\nc: [*x, *x]", "w.yaml") == {"a": {"b": 1}, "c": [{"b": 1}, {"b": 1}]}


def test_nesting_up_to_the_limit_is_accepted() -> None:
    assert parse_yaml("[" * DEPTH_MAX + "]" * DEPTH_MAX, "w.yaml")


def test_file_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text("\ufeffa: é")
    assert read_yaml(path) == {"a": "é"}


def test_missing_large_or_binary_file_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml(tmp_path)
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_yaml(path)
    path.write_bytes(b"#" * (FILE_BYTES_MAX + 1))
    with pytest.raises(ConfigError, match="larger than"):
        read_yaml(path)
    path.write_bytes(b"#" * FILE_BYTES_MAX)
    assert read_yaml(path) is None


@given(st.text(alphabet="ab:-[]{},&*!#|>'\"\n ?%@`~1.é\t", max_size=40))
def test_random_text_raises_only_config_errors(text: str) -> None:
    try:
        parse_yaml(text, "w.yaml")
    except ConfigError as error:
        assert error.reason  # noqa: PT017 - most texts are rejected, some are YAML
