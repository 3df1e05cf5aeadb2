"""Tells a dry run and a comparison as lines that people read. Pure."""

from collections.abc import Iterator

from service.management.dry_run import Difference, DryRun, RulebookComparison
from service.rules.tree_output import format_effect, format_steps

NOT_EVALUATED = "not asked"


def format_dry_run(found: DryRun) -> Iterator[str]:
    """Write each rule with its verdict, its nodes as a tree with what they saw, and its effects as rendered."""
    yield f"{found.record}, by rulebook {found.rulebook}{', gone' if found.gone else ''}"
    for verdict in found.verdicts:
        yield f"{verdict.rule_id}: {verdict.result}{f' ({verdict.reason})' if verdict.reason else ''}"
        for line in format_steps([step for step in found.steps if step.rule_id == verdict.rule_id]):
            yield f"  {line}"
        for effect in found.effects:
            if effect.rule_id == verdict.rule_id:
                yield f"  would {format_effect(effect.action_id, effect.action_type, effect.inputs)}"
    if not found.complete:
        yield "more nodes were asked than are told here"


def format_comparison(found: RulebookComparison) -> Iterator[str]:
    """Write each rule that would say or do something else: `-` what it does in force, `+` what it would do."""
    yield f"{found.events_evaluated} events, {found.live} in force, {found.candidate} tried"
    for each in found.differences:
        verdicts = f"{each.live or NOT_EVALUATED} -> {each.candidate or NOT_EVALUATED}"
        yield f"{each.event_id} {each.record} {each.rule_id}: {verdicts}"
        yield from _format_effects(each)
    for missed in found.skipped:
        yield f"{missed.event_id} not judged: {missed.reason}"


def _format_effects(each: Difference) -> Iterator[str]:
    for sign, has, others in (
        ("-", each.live_effects, each.candidate_effects),
        ("+", each.candidate_effects, each.live_effects),
    ):
        for effect in has:
            if effect not in others:
                yield f"  {sign} {format_effect(effect.action_id, effect.action_type, effect.inputs)}"
