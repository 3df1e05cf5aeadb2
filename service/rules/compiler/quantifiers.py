"""Compiler of quantifiers (`any_of`, `all_of`, `none_of`, `count`) and of whole trees (`compile_condition`).

For an empty list, `any_of` is false, `none_of` is true, `all_of` is false unless `min: 0` is set, and `count` is 0. If
the value is absent, null, not a list or too long, the result is unknown.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, Struct, structs

from service.errors import ConfigError, ConfigErrors
from service.mistakes import Mistakes
from service.rules.compiler.conditions import (
    CompiledCondition,
    Evaluator,
    NodePath,
    all_node_mistakes,
    compile_all,
    compile_any,
    compile_comparison,
    compile_not,
    parse_node_kind,
    trace_node,
)
from service.rules.compiler.counts import build_count_comparison, count_results, known_count
from service.rules.compiler.element_sets import search_sets
from service.rules.compiler.list_columns import search_column
from service.rules.compiler.list_loops import LoopSearch, compile_loop
from service.rules.compiler.lookup_conditions import LOOKUP_COST, comparison_with_lookups, with_lookups
from service.rules.compiler.operators import Comparator, negate
from service.rules.fields import Field, FieldScope, resolve
from service.rules.limits import ELEMENTS_MAX, NESTED_ELEMENTS_MAX, QUANTIFIER_DEPTH_MAX
from service.rules.scope import Scope, Value
from service.rules.syntax import Condition
from service.rules.trace import Node, Trace, Truth

UNTYPED_LIST = Field("unknown", "list", lambda _scope: None, rooted=True)
"""Stands for a list that is not known, to find the mistakes in its `where`."""

LISTS = frozenset({tuple, list})


def compile_condition(node: Condition, fields: FieldScope, node_path: NodePath) -> CompiledCondition:
    """Compile a condition tree.

    Raises:
        ConfigError: the tree has a mistake; the error contains its path.
    """
    node_path.limit.count(node_path.at)
    try:
        kind = parse_node_kind(node, node_path.at)
    except ConfigError as error:
        raise _child_mistakes(error, node, fields, node_path) from None
    if kind == "field":
        return comparison_with_lookups(compile_comparison(node, fields, node_path), fields, node_path.path)
    if kind == "not_" and node.not_ is not UNSET:
        return compile_not(compile_condition(node.not_, fields, node_path.inner("not")), trace_node("not", node_path))
    if kind in {"all", "any"}:
        return _branch(node, kind, fields, node_path)
    return _quantifier(node, kind, fields, node_path)


def _child_mistakes(error: ConfigError, node: Condition, fields: FieldScope, node_path: NodePath) -> ConfigErrors:
    """Return the mistake in the kind of a node, and those in its operator, its fields and its children."""
    mistakes = Mistakes()
    mistakes.add(all_node_mistakes(error, node, fields, node_path))
    for kind in ("all", "any"):
        if getattr(node, kind) is not UNSET:
            with mistakes.collect():
                _branch(node, kind, fields, node_path)
    for kind in ("any_of", "all_of", "none_of", "count"):
        if getattr(node, kind) is not UNSET:
            with mistakes.collect():
                _quantifier(node, kind, fields, node_path)
    if node.not_ is not UNSET:
        with mistakes.collect():
            compile_condition(node.not_, fields, node_path.inner("not"))
    return mistakes.unique()


def _branch(node: Condition, kind: str, fields: FieldScope, node_path: NodePath) -> CompiledCondition:
    children: tuple[Condition, ...] = getattr(node, kind)
    if not children:
        raise ConfigError(f"{node_path.at}.{kind}", "is empty", "give it at least one condition")
    tests: list[CompiledCondition] = []
    mistakes = Mistakes()
    for index, child in enumerate(children):
        with mistakes.collect():
            tests.append(compile_condition(child, fields, node_path.inner(f"{kind}[{index}]")))
        if node_path.limit.is_exceeded or mistakes.is_full:
            break
    mistakes.raise_all()
    return (compile_all if kind == "all" else compile_any)(tests, trace_node(kind, node_path))


def _quantifier(node: Condition, kind: str, fields: FieldScope, node_path: NodePath) -> CompiledCondition:
    mistakes, where, field, counted = Mistakes(), None, UNTYPED_LIST, None
    with mistakes.collect():
        field = _list_field(node, kind, fields, node_path)
    with mistakes.collect():
        where = _where(node, kind, field, fields, node_path)
    if kind == "count":
        with mistakes.collect():
            counted = build_count_comparison(node, node_path.at)
    mistakes.raise_all()
    elements_max = ELEMENTS_MAX if fields.depth == 0 else NESTED_ELEMENTS_MAX
    traced = trace_node(kind, node_path, field)
    is_costly = where is not None and where.cost >= LOOKUP_COST
    if counted is not None:
        count = CompiledCondition(_count(field, where, counted, elements_max, traced), 100)
        return with_lookups(count, fields, traced, is_costly=is_costly)
    assert where is not None  # only count has an optional condition
    elements_min = 0 if kind != "all_of" else 1 if node.min is UNSET else node.min
    search = _search(field, where, Search(kind, elements_min, elements_max), traced)
    found = CompiledCondition(search, 10 if where.less else 50)
    return with_lookups(found, fields, traced, is_costly=is_costly)


def _list_field(node: Condition, kind: str, fields: FieldScope, node_path: NodePath) -> Field:
    field = resolve(getattr(node, kind), fields, f"{node_path.at}.{kind}")
    if field.kind not in {"list", "any"}:
        raise ConfigError(
            f"{node_path.at}.{kind}", f"{field.path} is a {field.kind}, not a list", "use a list, such as lines"
        )
    if fields.depth >= QUANTIFIER_DEPTH_MAX:
        raise ConfigError(node_path.at, f"lists are nested deeper than {QUANTIFIER_DEPTH_MAX}", "nest fewer lists")
    return field


def _where(
    node: Condition, kind: str, field: Field, fields: FieldScope, node_path: NodePath
) -> CompiledCondition | None:
    if node.where is UNSET:
        if kind != "count":
            raise ConfigError(
                f"{node_path.at}.where", f"{kind} requires a condition on the elements", "add where: {field: …}"
            )
        return None
    inner = structs.replace(fields, depth=fields.depth + 1, element=field.item)
    return compile_condition(node.where, inner, node_path.inner(f"{kind}.where"))


class Search(Struct, frozen=True):
    """A search in a list: `any_of` and `none_of` search a true element, `all_of` a false one.

    A list with fewer than `elements_min` elements is false; the value is 0 except for `all_of`.
    """

    kind: str
    elements_min: int
    elements_max: int

    @property
    def sought(self) -> bool:
        """Result of an element that settles the search."""
        return self.kind != "all_of"

    @property
    def is_negated(self) -> bool:
        """True if an element with that result makes the search false."""
        return self.kind != "any_of"


def _search(field: Field, where: CompiledCondition, search: Search, traced: Node) -> Evaluator:
    is_negated = search.is_negated
    elements_min, elements_max = search.elements_min, search.elements_max
    read, rooted, inner, find = field.read, field.rooted, where.run, _find(where, sought=search.sought)
    in_sets = search_sets(field, where, find, sought=search.sought)
    find_once, find_first = in_sets or search_column(field, where, find, sought=search.sought)

    def run(scope: Scope, current: Value, trace: Trace | None) -> Truth:
        actual = read(scope if rooted else current)
        result = None
        if type(actual) not in LISTS or len(actual) > elements_max:
            pass
        elif len(actual) < elements_min:
            result = False
        elif trace is None or trace.brief:
            found = find_once(scope, actual)
            result = negate(found) if is_negated else found
            if found and trace is not None:
                index = find_first(scope, actual)
                index = _first_match(find, scope, actual) if index is None else index
                trace.enter(index)
                inner(scope, actual[index], trace)
                trace.leave()
                return result
        else:
            result = _trace_search(inner, scope, actual, trace, search)
        if trace is not None:
            trace.branch(traced, result, actual)
        return result

    return run


def _trace_search(run: Evaluator, scope: Scope, elements: Sequence[Any], trace: Trace, search: Search) -> Truth:
    """Trace every element, or only the first unknown one of a search whose result is unknown."""
    if trace.unknown_only:
        _trace_first_unknown(run, scope, elements, trace)
        return None
    results = _trace_each(run, scope, elements, trace)
    found = True if search.sought in results else None if None in results else False
    return negate(found) if search.is_negated else found


def _first_match(find: LoopSearch, scope: Scope, elements: Sequence[Any]) -> int:
    """Return the index of the first element with the sought result. It costs as much as one pass over the list."""
    low, high = 0, len(elements)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if find(scope, elements[low:middle]) else (middle, high)
    return low


def _trace_first_unknown(run: Evaluator, scope: Scope, elements: Sequence[Any], trace: Trace) -> None:
    """Trace the first unknown element only."""
    index = next((index for index, element in enumerate(elements) if run(scope, element, None) is None), None)
    if index is not None:
        trace.enter(index)
        run(scope, elements[index], trace)
        trace.leave()


def _trace_each(run: Evaluator, scope: Scope, elements: Sequence[Any], trace: Trace) -> list[Truth]:
    results: list[Truth] = []
    for index, element in enumerate(elements):
        trace.enter(index)
        results.append(run(scope, element, trace))
        trace.leave()
    return results


def _find(where: CompiledCondition, *, sought: bool) -> LoopSearch:
    find = _find_by_calls(where.run, sought=sought)
    return compile_loop(where.comparison, where.less, find, sought=sought) or find


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
    """Count the true elements. With unknown elements, the result is known only if they cannot change it."""
    read, rooted = field.read, field.rooted
    compare, bound = comparison
    count_known = known_count(field, where)

    def run(scope: Scope, current: Value, trace: Trace | None) -> Truth:
        actual: Value = read(scope if rooted else current)
        result = None
        if type(actual) in LISTS and len(actual) <= elements_max:
            counts = count_known(scope, actual) if trace is None or trace.brief else None
            least, most = counts or count_results(_results(where, scope, actual, trace))
            # Each unknown element may be true or false: the result is known if all possible counts have the same one.
            possible = {compare(number, bound) for number in {least, most, min(max(bound, least), most)}}
            possible |= {compare(least + 1, bound)} if most > least else set()
            result = possible.pop() if len(possible) == 1 else None
        if trace is not None:
            trace.branch(traced, result, actual)
        return result

    return run


def _results(
    where: CompiledCondition | None, scope: Scope, elements: Sequence[Any], trace: Trace | None
) -> list[Truth]:
    if where is None:
        return [True] * len(elements)
    if trace is not None and trace.unknown_only:
        _trace_first_unknown(where.run, scope, elements, trace)
    elif trace is not None and not trace.brief:
        return _trace_each(where.run, scope, elements, trace)
    return [where.run(scope, element, None) for element in elements]
