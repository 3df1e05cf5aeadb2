"""Explanation of a stored decision: every rule as a tree, with the result and the value seen of each node."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from service.errors import ConfigError, Rejection
from service.management.event_filter import format_timestamp
from service.management.event_view import EventView, locate_event
from service.management.rulebook import RulebookOperations
from service.rules import Rule
from service.rules.condition_nodes import ROOT, ConditionNode, list_nodes
from service.rules.evidence import EvidenceItem
from service.rules.explain import evidence_of, format_condition, lookups_of, node_id_of
from service.rules.lookups import LookupSummary
from service.rules.stored_decisions import RULE_EVALUATION, decisions_of
from service.rules.trace import Truth

BRANCHES = {"all": "all of", "any": "any of", "not": "not"}
SETTLING = {"any_of": (True, True), "none_of": (True, False), "all_of": (False, False)}
"""Result of one element that settles a list, and the result of the list."""

_RESULTS: Mapping[str, Truth] = {"matched": True, "unmatched": False}


class ExplainedNode(Struct, frozen=True, kw_only=True):
    """Node of a condition. `evaluated` is False if another node settled the result first.

    `actual` is the value seen, `against` the right operand if it is not a literal. `element` is the index of the list
    element, None outside of lists.
    """

    depth: int
    text: str
    result: Truth
    evaluated: bool
    actual: Any = None
    against: Any = None
    element: int | None = None
    has_value: bool = False


class ExplainedRule(Struct, frozen=True, kw_only=True):
    """Result of a rule, with its nodes. Without the stored rulebook the nodes are the stored comparisons alone."""

    rule_id: str
    name: str | None
    result: str
    reason: str | None
    nodes: Sequence[ExplainedNode]
    actions: Sequence[str]


class Explanation(Struct, frozen=True, kw_only=True):
    """Explanation of a decision, with the results of failed rules that replays evaluated again.

    `complete` is False if a rulebook version is no longer stored.
    """

    event_id: str
    at: str
    rulebook: str
    digest: str
    previous_digest: str
    version: str | None
    gone: bool
    stale: bool
    complete: bool
    lookups: Sequence[LookupSummary]
    rules: Sequence[ExplainedRule]


class ExplanationOperations(RulebookOperations):
    """Explanations of decisions."""

    async def explain_event(self, event_id: str) -> Explanation | None:
        """Return the explanation of the decision on an event; None before the decision.

        Raises:
            Rejection: 404 `not_found`.
            StoreUnavailable: A store does not answer.
        """
        _, shown = await locate_event(self.stores, event_id)
        return await self.explain_history(shown["id"], shown["history"])

    async def explain_view(self, view: EventView) -> Explanation | None:
        """Return the explanation of the decision in the view of an event."""
        return await self.explain_history(view.id, view.history)

    async def explain_history(self, event_id: str, history: Sequence[Mapping[str, Any]]) -> Explanation | None:
        """Return the explanation of the decision in a history; None before the decision.

        Raises:
            StoreUnavailable: A store does not answer.
        """
        decisions = list(decisions_of(history))
        if not decisions:
            return None
        explained: dict[str, ExplainedRule] = {}
        complete = True
        for entry in decisions:
            rules = await self._rules_of(entry["rulebook"])
            complete = complete and rules is not None
            for verdict in entry["verdicts"]:
                explained[verdict["rule_id"]] = _explain_rule(verdict, (rules or {}).get(verdict["rule_id"]), entry)
        decided = decisions[0]
        return Explanation(
            event_id=event_id,
            at=format_timestamp(decided["at_ms"]),
            rulebook=decided["rulebook"],
            digest=decided["digest"],
            previous_digest=decided["previous_digest"],
            version=decided.get("version"),
            gone=decided["gone"],
            stale=decided.get("stale", False),
            complete=complete,
            lookups=[each for entry in decisions for each in lookups_of(entry)],
            rules=list(explained.values()),
        )

    async def _rules_of(self, version: str) -> Mapping[str, Rule] | None:
        """Return the rules of a stored rulebook by id; None if it is no longer stored."""
        try:
            return {rule.id: rule for rule in (await self.get_rulebook(version)).document.rules}
        except (Rejection, ConfigError):
            return None


def _explain_rule(verdict: Mapping[str, Any], rule: Rule | None, decided: Mapping[str, Any]) -> ExplainedRule:
    items = evidence_of(verdict)
    nodes = list_nodes(rule.when) if rule else ()
    tree = list(_explain_nodes(nodes, items, verdict["result"])) if nodes else [_bare(item) for item in items]
    effects = (
        effect
        for effect in decided["effects"]
        if effect["rule_id"] == verdict["rule_id"] and effect["action_type"] != RULE_EVALUATION
    )
    return ExplainedRule(
        rule_id=verdict["rule_id"],
        name=rule.name if rule else None,
        result=verdict["result"],
        reason=verdict.get("reason"),
        nodes=tree,
        actions=[effect["action_id"] for effect in effects],
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
        element=item.elements[-1] if item.elements else None,
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
        elif node.word == "not" and known:
            results[node.id] = None if known[0] is None else not known[0]
        elif node.word in {"all", "any"} and known:
            settles = node.word == "any"
            if settles in known:
                results[node.id] = settles
            elif len(known) == len(children):
                results[node.id] = None if None in known else not settles
    return results
