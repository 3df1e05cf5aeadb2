"""Compiles a condition tree into one closure: given a scope it answers true, false or unknown (Kleene's logic).

Deciding and explaining are the same closures. Without a trace they stop as soon as the answer is certain, and look at
cheap children first, which cannot change an answer of Kleene's; with a trace every node is visited in written order.
Lists are in `quantifiers.py`, single comparisons in `operands.py`.
"""

import difflib
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import UNSET, Struct

from service.errors import ConfigError
from service.rules.compiler.operands import Comparison, build_comparison
from service.rules.compiler.operators import OPERATORS, Less, Operator, negate
from service.rules.fields import Field, FieldScope
from service.rules.limits import CONDITION_DEPTH_MAX, CONDITION_NODES_MAX
from service.rules.scope import Scope, Value
from service.rules.syntax import Condition
from service.rules.trace import Node, Trace, Truth

Evaluator = Callable[[Scope, Any, Trace | None], Truth]
"""Takes the scope, what the condition stands on (the scope itself, or an element) and where to explain."""

NODE_KEYS: dict[str, frozenset[str]] = {
    "all": frozenset(), "any": frozenset(), "not_": frozenset(), "any_of": frozenset({"where"}),
    "all_of": frozenset({"where", "min"}), "none_of": frozenset({"where"}),
    "count": frozenset({"where", "op", "value", "ref"}), "field": frozenset({"op", "value", "ref"}),
}  # fmt: skip
"""The words that make a node, each with the keys that may stand beside it."""

OPERATOR_ALIASES = {
    "=": "eq", "==": "eq", "equals": "eq", "is": "eq", "!=": "ne", "<>": "ne", "neq": "ne", "not_equals": "ne",
    "<": "lt", "<=": "le", "lte": "le", ">": "gt", ">=": "ge", "gte": "ge", "regex": "matches", "nin": "not_in",
}  # fmt: skip
"""What operators are called elsewhere."""


class CompiledCondition(Struct, frozen=True):
    """A compiled condition. `cost` orders siblings; `comparison` and `less` let a list loop do without calls."""

    run: Evaluator
    cost: int
    comparison: Comparison | None = None
    less: Less | None = None


class NodeLimit:
    """Counts the nodes of one rule against their bound."""

    def __init__(self) -> None:
        self.nodes = 0

    def count(self, at: str) -> None:
        """Count one node."""
        self.nodes += 1
        if self.nodes > CONDITION_NODES_MAX:
            raise ConfigError(at, f"more than {CONDITION_NODES_MAX} conditions in one rule", "split the rule")


class NodePath(Struct, frozen=True):
    """Where a node stands: `prefix` names the rule, `path` the node within it, `depth` how many are above it."""

    prefix: str
    path: str
    budget: NodeLimit
    depth: int = 1

    @property
    def at(self) -> str:
        """The path a ConfigError names."""
        return f"{self.prefix}.{self.path}"

    def inner(self, word: str) -> "NodePath":
        """Go one node down; refuses to go too deep."""
        if self.depth >= CONDITION_DEPTH_MAX:
            raise ConfigError(self.at, f"conditions are nested deeper than {CONDITION_DEPTH_MAX}", "nest less deeply")
        return NodePath(self.prefix, f"{self.path}.{word}", self.budget, self.depth + 1)


def parse_node_kind(node: Condition, at: str) -> str:
    """Tell which kind of node this is.

    Raises:
        ConfigError: none, several, or a key that does not belong to it.
    """
    given = [name for name in Condition.__struct_fields__ if getattr(node, name) is not UNSET]
    words = [name for name in given if name in NODE_KEYS]
    if len(words) != 1:
        reason = f"{' and '.join(words)} stand together" if words else "says nothing"
        raise ConfigError(
            at, reason.replace("not_", "not"), "give it one of all, any, not, any_of, all_of, none_of, count, field"
        )
    word = words[0]
    strays = set(given) - {word} - NODE_KEYS[word]
    if strays:
        raise ConfigError(f"{at}.{min(strays)}", f"does not belong to {word}", "remove it, or check the indentation")
    return word


def find_operator(node: Condition, at: str) -> Operator:
    """Find the operator by its name.

    Raises:
        ConfigError: there is none of that name.
    """
    if node.op is UNSET:
        raise ConfigError(f"{at}.op", "is missing", f"take one of {', '.join(OPERATORS)}")
    name = node.op
    if name not in OPERATORS:
        word = name[:64].lower()
        near = [OPERATOR_ALIASES[word]] if word in OPERATOR_ALIASES else difflib.get_close_matches(word, OPERATORS, 1)
        fix = f"did you mean {near[0]}?" if near else f"take one of {', '.join(OPERATORS)}"
        raise ConfigError(f"{at}.op", f"no operator {name[:64]!r}", fix)
    return OPERATORS[name]


def compile_comparison(node: Condition, place: FieldScope, node_path: NodePath) -> CompiledCondition:
    """Compile one comparison."""
    operator = find_operator(node, node_path.at)
    comparison = build_comparison(node, operator, place, node_path.at)
    field, right = comparison.field, comparison.right
    traced = Node(node_path.path, operator.name, field, right.personal, right.path)
    # An attrgetter is one call in C; any other reader runs Python.
    cost = 1 if field.attribute or field.read.__class__.__name__ == "attrgetter" else 2
    run = _compare_with_constant(comparison, traced) if right.read is None else _compare(comparison, traced)
    return CompiledCondition(run, cost, comparison, operator.less)


def _compare_with_constant(comparison: Comparison, traced: Node) -> Evaluator:
    field, decide, right = comparison.field, comparison.decide, comparison.right
    read, rooted, expected = field.read, field.rooted, right.constant

    def run(scope: Scope, here: Value, trace: Trace | None) -> Truth:
        seen = read(scope if rooted else here)
        result = decide(seen, expected)
        if trace is not None:
            trace.leaf(traced, result, seen, right.shown(expected))
        return result

    return run


def _compare(comparison: Comparison, traced: Node) -> Evaluator:
    field, decide, right = comparison.field, comparison.decide, comparison.right
    read, rooted, read_right, rooted_right = field.read, field.rooted, right.read, right.rooted
    assert read_right is not None  # the caller's branch

    def run(scope: Scope, here: Value, trace: Trace | None) -> Truth:
        seen = read(scope if rooted else here)
        expected = read_right(scope if rooted_right else here)
        result = decide(seen, expected)
        if trace is not None:
            trace.leaf(traced, result, seen, right.shown(expected))
        return result

    return run


def compile_all(tests: list[CompiledCondition], traced: Node) -> CompiledCondition:
    """Kleene's and: false as soon as one is false, else unknown if one is, else true."""
    return _gather(tests, traced, decisive=False)


def compile_any(tests: list[CompiledCondition], traced: Node) -> CompiledCondition:
    """Kleene's or: true as soon as one is true, else unknown if one is, else false."""
    return _gather(tests, traced, decisive=True)


def _gather(tests: list[CompiledCondition], traced: Node, *, decisive: bool) -> CompiledCondition:
    written = [test.run for test in tests]
    quick = tuple(test.run for test in sorted(tests, key=lambda test: test.cost))
    otherwise = not decisive

    def run(scope: Scope, here: Value, trace: Trace | None) -> Truth:
        if trace is not None and trace.brief:
            return _settle(quick, scope, here, trace, decisive=decisive)
        if trace is not None and trace.unknown_only:
            return _follow(written, scope, here, trace)
        if trace is not None:
            result = _sum_up([child(scope, here, trace) for child in written], decisive=decisive)
            trace.branch(traced, result)
            return result
        result = otherwise
        for child in quick:
            answer = child(scope, here, None)
            if answer is decisive:
                return decisive
            if answer is None:
                result = None
        return result

    return CompiledCondition(run, sum(test.cost for test in tests))


def _sum_up(results: Sequence[Truth], *, decisive: bool) -> Truth:
    if decisive in results:
        return decisive
    return None if None in results else not decisive


def _follow(written: Sequence[Evaluator], scope: Scope, here: Value, trace: Trace) -> Truth:
    """Hand the trace to the first unknown child; beside a child that settled the answer, one would explain nothing."""
    for child in written:
        if child(scope, here, None) is None:
            child(scope, here, trace)
            break
    return None


def _settle(quick: Sequence[Evaluator], scope: Scope, here: Value, trace: Trace, *, decisive: bool) -> Truth:
    """Stop as deciding does; what was noted before the child that settled it is dropped."""
    begin = trace.mark()
    result: Truth = not decisive
    for child in quick:
        before = trace.mark()
        answer = child(scope, here, trace)
        if answer is decisive:
            trace.drop(begin, before)
            return decisive
        if answer is None:
            result = None
    return result


def compile_not(test: CompiledCondition, traced: Node) -> CompiledCondition:
    """Kleene's not."""
    inner = test.run

    def run(scope: Scope, here: Value, trace: Trace | None) -> Truth:
        result = negate(inner(scope, here, trace))
        if trace is not None:
            trace.branch(traced, result)
        return result

    return CompiledCondition(run, test.cost)


def trace_node(word: str, node_path: NodePath, field: Field | None = None) -> Node:
    """Name a node for the trace."""
    return Node(node_path.path, word, field)
