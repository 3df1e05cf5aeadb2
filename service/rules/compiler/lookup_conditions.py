"""Conditions of rules with look-ups: evaluated last if they need a record, and unknown if there is none."""

from msgspec import UNSET, structs

from service.rules.compiler.conditions import CompiledCondition
from service.rules.fields import FieldScope
from service.rules.lookups import LookupFailed, LookupUnavailable
from service.rules.scope import Scope, Value
from service.rules.trace import Node, Trace, Truth

LOOKUP_COST = 1_000
"""Cost of a condition that may need a call to a platform: the conditions without one are evaluated first."""


def with_lookups(condition: CompiledCondition, fields: FieldScope, node: Node, *, is_costly: bool) -> CompiledCondition:
    """Return the condition of a node. `is_costly` says that an inner condition needs a record."""
    if not fields.lookups:
        return condition
    inner, paths = condition.run, (node.field.path if node.field else "", node.against or "")
    is_costly = is_costly or any(fields.is_lookup(path) for path in paths)

    def run(scope: Scope, current: Value, trace: Trace | None) -> Truth:
        try:
            return inner(scope, current, trace)
        except (LookupUnavailable, LookupFailed) as error:
            # A full trace continues after a failed look-up, which without a trace may never be read.
            if isinstance(error, LookupFailed) and (trace is None or trace.brief):
                raise
            if trace is not None:
                trace.leaf(node, None, UNSET, UNSET, str(error))
            return None

    return structs.replace(condition, run=run, cost=LOOKUP_COST if is_costly else condition.cost)


def comparison_with_lookups(condition: CompiledCondition, fields: FieldScope, path: str) -> CompiledCondition:
    """Return the condition of a comparison, whose node has the position `path`."""
    comparison = condition.comparison
    if comparison is None:
        return condition
    right = comparison.right
    node = Node(path, condition.operator or "", comparison.field, right.personal, right.path)
    return with_lookups(condition, fields, node, is_costly=False)
