"""Compiles the list words: `any_of`, `all_of`, `none_of` and `count`, and with them whole trees (`compile_condition`).

An empty list: `any_of` is false, `none_of` true, `all_of` false unless `min: 0` says otherwise, `count` counts 0. A
list that is absent, null, no list or too long is unknown.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, Struct

from service.errors import ConfigError
from service.rules.compiler.conditions import (
    CompiledCondition,
    Evaluator,
    NodePath,
    compile_all,
    compile_any,
    compile_comparison,
    compile_not,
    find_operator,
    parse_node_kind,
    trace_node,
)
from service.rules.compiler.list_loops import LoopSearch, compile_loop
from service.rules.compiler.literals import format_literal
from service.rules.compiler.operators import Comparator, negate
from service.rules.fields import Field, FieldScope, resolve
from service.rules.limits import ELEMENTS_MAX, NESTED_ELEMENTS_MAX, QUANTIFIER_DEPTH_MAX
from service.rules.scope import Scope, Value
from service.rules.syntax import Condition
from service.rules.trace import Node, Trace, Truth

LISTS = frozenset({tuple, list})


def compile_condition(node: Condition, place: FieldScope, node_path: NodePath) -> CompiledCondition:
    """Compile a condition tree.

    Raises:
        ConfigError: any mistake in it, with its path.
    """
    node_path.budget.count(node_path.at)
    word = parse_node_kind(node, node_path.at)
    if word == "field":
        return compile_comparison(node, place, node_path)
    if word == "not_" and node.not_ is not UNSET:
        return compile_not(compile_condition(node.not_, place, node_path.inner("not")), trace_node("not", node_path))
    if word in {"all", "any"}:
        return _branch(node, word, place, node_path)
    return _quantifier(node, word, place, node_path)


def _branch(node: Condition, word: str, place: FieldScope, node_path: NodePath) -> CompiledCondition:
    children: tuple[Condition, ...] = getattr(node, word)
    if not children:
        raise ConfigError(f"{node_path.at}.{word}", "is empty", "give it at least one condition")
    tests = [
        compile_condition(child, place, node_path.inner(f"{word}[{index}]")) for index, child in enumerate(children)
    ]
    return (compile_all if word == "all" else compile_any)(tests, trace_node(word, node_path))


def _quantifier(node: Condition, word: str, place: FieldScope, node_path: NodePath) -> CompiledCondition:
    field = resolve(getattr(node, word), place, f"{node_path.at}.{word}")
    if field.kind not in {"list", "any"}:
        raise ConfigError(
            f"{node_path.at}.{word}", f"{field.path} is a {field.kind}, not a list", "name a list, as lines"
        )
    if place.depth >= QUANTIFIER_DEPTH_MAX:
        raise ConfigError(
            node_path.at, f"lists are nested deeper than {QUANTIFIER_DEPTH_MAX}", "look at fewer lists at once"
        )
    where = _where(node, word, field, place, node_path)
    elements_max = ELEMENTS_MAX if place.depth == 0 else NESTED_ELEMENTS_MAX
    traced = trace_node(word, node_path, field)
    if word == "count":
        return CompiledCondition(_count(field, where, _count_comparison(node, node_path), elements_max, traced), 100)
    assert where is not None  # only count may go without
    least = 0 if word != "all_of" else 1 if node.min is UNSET else node.min
    return CompiledCondition(_search(field, where, Search(word, least, elements_max), traced), 10 if where.less else 50)


def _where(
    node: Condition, word: str, field: Field, place: FieldScope, node_path: NodePath
) -> CompiledCondition | None:
    if node.where is UNSET:
        if word != "count":
            raise ConfigError(
                f"{node_path.at}.where", f"{word} needs a condition on the elements", "add where: {field: …}"
            )
        return None
    inner = FieldScope(place.record, place.asked, place.depth + 1, field.item)
    return compile_condition(node.where, inner, node_path.inner(f"{word}.where"))


def _count_comparison(node: Condition, node_path: NodePath) -> tuple[Comparator, int]:
    operator = find_operator(node, node_path.at)
    if operator.less is None and operator.name not in {"eq", "ne"}:
        raise ConfigError(
            f"{node_path.at}.op", f"{operator.name} does not work on a count", "take eq, ne, lt, le, gt or ge"
        )
    if node.ref is not UNSET:
        raise ConfigError(f"{node_path.at}.ref", "a count is held against a number", "write value: 3")
    fix = "write a whole number from 0, without quotes"
    if node.value is UNSET:
        raise ConfigError(f"{node_path.at}.value", "is missing", fix)
    if type(node.value) is not int or not 0 <= node.value < 2**63:
        raise ConfigError(f"{node_path.at}.value", f"{format_literal(node.value)} is no count", fix)
    return operator.decide, node.value


class Search(Struct, frozen=True):
    """`any_of` seeks a true element, `none_of` hopes for none, `all_of` for no false one among at least `least`.

    That is 0 for the others.
    """

    word: str
    least: int
    elements_max: int


def _search(field: Field, where: CompiledCondition, search: Search, traced: Node) -> Evaluator:
    sought, turn = search.word != "all_of", search.word != "any_of"
    least, elements_max = search.least, search.elements_max
    read, rooted, inner, find = field.read, field.rooted, where.run, _find(where, sought=sought)

    def run(scope: Scope, here: Value, trace: Trace | None) -> Truth:
        seen = read(scope if rooted else here)
        result = None
        if type(seen) not in LISTS or len(seen) > elements_max:
            pass
        elif len(seen) < least:
            result = False
        elif trace is None or trace.brief:
            found = find(scope, seen)
            result = negate(found) if turn else found
            if found and trace is not None:
                _point_out(inner, find, scope, seen, trace)
                return result
        elif trace.unknown_only:
            _follow(inner, scope, seen, trace)
        else:
            found = _explain(inner, scope, seen, trace, sought=sought)
            result = negate(found) if turn else found
        if trace is not None:
            trace.branch(traced, result, seen)
        return result

    return run


def _explain(run: Evaluator, scope: Scope, elements: Sequence[Any], trace: Trace, *, sought: bool) -> Truth:
    results = _explain_each(run, scope, elements, trace)
    return True if sought in results else None if None in results else False


def _point_out(run: Evaluator, find: LoopSearch, scope: Scope, elements: Sequence[Any], trace: Trace) -> None:
    """Note the first element that gave the sought answer; halving the list costs as much as looking through it once."""
    low, high = 0, len(elements)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if find(scope, elements[low:middle]) else (middle, high)
    trace.enter(low)
    run(scope, elements[low], trace)
    trace.leave()


def _follow(run: Evaluator, scope: Scope, elements: Sequence[Any], trace: Trace) -> None:
    """Hand the trace to the first element that is unknown."""
    index = next((index for index, element in enumerate(elements) if run(scope, element, None) is None), None)
    if index is not None:
        trace.enter(index)
        run(scope, elements[index], trace)
        trace.leave()


def _explain_each(run: Evaluator, scope: Scope, elements: Sequence[Any], trace: Trace) -> list[Truth]:
    results: list[Truth] = []
    for index, element in enumerate(elements):
        trace.enter(index)
        results.append(run(scope, element, trace))
        trace.leave()
    return results


def _find(where: CompiledCondition, *, sought: bool) -> LoopSearch:
    slow = _find_by_calls(where.run, sought=sought)
    return compile_loop(where.comparison, where.less, slow, sought=sought) or slow


def _find_by_calls(run: Evaluator, *, sought: bool) -> LoopSearch:
    def find(scope: Scope, elements: Sequence[Any]) -> Truth:
        result = False
        for element in elements:
            answer = run(scope, element, None)
            if answer is sought:
                return True
            if answer is None:
                result = None
        return result

    return find


def _count(
    field: Field, where: CompiledCondition | None, comparison: tuple[Comparator, int], elements_max: int, traced: Node
) -> Evaluator:
    """Count the elements that hold; with unknown ones among them, the answer is known only if they cannot matter."""
    read, rooted = field.read, field.rooted
    decide, bound = comparison

    def results(scope: Scope, elements: Sequence[Any], trace: Trace | None) -> list[Truth]:
        if where is None:
            return [True] * len(elements)
        if trace is not None and trace.unknown_only:
            _follow(where.run, scope, elements, trace)
        elif trace is not None and not trace.brief:
            return _explain_each(where.run, scope, elements, trace)
        return [where.run(scope, element, None) for element in elements]

    def run(scope: Scope, here: Value, trace: Trace | None) -> Truth:
        seen: Value = read(scope if rooted else here)
        result = None
        if type(seen) in LISTS and len(seen) <= elements_max:
            answers = results(scope, seen, trace)
            least = answers.count(True)
            most = least + answers.count(None)
            # The unknown ones may hold, or not: the answer is known if every count in between gives the same.
            outcomes = {decide(number, bound) for number in {least, most, min(max(bound, least), most)}}
            outcomes |= {decide(least + 1, bound)} if most > least else set()
            result = outcomes.pop() if len(outcomes) == 1 else None
        if trace is not None:
            trace.branch(traced, result, seen)
        return result

    return run
