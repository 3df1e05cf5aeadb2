"""Difference between two rulebooks, rule by rule, as lines of a unified diff. Pure."""

import difflib
from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from service.config.yaml_output import write_yaml
from service.rules.rulebook_document import Document
from service.rules.syntax import Rule


class RuleDiff(Struct, frozen=True):
    """One rule that was added, removed, changed, or moved between files and the API; `lines` as in a unified diff."""

    rule_id: str
    change: Literal["added", "removed", "changed", "moved"]
    lines: Sequence[str] = ()


def diff_rulebooks(before: Document, after: Document) -> list[RuleDiff]:
    """Return every rule that differs, sorted by id."""
    old = {rule.id: rule for rule in before.rules}
    new = {rule.id: rule for rule in after.rules}
    moved = {rule.id for rule in before.api_rules} ^ {rule.id for rule in after.api_rules}
    changes: list[RuleDiff] = []
    for rule_id in sorted(old.keys() | new.keys()):
        lines = _lines(old.get(rule_id), new.get(rule_id))
        if rule_id not in old:
            changes.append(RuleDiff(rule_id, "added", lines))
        elif rule_id not in new:
            changes.append(RuleDiff(rule_id, "removed", lines))
        elif lines:
            changes.append(RuleDiff(rule_id, "changed", lines))
        elif rule_id in moved:
            changes.append(RuleDiff(rule_id, "moved"))
    return changes


def _lines(before: Rule | None, after: Rule | None) -> list[str]:
    # The order of keys is no difference: the stored rulebook sorts those of actions.
    plain = [msgspec.to_builtins(rule, order="deterministic") if rule else None for rule in (before, after)]
    texts = [write_yaml(rule).splitlines() if rule else [] for rule in plain]
    return [
        line
        for line in difflib.unified_diff(texts[0], texts[1], n=2, lineterm="")
        if not line.startswith(("---", "+++", "@@"))
    ]
