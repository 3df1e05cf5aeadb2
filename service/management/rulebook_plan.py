"""Plan of a publication: the difference of rule files to the active rules, and its effect on recent events. Pure."""

from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import Struct

from service.errors import ConfigError
from service.management.dry_run import Difference, RulebookComparison
from service.management.rulebook import StoredRulebook
from service.rules import Rule, document_version, write_document
from service.rules.rulebook_diff import RuleDiff, diff_rulebooks
from service.rules.rulebook_document import FORMAT, Document

EXAMPLES_MAX = 3
"""Events that are named for each rule and change."""

NO_VERSION = ""
"""Stands for the active version before the first publication."""


class PlannedRules(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A plan that can be applied: the rules of files, the active version it was made for, and the resulting version."""

    format: int
    before: str
    after: str
    rules: tuple[Rule, ...]


class MatchChange(Struct, frozen=True):
    """Matches that a rule gains and loses over the recent events, and other results, each with examples."""

    rule_id: str
    gained: int
    lost: int
    changed: int
    """Events with other effects, or with another result than a match."""
    examples: Sequence[str]


class RulebookPlan(Struct, frozen=True):
    """A plan: the versions, the rules that differ, and the changes over the recent events, if they were compared."""

    before: str
    after: str
    rules: Sequence[RuleDiff]
    events_evaluated: int | None = None
    events_skipped: int | None = None
    matches: Sequence[MatchChange] = ()


def planned_document(active: StoredRulebook | None, rules: Sequence[Rule]) -> Document:
    """Return the rulebook after the publication: the rules of files, and those of the admin API."""
    api_rules = active.document.api_rules if active else ()
    return Document(format=FORMAT, file_rules=tuple(rules), api_rules=api_rules)


def make_plan(active: StoredRulebook | None, after: Document, comparison: RulebookComparison | None) -> RulebookPlan:
    """Build the plan of a publication."""
    before = active.document if active else Document(format=FORMAT)
    version = document_version(write_document(after.file_rules, after.api_rules))
    changes = diff_rulebooks(before, after)
    if comparison is None:
        return RulebookPlan(active.version if active else NO_VERSION, version, changes)
    return RulebookPlan(
        active.version if active else NO_VERSION,
        version,
        changes,
        comparison.events_evaluated,
        len(comparison.skipped),
        count_match_changes(comparison.differences),
    )


def count_match_changes(differences: Iterable[Difference]) -> list[MatchChange]:
    """Count the gained, lost and otherwise changed results of each rule."""
    by_rule: dict[str, list[Difference]] = {}
    for difference in differences:
        by_rule.setdefault(difference.rule_id, []).append(difference)
    return [_match_change(rule_id, found) for rule_id, found in sorted(by_rule.items())]


def _match_change(rule_id: str, found: Sequence[Difference]) -> MatchChange:
    kinds = [_kind(each) for each in found]
    examples = [
        f"{kind}: {each.event_id} {each.record}, {each.live or 'not evaluated'} -> {each.candidate or 'not evaluated'}"
        for change in ("gained", "lost", "changed")
        for kind, each in [pair for pair in zip(kinds, found, strict=True) if pair[0] == change][:EXAMPLES_MAX]
    ]
    return MatchChange(rule_id, kinds.count("gained"), kinds.count("lost"), kinds.count("changed"), examples)


def _kind(difference: Difference) -> Literal["gained", "lost", "changed"]:
    was, is_now = difference.live == "matched", difference.candidate == "matched"
    return "changed" if was is is_now else "gained" if is_now else "lost"


def check_plan(plan: PlannedRules, file: str) -> None:
    """Check the format of a plan.

    Raises:
        ConfigError: another version of Waybill wrote it.
    """
    if plan.format != FORMAT:
        fix = "make the plan again with this version of waybill"
        raise ConfigError("format", f"format {plan.format} is not supported, {FORMAT} is", fix, file=file)
