"""Rules that apply to an event, and those of them that were not evaluated because an earlier rule stops. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from service.events import EVENT_KIND
from service.rules.syntax import Rule


class UnevaluatedRule(Struct, frozen=True):
    """Rule that applies to an event and was not evaluated, with the reason."""

    rule_id: str
    reason: str


def applies_to(rule: Rule, kind: str, change: str) -> bool:
    """Return whether a rule is about a record kind and a change type. Rules of `type: event` are about all kinds."""
    return rule.enabled and rule.type in {kind, EVENT_KIND} and (not rule.events or change in rule.events)


def evaluation_order(rule: Rule) -> tuple[int, str]:
    """Return the key by which rules are sorted."""
    return rule.sort, rule.id


def unevaluated_rules(
    rules: Sequence[Rule], results: Mapping[str, Any], kind: str, change: str, source: str
) -> Sequence[UnevaluatedRule]:
    """Return the rules behind the one that matched with `stop`, in their order.

    Args:
        rules: The rules of the rulebook.
        results: The result of each evaluated rule, by rule id.
        kind: The record kind of the event.
        change: The change type of the event.
        source: The source of the event.
    """
    stopping = next((rule for rule in rules if rule.stop and results.get(rule.id) == "matched"), None)
    if stopping is None:
        return ()
    applying = (rule for rule in rules if applies_to(rule, kind, change) and source in (rule.sources or (source,)))
    behind = sorted((rule for rule in applying if rule.id not in results), key=evaluation_order)
    return [UnevaluatedRule(rule.id, f"behind {stopping.id}, which matched with stop") for rule in behind]
