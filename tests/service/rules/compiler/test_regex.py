"""Patterns: invalid and oversized ones are rejected when a rulebook is loaded, and matching is fast on any text."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import ConfigError
from service.rules.compiler.regex import compile_pattern, full_match
from service.rules.limits import PATTERN_INSTRUCTIONS_MAX, PATTERN_TEXT_CHARS_MAX
from tests.service.rules.rule_samples import order, subject, truth

EXPENSIVE = [
    "(a+)+$",
    "(a*)*b",
    "(a|a)*b",
    "(.*.*)*x",
    "a*a*a*a*a*a*a*a*b",
    ".*foo.*bar.*baz.*",
    "(a?){40}a{40}",
    "((a+)b)+",
    "(a|a)" * 30,
    "(\\w+\\s?)*$",
    "(?i)(a+A)+b",
    "a*b" * 60,
    "(.{1,15}b){1,15}",
]
"""Patterns that are slow in a backtracking engine, or near the limit of instructions."""
UNSUPPORTED = [
    "(?=a)",
    "(?!a)",
    "(?<=a)b",
    "(a)\\1",
    "(?P=x)",
    "a**",
    "a++",
    "(?>a)",
    "\\N{DASH}",
    "(?x) a",
    "*a",
    "(?#x)",
]
INVALID = ["(", ")", "a)", "[a", "(a", "\\", "a{2,1}", "[b-a]", "a{1001}"]
VALID = [
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
    ".*foo.*bar.*",
    "\\w+@\\w+\\.[a-z]{2,}",
    "[\\pL ]+",
]


@pytest.mark.parametrize("pattern", UNSUPPORTED + INVALID)
def test_invalid_pattern_is_rejected_with_the_reason_of_re2(pattern: str) -> None:
    with pytest.raises(ConfigError, match=r"is not valid \(.+\)"):
        compile_pattern(pattern, "value")


def test_repetition_without_minimum_is_rejected() -> None:
    with pytest.raises(ConfigError, match=r"reads \{,3\} as text\. Fix: write \{0,3\}"):
        compile_pattern("a{,3}", "value")
    assert full_match(compile_pattern(r"a\{,3}", "value"), "a{,3}") is True


def test_lone_surrogate_is_rejected_in_a_pattern_and_unknown_in_a_text() -> None:
    with pytest.raises(ConfigError, match="lone surrogate"):
        compile_pattern("a\ud800", "value")
    assert full_match(compile_pattern("a.", "value"), "a\ud800") is None


def test_pattern_length_is_limited() -> None:
    compile_pattern("a" * 200, "value")
    with pytest.raises(ConfigError, match="longer than 200"):
        compile_pattern("a" * 201, "value")


def test_pattern_instructions_are_limited() -> None:
    assert compile_pattern("a{900}" * 3, "value").programsize <= PATTERN_INSTRUCTIONS_MAX
    with pytest.raises(ConfigError, match=r"has 3,.* instructions, at most 3,000"):
        compile_pattern("a{1000}" * 3, "value")
    with pytest.raises(ConfigError, match="pattern too large"):
        compile_pattern("\\pL{1,200}", "value")


@pytest.mark.parametrize("pattern", VALID)
def test_valid_pattern_is_compiled(pattern: str) -> None:
    assert compile_pattern(pattern, "value").pattern == pattern


@pytest.mark.parametrize("pattern", EXPENSIVE)
@pytest.mark.parametrize("piece", ["a", "ab", "a b ", "x", "é"])
def test_expensive_pattern_is_fast_on_the_longest_text(pattern: str, piece: str) -> None:
    compiled = compile_pattern(pattern, "value")
    text = (piece * PATTERN_TEXT_CHARS_MAX)[: PATTERN_TEXT_CHARS_MAX - 1] + "!"
    started = time.process_time()
    assert full_match(compiled, text) is False
    assert time.process_time() - started < 20  # 1 ms on an idle machine; backtracking would take years


@given(st.text(alphabet="ab(|)*+?[]{}.1,^$d-", max_size=16), st.text(alphabet="ab1-", max_size=12))
def test_patterns_match_like_python_re(pattern: str, text: str) -> None:
    try:
        compiled = compile_pattern(pattern, "value")
        reference = re.compile(pattern)
    except (ConfigError, re.error, FutureWarning):
        return
    assert full_match(compiled, text) is (reference.fullmatch(text) is not None)


def test_text_over_the_limit_is_unknown() -> None:
    tree = {"field": "reference", "op": "matches", "value": "a*"}
    assert truth(tree, subject(order(reference="a" * PATTERN_TEXT_CHARS_MAX))) is True
    assert truth(tree, subject(order(reference="a" * (PATTERN_TEXT_CHARS_MAX + 1)))) is None
