"""Patterns: what RE2 cannot read or hold is refused when loaded, and no text makes one slow."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import ConfigError
from service.rules.compiler.regex import compile_pattern, full_match
from service.rules.limits import PATTERN_INSTRUCTIONS_MAX, PATTERN_TEXT_CHARS_MAX
from tests.service.rules.rule_samples import order, subject, truth

WILD = [
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
"""What holds up an engine that goes back, or comes near the bound on instructions."""
NOT_UNDERSTOOD = [
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
BROKEN = ["(", ")", "a)", "[a", "(a", "\\", "a{2,1}", "[b-a]", "a{1001}"]
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
    ".*foo.*bar.*",
    "\\w+@\\w+\\.[a-z]{2,}",
    "[\\pL ]+",
]


@pytest.mark.parametrize("pattern", NOT_UNDERSTOOD + BROKEN)
def test_what_is_not_understood_is_refused_with_the_engines_reason(pattern: str) -> None:
    with pytest.raises(ConfigError, match=r"is not valid \(.+\)"):
        compile_pattern(pattern, "value")


def test_a_repetition_from_nothing_is_refused_where_it_would_be_taken_for_text() -> None:
    with pytest.raises(ConfigError, match=r"takes \{,3\} for text\. Fix: write \{0,3\}"):
        compile_pattern("a{,3}", "value")
    assert full_match(compile_pattern(r"a\{,3}", "value"), "a{,3}") is True


def test_half_a_character_is_refused_in_a_pattern_and_unknown_in_a_text() -> None:
    with pytest.raises(ConfigError, match="half a character"):
        compile_pattern("a\ud800", "value")
    assert full_match(compile_pattern("a.", "value"), "a\ud800") is None


def test_a_pattern_has_a_bounded_length() -> None:
    compile_pattern("a" * 200, "value")
    with pytest.raises(ConfigError, match="longer than 200"):
        compile_pattern("a" * 201, "value")


def test_a_pattern_has_bounded_instructions() -> None:
    assert compile_pattern("a{900}" * 3, "value").programsize <= PATTERN_INSTRUCTIONS_MAX
    with pytest.raises(ConfigError, match=r"takes 3,.* instructions; 3,000 may be"):
        compile_pattern("a{1000}" * 3, "value")
    with pytest.raises(ConfigError, match="pattern too large"):
        compile_pattern("\\pL{1,200}", "value")


@pytest.mark.parametrize("pattern", GOOD)
def test_what_rules_need_is_taken(pattern: str) -> None:
    assert compile_pattern(pattern, "value").pattern == pattern


@pytest.mark.parametrize("pattern", WILD)
@pytest.mark.parametrize("piece", ["a", "ab", "a b ", "x", "é"])
def test_the_wildest_pattern_ends_soon_on_the_longest_text(pattern: str, piece: str) -> None:
    compiled = compile_pattern(pattern, "value")
    text = (piece * PATTERN_TEXT_CHARS_MAX)[: PATTERN_TEXT_CHARS_MAX - 1] + "!"
    started = time.process_time()
    assert full_match(compiled, text) is False
    assert time.process_time() - started < 0.5  # 1 ms where nothing else runs; going back would take years


@given(st.text(alphabet="ab(|)*+?[]{}.1,^$d-", max_size=16), st.text(alphabet="ab1-", max_size=12))
def test_a_pattern_says_what_pythons_engine_says(pattern: str, text: str) -> None:
    try:
        compiled = compile_pattern(pattern, "value")
        known = re.compile(pattern)
    except (ConfigError, re.error, FutureWarning):
        return
    assert full_match(compiled, text) is (known.fullmatch(text) is not None)


def test_a_text_longer_than_the_bound_is_unknown() -> None:
    tree = {"field": "reference", "op": "matches", "value": "a*"}
    assert truth(tree, subject(order(reference="a" * PATTERN_TEXT_CHARS_MAX))) is True
    assert truth(tree, subject(order(reference="a" * (PATTERN_TEXT_CHARS_MAX + 1)))) is None
