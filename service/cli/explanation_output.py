"""Text of an explanation: decisions with their rules, effects, and attempts with their exchanges. Pure."""

from collections.abc import Iterator
from datetime import datetime

import msgspec

from service.exchange_text import format_exchange
from service.management.differences import DifferingDuplicates
from service.management.event_view import EffectView
from service.management.explanation import (
    ExplainedAttempt,
    ExplainedDecision,
    ExplainedNode,
    ExplainedRule,
    Explanation,
)
from service.rules.stored_decisions import RULE_EVALUATION
from service.rules.tree_output import MARKS, format_effect, format_lookup, format_value

_UNITS = ((86_400, "days"), (3_600, "h"), (60, "min"))
"""Units of a wait in seconds, largest first. A unit is used from two of it on."""

_RESULTS = {"matched": "+", "unmatched": "-", "unknown": "?", "error": "!"}
NOT_EVALUATED = "·"
CIRCUITS = "waybill destinations list and waybill platforms list show circuits, also those paused by an operator"
HELP = {"circuit_open": CIRCUITS, "credentials_rejected": CIRCUITS}
"""Commands that show the cause of a wait, by its reason."""


def format_explanation(explanation: Explanation, now: datetime) -> Iterator[str]:
    """Yield the lines of an explanation. The wait for the next attempt counts from `now`."""
    end = "".join(f", {each}" for each in (explanation.outcome, explanation.error_kind) if each)
    yield f"event {explanation.id}: {explanation.state}{end}" + (
        f": {explanation.reason}" if explanation.reason else ""
    )
    if explanation.source:
        yield f"  {explanation.type} ({explanation.change}) from {explanation.source} about {explanation.record}"
    if explanation.running:
        yield f"  running: {explanation.running}"
    if explanation.waiting_for or explanation.next_attempt_at:
        yield f"  {_format_wait(explanation, now)}"
        if explanation.waiting_for in HELP:
            yield f"  {HELP[explanation.waiting_for]}"
    if explanation.differing_duplicates:
        yield f"  {_format_differing(explanation.differing_duplicates)}"
    if not explanation.decisions:
        yield "  not decided"
    for decision in explanation.decisions:
        yield from _format_decision(decision)
    for attempt in explanation.attempts:
        yield from _format_attempt(attempt)


def _format_wait(explanation: Explanation, now: datetime) -> str:
    reason = (explanation.waiting_for or "retry").replace("_", " ")
    if explanation.next_attempt_at is None:
        return f"waiting: {reason}"
    seconds = round((datetime.fromisoformat(explanation.next_attempt_at) - now).total_seconds())
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= 2 * size), (1, "s"))
    due = f"in {seconds // size} {unit}" if seconds > 0 else "due now"
    return f"waiting: {reason}; next attempt {explanation.next_attempt_at} ({due})"


def _format_differing(differing: DifferingDuplicates) -> str:
    paths = [difference.path or "the whole body" for difference in differing.differences or ()]
    where = f", at {', '.join(paths)}" if paths else ""
    last = f"the last one {differing.last_at}{where}"
    return f"! duplicates with other content, not processed: {differing.count}, {last}"


def _format_decision(decision: ExplainedDecision) -> Iterator[str]:
    found = f"state {decision.digest[:12]}" if decision.digest else "the event alone"
    state = "a record that the platform does not have" if decision.gone else found
    stale = ", older than the event," if decision.stale and not decision.gone else ""
    yield f"decided {decision.at} on {state}{stale} by rulebook {decision.rulebook}"
    if not decision.complete:
        yield "  this rulebook is no longer stored; only the stored comparisons are shown"
    yield from map(format_lookup, decision.lookups)
    for rule in decision.rules:
        yield from _format_rule(rule)
    for rule in decision.not_evaluated:
        yield f"{NOT_EVALUATED} {rule.rule_id} not evaluated: {rule.reason}"


def _format_rule(rule: ExplainedRule) -> Iterator[str]:
    reason = f": {rule.reason}" if rule.reason else ""
    yield f"{_RESULTS.get(rule.result, ' ')} {rule.rule_id} {rule.result}{reason}"
    for node in rule.nodes:
        yield f"    {'  ' * node.depth}{_format_node(node)}"
    for effect in rule.effects:
        yield f"    {effect.state.replace('_', ' ')}: {_format_effect(effect)}"
        if effect.waiting_behind:
            name = f"{effect.rule_id}.{effect.action_id}"
            yield f"      waiting behind effect {name} of event {effect.waiting_behind}"


def _format_node(node: ExplainedNode) -> str:
    if not node.evaluated:
        return f"{NOT_EVALUATED} {node.text}"
    at = f" at element {', '.join(map(str, node.elements))}" if node.elements else ""
    seen = f": was {format_value(node.actual)}" if node.has_value else ""
    against = f", compared with {format_value(node.against)}" if node.against is not None else ""
    return f"{MARKS[node.result]} {node.text}{at}{seen}{against}"


def _format_effect(effect: EffectView) -> str:
    if effect.action_type == RULE_EVALUATION:
        return "evaluation of the rule; a replay evaluates it again"
    return format_effect(effect.action_id, effect.action_type, effect.inputs)


def _format_attempt(attempt: ExplainedAttempt) -> Iterator[str]:
    error = f": {attempt.error_kind} {attempt.error or ''}".rstrip() if attempt.error_kind else ""
    name = f"{attempt.rule_id}.{attempt.action_id} " if attempt.rule_id else ""
    answer = f" {msgspec.json.encode(attempt.answer).decode()}" if attempt.answer else ""
    yield f"attempt {attempt.attempt}, {attempt.at}: {name}{attempt.outcome}{error}{answer}"
    if attempt.exchange:
        yield from (f"    {text}" for text in format_exchange(attempt.exchange))
