"""Text of conditions, and the stored comparisons of a rule. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from service.rules.condition_nodes import LISTS, ROOT
from service.rules.delivery_fields import is_claim
from service.rules.evidence import EvidenceItem, read_evidence
from service.rules.syntax import Condition
from service.rules.tree_output import SYMBOLS, format_value

CLAIM = " (sender's claim)"
"""Mark of a comparison with the delivery, which no platform confirms."""


def evidence_of(verdict: Mapping[str, Any]) -> Sequence[EvidenceItem]:
    """Return the stored comparisons of a rule in the order of its condition; none if they cannot be read."""
    try:
        return sorted(read_evidence(verdict.get("because", [])), key=lambda item: (item.path, item.elements))
    except msgspec.ValidationError:
        return ()


def node_id_of(item: EvidenceItem) -> str:
    """Return the id of the node of a comparison, as in `service.rules.condition_nodes`."""
    return ".".join([ROOT, *item.path.replace("[", ".").replace("]", "").split(".")]) if item.path else ROOT


def format_condition(condition: Condition) -> str:
    """Format a comparison or a quantifier: `status = received`, `any_of lines`."""
    operator = SYMBOLS.get(str(condition.op), condition.op)
    for node in LISTS:
        field = getattr(condition, node)
        if field is not UNSET:
            return f"{node} {field}" + (f" {operator} {format_value(condition.value)}" if operator is not UNSET else "")
    right = condition.ref if condition.ref is not UNSET else condition.value
    claim = CLAIM if is_claim(condition.field) or is_claim(condition.ref) else ""
    return f"{condition.field} {operator}" + (f" {format_value(right)}" if right is not UNSET else "") + claim
