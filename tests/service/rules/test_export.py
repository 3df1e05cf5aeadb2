"""Export of rules: `rules export | rules apply` publishes the same version, for every rulebook."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.config.strict_yaml import parse_yaml
from service.config.yaml_output import write_yaml
from service.rules import Rule, write_document
from service.rules.syntax import Condition

TRICKY = [
    "1e3", "0123", "12:30", "2026-01-01", "yes", "null", "~", "{id}", "a: b", "- x", "# x", "*a", "&a", "!x", "'", '"',
    "\\", "", " ", "x ", "\n", "a\nb\n", "\t", "\u2028", "\x85", "\ufeff", "\x00", "é", "😀", "<<", "=", ".inf", "0x1F",
    "1_000", "+1", "9999999999999999999", "x" * 300, "a b " * 50,
]  # fmt: skip
TEXTS = st.one_of(st.sampled_from(TRICKY), st.text(st.characters(exclude_categories=("Cs",)), max_size=20))
NUMBERS = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.none()
)
PLAIN = st.recursive(
    st.one_of(TEXTS, NUMBERS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=3,
)
LEAVES = st.builds(Condition, field=TEXTS, op=TEXTS, value=PLAIN)
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(Condition, all=st.lists(inner, max_size=3).map(tuple)),
        st.builds(Condition, not_=inner),
        st.builds(Condition, any_of=TEXTS, where=inner),
        st.builds(Condition, count=TEXTS, op=TEXTS, ref=TEXTS, as_=st.sampled_from(["decimal", "money", "moment"])),
    ),
    max_leaves=3,
)
IDENTIFIERS = st.text("aZ09_-", min_size=1, max_size=6).filter(lambda text: text[0].isalnum())
RULES = st.builds(
    Rule,
    id=IDENTIFIERS,
    type=st.sampled_from(["purchase_order", "customer", "no", "e1"]),
    name=TEXTS,
    enabled=st.booleans(),
    sort=st.integers(-(10**9), 10**9),
    events=st.lists(st.sampled_from(["created", "updated", "deleted", "changed"]), max_size=2).map(tuple),
    sources=st.lists(TEXTS, max_size=2).map(tuple),
    when=st.none() | CONDITIONS,
    on_unknown=st.sampled_from(["skip", "error", "match"]),
    stop=st.booleans(),
    actions=st.lists(st.dictionaries(TEXTS, PLAIN, max_size=2), max_size=1).map(tuple),
)


def stored(rules: list[Rule]) -> list[Rule]:
    """Return rules as the store has them: an export reads a document."""
    return msgspec.json.decode(msgspec.json.encode(rules), type=list[Rule])


@settings(max_examples=50)
@given(st.lists(RULES, max_size=2, unique_by=lambda rule: rule.id))
def test_exported_rules_are_read_back_as_the_same_version(rules: list[Rule]) -> None:
    active = stored(rules)
    exported = write_yaml(active)
    read = msgspec.convert(parse_yaml(exported, "export"), list[Rule])
    assert write_document(read) == write_document(active)


@pytest.mark.parametrize("text", TRICKY)
def test_a_text_stays_a_text(text: str) -> None:
    value: dict[str, Any] = {"a": text, text: "a"}
    assert parse_yaml(write_yaml(value), "export") == value


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 10**18, 1e16, 1e-7, 0.1, -0.0, 1e300])
def test_a_number_keeps_its_type_and_value(number: float) -> None:
    read = parse_yaml(write_yaml({"a": number}), "export")
    assert read == {"a": number}
    assert type(read["a"]) is type(number)


def test_equal_parts_are_written_in_full() -> None:
    part = {"x": [1]}
    assert "&" not in write_yaml({"a": part, "b": part})
