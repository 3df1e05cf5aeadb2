"""Text output of dry runs and rulebook comparisons. Pure."""

from collections.abc import Iterator

from service.management.dry_run import Difference, RulebookComparison
from service.management.dry_run_result import DryRun
from service.plurals import count_noun
from service.rules.tree_output import format_effect, format_lookup, format_steps

NOT_EVALUATED = "not evaluated"
NO_RULES = (
    "No rule was evaluated: each is disabled, or limited to another record type, event or source. A dry run of a "
    "record has no source; for a rule with sources give an event."
)


def format_dry_run(found: DryRun) -> Iterator[str]:
    """Yield each rule with its result, its nodes as a tree with their values, and its rendered effects."""
    yield f"{found.record}, rulebook {found.rulebook}{', record missing' if found.gone else ''}"
    yield from map(format_lookup, found.lookups)
    if not found.verdicts:
        yield NO_RULES
    for verdict in found.verdicts:
        yield f"{verdict.rule_id}: {verdict.result}{f' ({verdict.reason})' if verdict.reason else ''}"
        for line in format_steps([step for step in found.steps if step.rule_id == verdict.rule_id]):
            yield f"  {line}"
        for effect in found.effects:
            if effect.rule_id == verdict.rule_id:
                yield f"  would run {format_effect(effect.action_id, effect.action_type, effect.inputs)}"
    for rule in found.not_evaluated:
        yield f"{rule.rule_id}: {NOT_EVALUATED} ({rule.reason})"
    if not found.complete:
        yield "The list of nodes is truncated."


def format_comparison(found: RulebookComparison) -> Iterator[str]:
    """Yield each rule whose result or effects differ: `-` active rulebook, `+` candidate."""
    yield f"{count_noun(found.events_evaluated, 'event')}: active {found.live}, candidate {found.candidate}"
    for each in found.differences:
        results = f"{each.live or NOT_EVALUATED} -> {each.candidate or NOT_EVALUATED}"
        yield f"{each.event_id} {each.record} {each.rule_id}: {results}"
        yield from _format_effects(each)
    for skipped in found.skipped:
        yield f"{skipped.event_id} skipped: {skipped.reason}"


def _format_effects(each: Difference) -> Iterator[str]:
    for sign, effects, others in (
        ("-", each.live_effects, each.candidate_effects),
        ("+", each.candidate_effects, each.live_effects),
    ):
        for effect in effects:
            if effect not in others:
                yield f"  {sign} {format_effect(effect.action_id, effect.action_type, effect.inputs)}"
