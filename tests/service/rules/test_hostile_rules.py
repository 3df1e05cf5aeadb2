"""Malicious rules are rejected when a rulebook is loaded, with path and fix, in bounded time and memory."""

import time
import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import pytest

from service.actions import load_actions
from service.errors import ConfigError
from service.rules import Rulebook, read_rule_files

SECONDS_MAX = 20.0
"""CPU seconds; a few milliseconds on an idle machine. Work that grows with the rule's power would take years."""

FILE_SECONDS_MAX = 200.0
"""CPU seconds. PyYAML parses about 200 kB per second; a file has at most 1 MB and 100,000 values."""

FILE_BYTES_MAX = 100_000
"""Size limit of the rules that are also loaded from files; of the larger rules only one is."""

BYTES_MAX = 1024 * 1024
ACTIONS = load_actions()
LEAF = {"field": "status", "op": "eq", "value": "x"}


def nested(levels: int, inner: Any = LEAF) -> Any:
    for _ in range(levels):
        inner = {"not": inner}
    return inner


def when(condition: Any) -> dict[str, Any]:
    return {"id": "r", "type": "purchase_order", "when": condition}


def http(**fields: Any) -> dict[str, Any]:
    action = {"id": "a", "do": "http", "url": "https://erp.example.com/", **fields}
    return {"id": "r", "type": "purchase_order", "actions": [action]}


def deep(levels: int) -> Any:
    body: Any = "{id}"
    for _ in range(levels):
        body = [body]
    return body


HOSTILE_RULES: dict[str, tuple[dict[str, Any], str, str]] = {
    "nested 100 levels deep": (when(nested(100)), "when.not", "nested deeper than 16"),
    "10,000 conditions": (when({"any": [LEAF] * 10_000}), "when.any[", "more than 500 conditions"),
    "10,000 conditions in a tree": (
        when({"any": [{"all": [LEAF] * 100}] * 100}), "when.any[", "more than 500 conditions",
    ),
    "regex with a million states": (
        when({"field": "status", "op": "matches", "value": "(.{1,900}b){1,900}"}), "when.value", "repetition size",
    ),
    "regex with look-ahead": (
        when({"field": "status", "op": "matches", "value": "(?=a)a"}), "when.value", "is not valid",
    ),
    "list of 50,000 values": (
        when({"field": "status", "op": "in", "value": ["x"] * 50_000}), "when.value", "at most 1000",
    ),
    "three nested lists": (
        when({"any_of": "raw.a", "where": {"any_of": "b", "where": {"any_of": "c", "where": LEAF}}}),
        "when.where.where", "nested deeper than 2",
    ),
    "template with literal braces": (http(body="{{{id}"), "actions[0].body", ""),
    "nested placeholders": (http(body="{a{id}}"), "actions[0].body", "unmatched"),
    "template nested 100 levels deep": (http(body=deep(100)), "actions[0].body", "levels"),
    "template with 100,000 values": (http(body=[["{id}"] * 1_000] * 100), "actions[0].body", "values"),
    "template with event headers": (http(body="{event.headers}"), "actions[0].body", "no field"),
    "template with event body": (http(body="{event.body}"), "actions[0].body", "no field"),
    "template with Python attribute": (http(body="{id.__class__}"), "actions[0].body", "has no fields"),
    "template with environment variable": (http(body="{environ.SECRET}"), "actions[0].body", "no field"),
    "template with format specification": (http(body="{id!r:>1000000000}"), "actions[0].body", "no field"),
    "host from the record": (http(url="https://{reference}/"), "actions[0].url", "does not name its host"),
    "amounts in two currencies": (
        when({"field": "total", "op": "in", "value": [
            {"value": 1, "currency": "EUR"}, {"value": 1, "currency": "USD"},
        ]}), "when.value", "two currencies cannot be compared",
    ),
    "money compared with a number": (
        when({"field": "total", "op": "gt", "value": "100.00"}), "when.value", "is not a money",
    ),
    "unknown field": (when({"field": "colour", "op": "exists"}), "when.field", "no field 'colour'"),
    "misspelled field": (when({"field": "statsu", "op": "exists"}), "when.field", "no field 'statsu'"),
    "path of 10,000 steps": (
        when({"field": ".".join("a" * 10_000), "op": "exists"}), "when.field", "is not a valid field",
    ),
    "999 actions": (
        {"id": "r", "type": "customer", "actions": [{"id": f"a{n}", "do": "log", "message": "m"} for n in range(999)]},
        "actions", "more than 20 actions",
    ),
    "number with 500,000 digits": (
        when({"field": "lines_count", "op": "eq", "value": "9" * 500_000}), "when.value", "has too many digits",
    ),
}  # fmt: skip
HARMLESS = {"template with literal braces"}


SLOW = {"10,000 conditions"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in sorted(HOSTILE_RULES.keys() - HARMLESS)],
)
def test_hostile_rule_is_rejected_with_path_and_fix_in_bounded_time(name: str, tmp_path: Path) -> None:
    rule, path_part, reason = HOSTILE_RULES[name]
    document = msgspec.json.encode({"format": 1, "file_rules": [rule]})
    path = tmp_path / "rules.yaml"
    path.write_bytes(msgspec.json.encode([rule]))  # JSON is YAML

    loaders = [(lambda: Rulebook.load(document, ACTIONS), SECONDS_MAX)]
    if len(document) < FILE_BYTES_MAX or name == "10,000 conditions":
        loaders.append((lambda: read_rule_files([path], ACTIONS), FILE_SECONDS_MAX))  # type: ignore[arg-type]
    for load, seconds_max in loaders:
        started = time.process_time()
        with pytest.raises(ConfigError) as caught:
            load()
        assert time.process_time() - started < seconds_max
        assert caught.value.fix
        if "rules[0]" in caught.value.path:  # otherwise the whole file was rejected
            assert path_part in caught.value.path, caught.value
            assert reason in caught.value.reason, caught.value


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(HOSTILE_RULES.keys() - HARMLESS))
def test_rejecting_a_hostile_rule_takes_bounded_memory(name: str) -> None:
    document = msgspec.json.encode({"format": 1, "file_rules": [HOSTILE_RULES[name][0]]})
    tracemalloc.start()
    with pytest.raises(ConfigError):
        Rulebook.load(document, ACTIONS)
    bytes_peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert bytes_peak < BYTES_MAX + 20 * len(document)


def test_doubled_braces_are_literal() -> None:
    rule, _, _ = HOSTILE_RULES["template with literal braces"]
    Rulebook.load(msgspec.json.encode({"format": 1, "file_rules": [rule]}), load_actions())
