"""Text explanation of a stored decision: every rule, its comparisons, its effects, and each attempt. Pure.

The decision contains the values that were compared. The conditions are in the rulebook version of the decision.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import msgspec
from msgspec import UNSET

from service.exchange_text import format_exchange
from service.rules.condition_nodes import ROOT, NodeNotFound, find_node
from service.rules.delivery_fields import is_claim
from service.rules.evidence import EvidenceItem, read_evidence
from service.rules.lookups import LookupSummary
from service.rules.rulebook_document import Document
from service.rules.stored_decisions import RULE_EVALUATION, decisions_of
from service.rules.syntax import Condition, Rule
from service.rules.tree_output import MARKS, SYMBOLS, format_effect, format_lookup, format_value

LEDGER_STATES = {
    "p": "planned", "s": "started", "d": "done", "f": "failed", "u": "outcome unknown", "w": "deferred",
    "x": "superseded",
}  # fmt: skip
CLAIM = " (sender's claim)"
"""Mark of a comparison with the delivery, which no platform confirms."""
_UNITS = ((2 * 86_400, "days"), (2 * 3_600, "h"), (120, "min"), (1, "s"))
"""Units of a duration, in seconds, largest first. A unit is used from two of it on."""

_RESULTS = {"matched": "+", "unmatched": "-", "unknown": "?", "error": "!"}


def explain(shown: Mapping[str, Any], documents: Mapping[str, Document], now: datetime) -> Iterator[str]:
    """Yield the lines of the explanation of an event.

    `documents` are the rulebooks of its decisions by version, as far as they are still stored.
    """
    lines = cast("Sequence[dict[str, Any]]", shown["history"])
    received = _first(lines, "received") or shown.get("received")
    yield f"event {shown['id']}: {shown['state']}" + _end(shown)
    if received is not None:
        yield f"  {received['type']} ({received['change']}) from {received['source']} about {received['record']}"
    if shown.get("next_attempt_at"):
        yield f"  {_format_wait(shown, now)}"
    elif shown.get("waiting_for"):
        yield f"  waiting: {shown['waiting_for'].replace('_', ' ')}"
    if differing := shown.get("differing_duplicates"):
        yield f"  {_format_differing(differing)}"
    ledger, behind, decisions = str(shown.get("ledger", "")), shown.get("behind") or (), list(decisions_of(lines))
    if not decisions:
        yield "  not decided"
    for decided in decisions:
        yield from _format_decision(decided, documents.get(decided["rulebook"]), ledger, behind)
        number = len(decided["effects"])
        ledger, behind = ledger[number:], behind[number:]
    for line in lines:
        if line["entry"] in {"effect", "attempt"}:
            yield _format_attempt(line)
            if line.get("exchange"):
                yield from (f"    {text}" for text in format_exchange(line["exchange"]))


def _format_differing(differing: Mapping[str, Any]) -> str:
    paths = [difference["path"] or "the whole body" for difference in differing["differences"] or ()]
    where = f", at {', '.join(paths)}" if paths else ""
    last = f"the last one {differing['last_at']}{where}"
    return f"! duplicates with other content, not processed: {differing['count']}, {last}"


def _format_wait(shown: Mapping[str, Any], now: datetime) -> str:
    reason = str(shown.get("waiting_for") or "retry").replace("_", " ")
    seconds = round((datetime.fromisoformat(shown["next_attempt_at"]) - now).total_seconds())
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size), (1, "s"))
    due = f"in {seconds // size} {unit}" if seconds > 0 else "due now"
    return f"waiting: {reason}; next attempt {shown['next_attempt_at']} ({due})"


def _format_decision(
    decided: Mapping[str, Any], document: Document | None, ledger: str, behind: Sequence[str]
) -> Iterator[str]:
    state = "a deleted record" if decided["gone"] else f"state {decided['digest'][:12]}"
    yield f"decided {_timestamp(decided['at_ms'])} on {state} by rulebook {decided['rulebook']}"
    yield from map(format_lookup, lookups_of(decided))
    rules = {rule.id: rule for rule in document.rules} if document else {}
    effects = cast("Sequence[dict[str, Any]]", decided["effects"])
    for verdict in cast("Sequence[dict[str, Any]]", decided["verdicts"]):
        reason = f": {verdict['reason']}" if verdict.get("reason") else ""
        yield f"{_RESULTS.get(verdict['result'], ' ')} {verdict['rule_id']} {verdict['result']}{reason}"
        for item in evidence_of(verdict):
            yield f"    {_format_item(item, rules.get(verdict['rule_id']))}"
        for index, effect in enumerate(effects):
            if effect["rule_id"] == verdict["rule_id"]:
                yield f"    {LEDGER_STATES.get(ledger[index : index + 1], 'planned')}: {_format_effect(effect)}"
                if any(behind[index : index + 1]):
                    name = f"{effect['rule_id']}.{effect['action_id']}"
                    yield f"      waiting behind effect {name} of event {behind[index]}"


def lookups_of(decided: Mapping[str, Any]) -> Sequence[LookupSummary]:
    """Return the look-ups of a stored decision; none if they cannot be read."""
    try:
        return msgspec.convert(decided.get("lookups", ()), tuple[LookupSummary, ...])
    except msgspec.ValidationError:
        return ()


def _format_effect(effect: Mapping[str, Any]) -> str:
    if effect["action_type"] == RULE_EVALUATION:
        return "evaluation of the rule; a replay evaluates it again"
    return format_effect(effect["action_id"], effect["action_type"], effect["inputs"])


def evidence_of(verdict: Mapping[str, Any]) -> Sequence[EvidenceItem]:
    """Return the stored comparisons of a rule in the order of its condition; none if they cannot be read."""
    try:
        return sorted(read_evidence(verdict.get("because", [])), key=lambda item: (item.path, item.elements))
    except msgspec.ValidationError:
        return ()


def _format_item(item: EvidenceItem, rule: Rule | None) -> str:
    at = f" at element {', '.join(map(str, item.elements))}" if item.elements else ""
    condition = _condition(item, rule)
    comparison = format_condition(condition) if condition is not None else item.path or ROOT
    against = f", compared with {format_value(item.against)}" if item.against is not None else ""
    return f"{MARKS[item.result]} {comparison}{at}: was {format_value(item.actual)}{against}"


def node_id_of(item: EvidenceItem) -> str:
    """Return the id of the node of a comparison, as in `service.rules.condition_nodes`."""
    return ".".join([ROOT, *item.path.replace("[", ".").replace("]", "").split(".")]) if item.path else ROOT


def _condition(item: EvidenceItem, rule: Rule | None) -> Condition | None:
    try:
        return find_node(rule.when, node_id_of(item)).condition if rule is not None else None
    except NodeNotFound:
        return None


def format_condition(condition: Condition) -> str:
    """Format a comparison or a quantifier: `status = received`, `any_of lines`."""
    operator = SYMBOLS.get(str(condition.op), condition.op)
    for node in ("any_of", "all_of", "none_of", "count"):
        field = getattr(condition, node)
        if field is not UNSET:
            return f"{node} {field}" + (f" {operator} {format_value(condition.value)}" if operator is not UNSET else "")
    right = condition.ref if condition.ref is not UNSET else condition.value
    claim = CLAIM if is_claim(condition.field) or is_claim(condition.ref) else ""
    return f"{condition.field} {operator}" + (f" {format_value(right)}" if right is not UNSET else "") + claim


def _format_attempt(line: Mapping[str, Any]) -> str:
    error = f": {line['error_kind']} {line.get('error') or ''}".rstrip() if line.get("error_kind") else ""
    name = f"{line['rule_id']}.{line['action_id']} " if line["entry"] == "effect" else ""
    answer = f" {msgspec.json.encode(line['answer']).decode()}" if line.get("answer") else ""
    return f"attempt {line['attempt']}, {_timestamp(line['at_ms'])}: {name}{line['outcome']}{error}{answer}"


def _first(lines: Sequence[dict[str, Any]], entry: str) -> dict[str, Any] | None:
    return next((line for line in lines if line["entry"] == entry), None)


def _end(shown: Mapping[str, Any]) -> str:
    return "".join(f", {shown[name]}" for name in ("outcome", "error_kind") if shown.get(name))


def _timestamp(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
