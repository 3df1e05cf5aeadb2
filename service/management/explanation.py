"""Explanation of an event: decisions with every rule as a tree, effects, attempts with their exchanges, and the wait.

The admin API, `waybill explain` and the console show this explanation.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct, structs

from service.errors import ConfigError, Rejection
from service.management.event_filter import format_timestamp
from service.management.event_search import EventOperations
from service.management.event_view import EffectView, EventFacts, EventView
from service.management.rulebook import RulebookOperations
from service.rules import Rule
from service.rules.applying_rules import UnevaluatedRule, unevaluated_rules
from service.rules.condition_nodes import ROOT, ConditionNode, list_nodes
from service.rules.condition_text import evidence_of, format_condition, node_id_of
from service.rules.evidence import EvidenceItem
from service.rules.lookups import LookupSummary
from service.rules.rulebook_document import Document
from service.rules.stored_decisions import decisions_of
from service.rules.trace import Truth

BRANCHES = {"all": "all of", "any": "any of", "not": "not"}
SETTLING = {"any_of": (True, True), "none_of": (True, False), "all_of": (False, False)}
"""Result of one element that settles a list, and the result of the list."""

_RESULTS: Mapping[str, Truth] = {"matched": True, "unmatched": False}


class ExplainedNode(Struct, frozen=True, kw_only=True):
    """Node of a condition. `evaluated` is False if another node settled the result first.

    `actual` is the value seen, `against` the right operand if it is not a literal. `elements` are the indexes of the
    list elements, outermost list first. Values are shown if `has_value` is True.
    """

    depth: int
    text: str
    result: Truth
    evaluated: bool
    actual: Any = None
    against: Any = None
    elements: Sequence[int] = ()
    has_value: bool = False


class ExplainedRule(Struct, frozen=True, kw_only=True):
    """Result of a rule, with its nodes and effects.

    Without the stored rulebook the nodes are the stored comparisons alone.
    """

    rule_id: str
    name: str | None
    result: str
    reason: str | None
    nodes: Sequence[ExplainedNode]
    effects: Sequence[EffectView]


class ExplainedDecision(Struct, frozen=True, kw_only=True):
    """Decision by a rulebook version. `complete` is False if that version is no longer stored.

    `digest` identifies the evaluated state of the record, `gone` is True for a deleted record, `stale` for a state
    older than the event. `lookups` are the records that rules looked up. `not_evaluated` are the rules that apply to
    the event behind one that matched with `stop`.
    """

    at: str
    attempt: int
    rulebook: str
    complete: bool
    digest: str
    previous_digest: str
    version: str | None
    gone: bool
    stale: bool
    lookups: Sequence[LookupSummary]
    rules: Sequence[ExplainedRule]
    not_evaluated: Sequence[UnevaluatedRule] = ()


class ExplainedAttempt(Struct, frozen=True, kw_only=True):
    """Ended attempt of an event, or of one of its effects if `rule_id` and `action_id` are set.

    `exchange` has the request and the response. `answer` is the result of an action without an exchange.
    """

    at: str
    attempt: int
    outcome: str
    duration_ms: float
    rule_id: str | None
    action_id: str | None
    error_kind: str | None
    error: str | None
    answer: Any
    exchange: Mapping[str, Any] | None


class Explanation(EventFacts, frozen=True, kw_only=True):
    """Explanation of an event.

    `decisions` is empty before the decision. A replay of failed rules adds a decision on these rules. `attempts` are
    in their order.
    """

    decisions: Sequence[ExplainedDecision]
    attempts: Sequence[ExplainedAttempt]


class ExplanationOperations(EventOperations, RulebookOperations):
    """Explanations of events."""

    async def explain_event(self, event_id: str, *, raw: bool) -> Explanation:
        """Return the explanation of an event.

        Raises:
            Rejection: 403 `permission_denied`: `raw` without the role admin; 404 `not_found`.
            StoreUnavailable: A store does not answer.
        """
        return await self.explain_view(await self.get_event(event_id, raw=raw))

    async def explain_view(self, view: EventView) -> Explanation:
        """Return the explanation of an event from its view.

        Raises:
            StoreUnavailable: A store does not answer.
        """
        versions = {decided["rulebook"] for decided in decisions_of(view.history)}
        documents = {version: await self._document_of(version) for version in versions}
        return build_explanation(view, documents)

    async def _document_of(self, version: str) -> Document | None:
        try:
            return (await self.get_rulebook(version)).document
        except (Rejection, ConfigError):
            return None


def build_explanation(view: EventView, documents: Mapping[str, Document | None]) -> Explanation:
    """Build the explanation of an event. `documents` are the stored rulebooks of its decisions by version."""
    effects = list(view.effects)
    decisions: list[ExplainedDecision] = []
    for decided in decisions_of(view.history):
        number = len(decided["effects"])
        made = _explain_decision(decided, documents.get(decided["rulebook"]), effects[:number])
        # A later decision is about failed rules alone.
        decisions.append(made if decisions else _with_unevaluated(made, view, documents.get(decided["rulebook"])))
        effects = effects[number:]
    attempts = [_explain_attempt(entry) for entry in view.history if entry["entry"] in {"effect", "attempt"}]
    facts = {name: getattr(view, name) for name in EventFacts.__struct_fields__}
    return Explanation(**facts, decisions=decisions, attempts=attempts)


def _explain_decision(
    decided: Mapping[str, Any], document: Document | None, effects: Sequence[EffectView]
) -> ExplainedDecision:
    rules = {rule.id: rule for rule in document.rules} if document else {}
    return ExplainedDecision(
        at=format_timestamp(decided["at_ms"]),
        attempt=decided["attempt"],
        rulebook=decided["rulebook"],
        complete=document is not None,
        digest=decided["digest"],
        previous_digest=decided["previous_digest"],
        version=decided.get("version"),
        gone=decided["gone"],
        stale=decided.get("stale", False),
        lookups=_lookups_of(decided),
        rules=[_explain_rule(verdict, rules.get(verdict["rule_id"]), effects) for verdict in decided["verdicts"]],
    )


def _with_unevaluated(decision: ExplainedDecision, view: EventView, document: Document | None) -> ExplainedDecision:
    if document is None or ":" not in view.record:
        return decision
    results = {rule.rule_id: rule.result for rule in decision.rules}
    kind = view.record.split(":")[1]
    found = unevaluated_rules(document.rules, results, kind, view.change, view.source)
    return structs.replace(decision, not_evaluated=found)


def _lookups_of(decided: Mapping[str, Any]) -> Sequence[LookupSummary]:
    """Return the look-ups of a stored decision; none if they cannot be read."""
    try:
        return msgspec.convert(decided.get("lookups", ()), tuple[LookupSummary, ...])
    except msgspec.ValidationError:
        return ()


def _explain_attempt(entry: Mapping[str, Any]) -> ExplainedAttempt:
    optional: dict[str, Any] = {
        name: entry.get(name) for name in ("rule_id", "action_id", "error_kind", "error", "answer", "exchange")
    }
    return ExplainedAttempt(
        at=format_timestamp(entry["at_ms"]),
        attempt=entry["attempt"],
        outcome=entry["outcome"],
        duration_ms=entry["duration_ms"],
        **optional,
    )


def _explain_rule(verdict: Mapping[str, Any], rule: Rule | None, effects: Sequence[EffectView]) -> ExplainedRule:
    items = evidence_of(verdict)
    nodes = list_nodes(rule.when) if rule else ()
    tree = list(_explain_nodes(nodes, items, verdict["result"])) if nodes else [_bare(item) for item in items]
    return ExplainedRule(
        rule_id=verdict["rule_id"],
        name=rule.name if rule else None,
        result=verdict["result"],
        reason=verdict.get("reason"),
        nodes=tree,
        effects=[effect for effect in effects if effect.rule_id == verdict["rule_id"]],
    )


def _bare(item: EvidenceItem) -> ExplainedNode:
    return _seen(item, item.path or ROOT, 0)


def _explain_nodes(
    nodes: Sequence[ConditionNode], items: Sequence[EvidenceItem], result: str
) -> Iterator[ExplainedNode]:
    """Yield the nodes, parents before their children. A node in a list occurs once per element with a comparison."""
    found: dict[str, list[EvidenceItem]] = {}
    for item in items:
        found.setdefault(node_id_of(item), []).append(item)
    results = _infer(nodes, found) | ({} if nodes[0].id in found else {nodes[0].id: _RESULTS.get(result)})
    depths: dict[str | None, int] = {None: -1}
    for node in nodes:
        depths[node.id] = depth = depths[node.parent] + 1
        text = BRANCHES.get(node.word) or format_condition(node.condition)
        if node.id in found:
            yield from (_seen(item, text, depth) for item in found[node.id])
        else:
            known = node.id in results
            yield ExplainedNode(depth=depth, text=text, result=results.get(node.id), evaluated=known)


def _seen(item: EvidenceItem, text: str, depth: int) -> ExplainedNode:
    return ExplainedNode(
        depth=depth,
        text=text,
        result=item.result,
        evaluated=True,
        actual=item.actual,
        against=item.against,
        elements=item.elements,
        has_value=True,
    )


def _infer(nodes: Sequence[ConditionNode], found: Mapping[str, Sequence[EvidenceItem]]) -> dict[str, Truth]:
    """Return the results that follow from the stored comparisons: of branches, and of lists with a settling element."""
    results: dict[str, Truth] = {node: items[0].result for node, items in found.items() if not items[0].elements}
    for node in reversed(nodes):  # children come after their parents
        children = [child.id for child in nodes if child.parent == node.id]
        known = [results[child] for child in children if child in results]
        elements = [item.result for child in children for item in found.get(child, ())]
        if node.id in results:
            continue
        if node.word in SETTLING and SETTLING[node.word][0] in elements:
            results[node.id] = SETTLING[node.word][1]
        elif known:
            for result in _combine(node.word, known, complete=len(known) == len(children)):
                results[node.id] = result
    return results


def _combine(word: str, known: Sequence[Truth], *, complete: bool) -> Iterator[Truth]:
    """Yield the result of a branch, if the known results of its children settle it."""
    if word == "not":
        yield None if known[0] is None else not known[0]
    elif word in {"all", "any"}:
        settles = word == "any"
        if settles in known:
            yield settles
        elif complete:
            yield None if None in known else not settles
