"""Patterns: what cannot end soon is refused when loaded, and what is taken ends soon."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import ConfigError
from service.rules.limits import PATTERN_TEXT_CHARS_MAX
from service.rules.patterns import compile_pattern
from tests.service.rule_samples import order, subject, truth

WILD = [
    "(a+)+$",
    "(a*)*b",
    "(a|a)*b",
    "(a|ab)+c",
    "(.*.*)*x",
    "a*a*a*a*b",
    ".*.*.*x",
    "(a?){40}",
    "a?" * 40,
    "((a+)b)+",
    "(a{1,100}){1,100}",
    "(a|a)" * 30,
    "(\\w+\\s?)*$",
    "(a+b?)+c",
    "(?i)(a+A)+b",
]
NOT_UNDERSTOOD = [
    "(?=a)",
    "(?!a)",
    "(?<=a)b",
    "(a)\\1",
    "(?P=x)",
    "a**",
    "a++",
    "a*?",
    "(?>a)",
    "\\A",
    "\\N{DASH}",
    "(?x) a",
    "[[a]]",
    "{3}",
    "*a",
    "(?#x)",
    "(?s:a)",
]
BROKEN = ["(", ")", "a)", "[a", "(a", "\\", "a{2,1}", "[b-a]", "(" * 15 + ")" * 15, "]", "[a--b]*c", "[a||b]"]
GOOD = [
    "PO-[0-9]{4}",
    "^[A-Z]{2}-\\d+-\\d+$",
    "(?i)acme.*",
    "(foo|bar|baz)-.*",
    "(?:ab)*",
    "(ab)?c",
    "[^\\]x]+",
    "a|",
    "(?P<n>a+)b",
    "\\.\\*",
    ".*foo.*",
    "\\w+@\\w+\\.[a-z]{2,}",
    "(\\w+@)*x",
    "a*b" * 60,
]


@pytest.mark.parametrize("pattern", WILD)
def test_a_pattern_that_can_backtrack_too_far_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigError, match="can backtrack too far"):
        compile_pattern(pattern, "value")


@pytest.mark.parametrize("pattern", NOT_UNDERSTOOD + BROKEN)
def test_a_pattern_beyond_the_subset_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigError, match=r"in the pattern|is not valid"):
        compile_pattern(pattern, "value")


def test_a_pattern_has_a_bounded_length() -> None:
    compile_pattern("a" * 200, "value")
    with pytest.raises(ConfigError, match="longer than 200"):
        compile_pattern("a" * 201, "value")


@pytest.mark.parametrize("pattern", GOOD)
def test_what_rules_need_is_taken(pattern: str) -> None:
    assert compile_pattern(pattern, "value").pattern == pattern


@pytest.mark.parametrize(
    "pattern", [".*.*!", "a*a*!", "[a-z]*[a-z]*" + "a" * 100 + "!", ".*foo.*foo!", "a*b" * 60, ".*x[a-z]*!"]
)
def test_the_wildest_pattern_that_is_taken_ends_soon(pattern: str) -> None:
    started = time.perf_counter()
    compile_pattern(pattern, "value").fullmatch("a" * PATTERN_TEXT_CHARS_MAX)
    assert time.perf_counter() - started < 0.5


@given(st.text(alphabet="ab(|)*+?[]{}.\\1,^$d-", max_size=16))
def test_whatever_is_taken_is_valid_and_ends_soon(pattern: str) -> None:
    try:
        compiled = compile_pattern(pattern, "value")
    except ConfigError:
        return
    started = time.perf_counter()
    for text in ("a" * PATTERN_TEXT_CHARS_MAX, "ab" * (PATTERN_TEXT_CHARS_MAX // 2)):
        compiled.fullmatch(text + "!")
    assert time.perf_counter() - started < 2
    assert isinstance(compiled, re.Pattern)


def test_a_text_longer_than_the_bound_is_unknown() -> None:
    tree = {"field": "reference", "op": "matches", "value": "a*"}
    assert truth(tree, subject(order(reference="a" * PATTERN_TEXT_CHARS_MAX))) is True
    assert truth(tree, subject(order(reference="a" * (PATTERN_TEXT_CHARS_MAX + 1)))) is None
