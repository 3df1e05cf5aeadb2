"""Compiler of condition trees: a tree becomes one closure that returns true, false or unknown (Kleene logic).

The same closures evaluate and trace. Without a trace they stop as soon as the result is certain, and evaluate cheap
children first, which does not change a result of Kleene logic. With a trace they visit every node in the order of the
rule. Quantifiers are in `quantifiers.py`, comparisons in `operands.py`.
"""

import difflib
import re
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import UNSET, Struct

from service.errors import ConfigError, ConfigErrors
from service.mistakes import Mistakes
from service.rules.compiler.operands import Comparison, build_comparison, resolve_operand
from service.rules.compiler.operators import OPERATORS, Less, Operator, negate
from service.rules.fields import Field, FieldScope
from service.rules.limits import CONDITION_DEPTH_MAX, CONDITION_NODES_MAX
from service.rules.scope import Scope, Value
from service.rules.syntax import Condition
from service.rules.trace import Node, Trace, Truth

Evaluator = Callable[[Scope, Any, Trace | None], Truth]
"""Evaluates a condition. Its arguments are the scope, the current element (or the scope itself) and the trace."""

NODE_KEYS: dict[str, frozenset[str]] = {
    "all": frozenset(), "any": frozenset(), "not_": frozenset(), "any_of": frozenset({"where"}),
    "all_of": frozenset({"where", "min"}), "none_of": frozenset({"where"}),
    "count": frozenset({"where", "op", "value", "ref"}), "field": frozenset({"op", "value", "ref", "as_"}),
}  # fmt: skip
"""The keys that determine the kind of a node, each with its additional keys."""

OPERATOR_ALIASES = {
    "=": "eq", "==": "eq", "equals": "eq", "is": "eq", "!=": "ne", "<>": "ne", "neq": "ne", "not_equals": "ne",
    "<": "lt", "<=": "le", "lte": "le", ">": "gt", ">=": "ge", "gte": "ge", "regex": "matches", "nin": "not_in",
}  # fmt: skip
"""Names of operators in other languages."""


_QUANTIFIED = re.compile(r"\.(any_of|all_of|none_of|count)\.where")


class CompiledCondition(Struct, frozen=True):
    """A compiled condition.

    Siblings are evaluated in the order of `cost`. With `comparison`, `less` and `operator` a search in a list needs no
    calls. `children` are those of `all`, `any` and `not`, which is then the `operator`.
    """

    run: Evaluator
    cost: int
    comparison: Comparison | None = None
    less: Less | None = None
    operator: str | None = None
    children: Sequence["CompiledCondition"] = ()


class NodeLimit:
    """Limit on the number of nodes in one rule."""

    def __init__(self) -> None:
        self.nodes = 0

    @property
    def is_exceeded(self) -> bool:
        """Whether the rule has too many nodes."""
        return self.nodes > CONDITION_NODES_MAX

    def count(self, at: str) -> None:
        """Count one node.

        Raises:
            ConfigError: the rule has too many nodes.
        """
        self.nodes += 1
        if self.is_exceeded:
            raise ConfigError(at, f"more than {CONDITION_NODES_MAX} conditions in one rule", "split the rule")


class NodePath(Struct, frozen=True):
    """The position of a node: `prefix` is the path of the rule, `path` that of the node in it, `depth` its level."""

    prefix: str
    path: str
    limit: NodeLimit
    depth: int = 1

    @property
    def at(self) -> str:
        """The path for a ConfigError, as in the file: `where` is a key beside the key of its quantifier."""
        return f"{self.prefix}.{_QUANTIFIED.sub('.where', self.path)}"

    def inner(self, step: str) -> "NodePath":
        """Return the position of a child node.

        Raises:
            ConfigError: the nesting is too deep.
        """
        if self.depth >= CONDITION_DEPTH_MAX:
            raise ConfigError(self.at, f"conditions are nested deeper than {CONDITION_DEPTH_MAX}", "nest less deeply")
        return NodePath(self.prefix, f"{self.path}.{step}", self.limit, self.depth + 1)


def parse_node_kind(node: Condition, at: str) -> str:
    """Return the key that determines the kind of a node.

    Raises:
        ConfigError: the node has no such key, several, or an additional key of another kind.
    """
    keys = [name for name in Condition.__struct_fields__ if getattr(node, name) is not UNSET]
    kinds = [name for name in keys if name in NODE_KEYS]
    if len(kinds) != 1:
        reason = f"{' and '.join(kinds)} cannot be combined in one node" if kinds else "is not a condition"
        raise ConfigError(
            at, reason.replace("not_", "not"), "use one of all, any, not, any_of, all_of, none_of, count, field"
        )
    kind = kinds[0]
    unexpected = set(keys) - {kind} - NODE_KEYS[kind]
    if unexpected:
        reason = f"does not belong to {kind}"
        raise ConfigError(f"{at}.{min(unexpected).rstrip('_')}", reason, "remove it, or check the indentation")
    return kind


def find_operator(node: Condition, at: str) -> Operator:
    """Find the operator of a node.

    Raises:
        ConfigError: the node has no operator, or there is no operator with this name.
    """
    if node.op is UNSET:
        raise ConfigError(f"{at}.op", "is missing", f"use one of {', '.join(OPERATORS)}")
    name = node.op
    if name not in OPERATORS:
        lower = name[:64].lower()
        alias = OPERATOR_ALIASES.get(lower)
        near = [alias] if alias else difflib.get_close_matches(lower, OPERATORS, 1)
        fix = f"did you mean {near[0]}?" if near else f"use one of {', '.join(OPERATORS)}"
        raise ConfigError(f"{at}.op", f"no operator {name[:64]!r}", fix)
    return OPERATORS[name]


def all_node_mistakes(error: ConfigError, node: Condition, fields: FieldScope, node_path: NodePath) -> ConfigErrors:
    """Return the mistakes of an error, and those in the operator and the fields of the same node."""
    at, mistakes = node_path.at, Mistakes()
    mistakes.add(error)
    if node.op is not UNSET:
        with mistakes.collect():
            find_operator(node, at)
    for name, path in (("field", node.field), ("ref", node.ref)):
        if path is not UNSET:
            with mistakes.collect():
                resolve_operand(path, fields, f"{at}.{name}")
    return mistakes.unique()


def compile_comparison(node: Condition, fields: FieldScope, node_path: NodePath) -> CompiledCondition:
    """Compile one comparison.

    Raises:
        ConfigErrors: all mistakes in the operator and the fields, or the mistake in how they fit together.
    """
    try:
        operator = find_operator(node, node_path.at)
        comparison = build_comparison(node, operator, fields, node_path.at)
    except ConfigError as error:
        raise all_node_mistakes(error, node, fields, node_path) from None
    field, right = comparison.field, comparison.right
    traced = Node(node_path.path, operator.name, field, right.personal, right.path)
    # An attrgetter is one call in C; any other reader runs Python code.
    cost = 1 if field.attribute or field.read.__class__.__name__ == "attrgetter" else 2
    run = _compare_with_constant(comparison, traced) if right.read is None else _compare(comparison, traced)
    return CompiledCondition(run, cost, comparison, operator.less, operator.name)


def _compare_with_constant(comparison: Comparison, traced: Node) -> Evaluator:
    field, compare, right = comparison.field, comparison.compare, comparison.right
    read, rooted, expected = field.read, field.rooted, right.constant

    def run(scope: Scope, current: Value, trace: Trace | None) -> Truth:
        actual = read(scope if rooted else current)
        result = compare(actual, expected)
        if trace is not None:
            trace.leaf(traced, result, actual, right.shown(expected))
        return result

    return run


def _compare(comparison: Comparison, traced: Node) -> Evaluator:
    field, compare, right = comparison.field, comparison.compare, comparison.right
    read, rooted, read_right, rooted_right = field.read, field.rooted, right.read, right.rooted
    assert read_right is not None  # the caller's branch

    def run(scope: Scope, current: Value, trace: Trace | None) -> Truth:
        actual = read(scope if rooted else current)
        expected = read_right(scope if rooted_right else current)
        result = compare(actual, expected)
        if trace is not None:
            trace.leaf(traced, result, actual, right.shown(expected))
        return result

    return run


def compile_all(tests: list[CompiledCondition], traced: Node) -> CompiledCondition:
    """Kleene's and: false if one is false, else unknown if one is unknown, else true."""
    return _combine(tests, traced, decisive=False)


def compile_any(tests: list[CompiledCondition], traced: Node) -> CompiledCondition:
    """Kleene's or: true if one is true, else unknown if one is unknown, else false."""
    return _combine(tests, traced, decisive=True)


def _combine(tests: list[CompiledCondition], traced: Node, *, decisive: bool) -> CompiledCondition:
    in_order = [test.run for test in tests]
    by_cost = tuple(test.run for test in sorted(tests, key=lambda test: test.cost))
    default = not decisive

    def trace_all(scope: Scope, current: Value, trace: Trace) -> Truth:
        if trace.unknown_only:
            return _trace_first_unknown(in_order, scope, current, trace)
        result = _combine_results([child(scope, current, trace) for child in in_order], decisive=decisive)
        trace.branch(traced, result)
        return result

    def run(scope: Scope, current: Value, trace: Trace | None) -> Truth:
        if trace is not None and trace.brief:
            return _collect_evidence(by_cost, scope, current, trace, decisive=decisive)
        if trace is not None:
            return trace_all(scope, current, trace)
        result = default
        for child in by_cost:
            child_result = child(scope, current, None)
            if child_result is decisive:
                return decisive
            if child_result is None:
                result = None
        return result

    return CompiledCondition(run, sum(test.cost for test in tests), operator=traced.name, children=tuple(tests))


def _combine_results(results: Sequence[Truth], *, decisive: bool) -> Truth:
    if decisive in results:
        return decisive
    return None if None in results else not decisive


def _trace_first_unknown(in_order: Sequence[Evaluator], scope: Scope, current: Value, trace: Trace) -> Truth:
    """Trace the first unknown child only. The result is unknown, so no other child settled it."""
    for child in in_order:
        if child(scope, current, None) is None:
            child(scope, current, trace)
            break
    return None


def _collect_evidence(
    by_cost: Sequence[Evaluator], scope: Scope, current: Value, trace: Trace, *, decisive: bool
) -> Truth:
    """Stop at the first decisive child, and drop the evidence of the children before it."""
    kept = trace.kept
    begin = before = len(kept)
    result: Truth = not decisive
    for child in by_cost:
        child_result = child(scope, current, trace)
        if child_result is decisive:
            if before > begin:
                del kept[begin:before]
            return decisive
        before = len(kept)
        if child_result is None:
            result = None
    return result


def compile_not(test: CompiledCondition, traced: Node) -> CompiledCondition:
    """Kleene's not: unknown stays unknown."""
    inner = test.run

    def run(scope: Scope, current: Value, trace: Trace | None) -> Truth:
        result = negate(inner(scope, current, trace))
        if trace is not None:
            trace.branch(traced, result)
        return result

    return CompiledCondition(run, test.cost, operator=traced.name, children=(test,))


def trace_node(name: str, node_path: NodePath, field: Field | None = None) -> Node:
    """Build the description of a node for the trace."""
    return Node(node_path.path, name, field)
