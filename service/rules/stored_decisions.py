"""Decisions in the stored history of an event, as plain data. A replay of failed rules adds a decision. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

RULE_EVALUATION = "rule:evaluate"
"""`action_type` of the effect that stands for a failed rule. A replay evaluates the rule again."""

History = Sequence[Mapping[str, Any]]


def decisions_of(history: History) -> Iterator[Mapping[str, Any]]:
    """Yield the decisions, oldest first."""
    return (entry for entry in history if entry.get("entry") == "decided")


def verdicts_of(history: History) -> Mapping[str, Mapping[str, Any]]:
    """Return the last result of each rule, by rule id."""
    return {verdict["rule_id"]: verdict for decided in decisions_of(history) for verdict in decided["verdicts"]}


def effects_of_decisions(history: History) -> Sequence[Mapping[str, Any]]:
    """Return the effects of all decisions, in the order of the ledger."""
    return [effect for decided in decisions_of(history) for effect in decided.get("effects", ())]
