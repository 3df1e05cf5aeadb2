"""Expected results of a rule test, and their differences from the actual ones."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

from service.events import JsonValue
from service.rules.rulebook import Evaluation, RuleResult


class ExpectedEffect(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An expected effect. Only the listed `inputs` are compared."""

    rule: str
    action: str
    inputs: dict[str, Any] = field(default_factory=dict[str, Any])


class Expectation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The expected results. Omitted keys are not compared."""

    matches: tuple[str, ...] | UnsetType = UNSET
    unknown: tuple[str, ...] | UnsetType = UNSET
    effects: tuple[ExpectedEffect, ...] | UnsetType = UNSET


def result_differences(expected: Expectation, evaluation: Evaluation) -> Iterator[str]:
    """Yield the differences between the expected and the actual results, as lines with - and +."""
    verdicts = {verdict.rule_id: verdict for verdict in evaluation.verdicts}
    sets = (("matches", expected.matches, {"matched"}), ("unknown", expected.unknown, {"unknown", "error"}))
    for word, expected_ids, results in sets:
        if expected_ids is UNSET:
            continue
        actual = {rule for rule, verdict in verdicts.items() if verdict.result in results}
        for rule in sorted(set(expected_ids) - actual):
            yield f"- {word}: {rule}" + _actual_result(verdicts.get(rule))
        for rule in sorted(actual - set(expected_ids)):
            yield f"+ {word}: {rule}" + _actual_result(verdicts.get(rule))
    if expected.effects is not UNSET:
        yield from _effect_differences(expected.effects, evaluation)


def _actual_result(verdict: RuleResult | None) -> str:
    if verdict is None:
        return " (not evaluated: no such rule for this type, event and source)"
    return f" ({verdict.result}{': ' + verdict.reason if verdict.reason else ''})"


def _effect_differences(expected: Sequence[ExpectedEffect], evaluation: Evaluation) -> Iterator[str]:
    # As they are stored: a list of a record is a tuple before.
    stored = msgspec.msgpack.decode(msgspec.msgpack.encode([effect.inputs for effect in evaluation.effects]))
    actual = dict(zip([(effect.rule_id, effect.action_id) for effect in evaluation.effects], stored, strict=True))
    expected_inputs = {(effect.rule, effect.action): effect.inputs for effect in expected}
    for rule, action in sorted(expected_inputs.keys() - actual.keys()):
        yield f"- effect: {rule}.{action}"
    for rule, action in sorted(actual.keys() - expected_inputs.keys()):
        yield f"+ effect: {rule}.{action}"
    for key in sorted(expected_inputs.keys() & actual.keys()):
        for path, left, right in _compare_inputs(expected_inputs[key], actual[key], ""):
            yield f"- effect: {key[0]}.{key[1]}{path} = {left!r}"
            yield f"+ effect: {key[0]}.{key[1]}{path} = {right!r}"


def _compare_inputs(expected: JsonValue, actual: JsonValue, path: str) -> Iterator[tuple[str, JsonValue, JsonValue]]:
    """Yield the differences in the listed inputs: path, expected value and actual value."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        found = cast("dict[str, Any]", actual)
        for name, value in cast("dict[str, Any]", expected).items():
            yield from _compare_inputs(value, found.get(name), f"{path}.{name}")
    elif expected != actual:
        yield path, expected, actual
