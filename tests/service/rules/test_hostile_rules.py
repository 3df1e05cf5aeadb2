"""Rules that mean harm, each refused when it is loaded: with its place and its fix, in bounded time and memory."""

import time
import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import pytest

from service.actions import load_actions
from service.errors import ConfigError
from service.rules import Rulebook, read_rule_files

SECONDS_MAX = 1.0
FILE_SECONDS_MAX = 10.0
"""YAML is read by Python, at some 200 kB a second; a file holds 1 MB and 100,000 values at most."""

FILE_BYTES_MAX = 100_000
"""Of those that are read as files too; one of the larger ones stands for all."""

BYTES_MAX = 1024 * 1024
ACTIONS = load_actions()
LEAF = {"field": "status", "op": "eq", "value": "x"}


def nested(levels: int, inner: Any = LEAF) -> Any:
    for _ in range(levels):
        inner = {"not": inner}
    return inner


def when(condition: Any) -> dict[str, Any]:
    return {"id": "r", "type": "purchase_order", "when": condition}


def http(**words: Any) -> dict[str, Any]:
    action = {"id": "a", "do": "http", "url": "https://erp.example.com/", **words}
    return {"id": "r", "type": "purchase_order", "actions": [action]}


def deep(levels: int) -> Any:
    body: Any = "{id}"
    for _ in range(levels):
        body = [body]
    return body


MONSTERS: dict[str, tuple[dict[str, Any], str, str]] = {
    "a hundred levels deep": (when(nested(100)), "when.not", "nested deeper than 16"),
    "ten thousand conditions": (when({"any": [LEAF] * 10_000}), "when.any[", "more than 500 conditions"),
    "ten thousand in a tree": (
        when({"any": [{"all": [LEAF] * 100}] * 100}), "when.any[", "more than 500 conditions",
    ),
    "a regex of a million states": (
        when({"field": "status", "op": "matches", "value": "(.{1,900}b){1,900}"}), "when.value", "repetition size",
    ),
    "a regex that looks around": (
        when({"field": "status", "op": "matches", "value": "(?=a)a"}), "when.value", "is not valid",
    ),
    "a list of fifty thousand": (
        when({"field": "status", "op": "in", "value": ["x"] * 50_000}), "when.value", "at most 1000",
    ),
    "lists in lists in lists": (
        when({"any_of": "raw.a", "where": {"any_of": "b", "where": {"any_of": "c", "where": LEAF}}}),
        "when.any_of.where.any_of.where", "nested deeper than 2",
    ),
    "a template that opens another": (http(body="{{{id}"), "actions[0].body", ""),
    "a template in a template": (http(body="{a{id}}"), "actions[0].body", "stands alone"),
    "a template without end": (http(body=deep(100)), "actions[0].body", "levels"),
    "a template of a million values": (http(body=[["{id}"] * 1_000] * 100), "actions[0].body", "values"),
    "a template that reaches for the headers": (http(body="{event.headers}"), "actions[0].body", "no field"),
    "a template that reaches for the body": (http(body="{event.body}"), "actions[0].body", "no field"),
    "a template that reaches into Python": (http(body="{id.__class__}"), "actions[0].body", "has no fields"),
    "a template that reaches for the environment": (http(body="{environ.SECRET}"), "actions[0].body", "no field"),
    "a template with a format word": (http(body="{id!r:>1000000000}"), "actions[0].body", "no field"),
    "a host out of the record": (http(url="https://{reference}/"), "actions[0].url", "does not name its host"),
    "amounts in two currencies": (
        when({"field": "total", "op": "in", "value": [
            {"value": 1, "currency": "EUR"}, {"value": 1, "currency": "USD"},
        ]}), "when.value", "two currencies do not compare",
    ),
    "money against a bare number": (
        when({"field": "total", "op": "gt", "value": "100.00"}), "when.value", "is not a money",
    ),
    "a field that no platform has": (when({"field": "colour", "op": "exists"}), "when.field", "no field 'colour'"),
    "a field that is spelt wrong": (when({"field": "statsu", "op": "exists"}), "when.field", "no field 'statsu'"),
    "a path of ten thousand steps": (
        when({"field": ".".join("a" * 10_000), "op": "exists"}), "when.field", "is no field",
    ),
    "a thousand actions": (
        {"id": "r", "type": "customer", "actions": [{"id": f"a{n}", "do": "log", "message": "m"} for n in range(999)]},
        "actions", "more than 20 actions",
    ),
    "a number of half a million digits": (
        when({"field": "lines_count", "op": "eq", "value": "9" * 500_000}), "when.value", "is not a number",
    ),
}  # fmt: skip
HARMLESS = {"a template that opens another"}


SLOW = {"ten thousand conditions"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in sorted(MONSTERS.keys() - HARMLESS)],
)
def test_a_monster_is_refused_with_its_place_and_its_fix_in_bounded_time(name: str, tmp_path: Path) -> None:
    rule, place, reason = MONSTERS[name]
    document = msgspec.json.encode({"format": 1, "file_rules": [rule]})
    path = tmp_path / "rules.yaml"
    path.write_bytes(msgspec.json.encode([rule]))  # JSON is YAML

    ways = [(lambda: Rulebook.load(document, ACTIONS), SECONDS_MAX)]
    if len(document) < FILE_BYTES_MAX or name == "ten thousand conditions":
        ways.append((lambda: read_rule_files([path], ACTIONS), FILE_SECONDS_MAX))  # type: ignore[arg-type]
    for load, seconds_max in ways:
        started = time.process_time()
        with pytest.raises(ConfigError) as caught:
            load()
        assert time.process_time() - started < seconds_max
        assert caught.value.fix
        if "rules[0]" in caught.value.path:  # else the file as such was refused: too many values, too deep
            assert place in caught.value.path, caught.value
            assert reason in caught.value.reason, caught.value


@pytest.mark.parametrize("name", sorted(MONSTERS.keys() - HARMLESS))
def test_refusing_a_monster_takes_memory_in_proportion_to_it(name: str) -> None:
    document = msgspec.json.encode({"format": 1, "file_rules": [MONSTERS[name][0]]})
    tracemalloc.start()
    with pytest.raises(ConfigError):
        Rulebook.load(document, ACTIONS)
    bytes_most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert bytes_most < BYTES_MAX + 20 * len(document)


def test_braces_that_are_written_twice_are_text() -> None:
    rule, _, _ = MONSTERS["a template that opens another"]
    Rulebook.load(msgspec.json.encode({"format": 1, "file_rules": [rule]}), load_actions())
