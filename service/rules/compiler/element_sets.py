"""Conditions on list elements as sets of elements, for conditions of several comparisons.

Each comparison with one value gives the set of the elements for which it is true, and of those for which it is true or
unknown. `all` intersects the sets, `any` unites them. A comparison that no index supports is evaluated for the elements
that the other comparisons left open. The results are those of Kleene logic, as of an evaluation of every element.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msgspec import UNSET

from service.rules.compiler.conditions import CompiledCondition, Evaluator
from service.rules.compiler.element_index import ElementIndex, every_element, is_nan
from service.rules.compiler.list_columns import ColumnSearch
from service.rules.compiler.list_loops import LoopSearch
from service.rules.compiler.lookup_conditions import LOOKUP_COST
from service.rules.compiler.operands import Comparison
from service.rules.compiler.operators import NUMBERS, Less, LiteralSet
from service.rules.fields import Field
from service.rules.scope import Scope
from service.rules.trace import Truth

Sets = tuple[int, int]
"""Elements with the result true, and elements with the result true or unknown."""

SetEvaluator = Callable[[Scope, Sequence[Any], int], Sets]
"""Evaluates a condition for the elements in a set, and returns subsets of it."""

FindSets = Callable[[Scope, Sequence[Any]], Sets | None]
"""Compares all elements with a value, as `IndexTest`."""

IndexTest = Callable[[ElementIndex, Any], Sets | None]
"""Compares an indexed field with a value: the elements with the result true, and those with a result. None for a value
that the index does not support."""

ELEMENTS_MIN = 64
"""Elements of a list from which on an index is faster than a loop."""
REMEMBERED_MAX = 64
"""Comparisons without an index whose sets are stored for the other rules, per event."""

KNOWN_MAX = 512
"""Entries of `Scope.known` up to which the sets of a comparison with a constant are stored for the other rules."""

_INDEXED, _REMEMBERED, _LOOP = range(3)
_SETS = "\0sets"


def compile_sets(field: Field, where: CompiledCondition) -> SetEvaluator | None:
    """Return the evaluator of a condition on the elements of `field`. Return None if sets would not be faster.

    Only the list of the record has indexes. Single comparisons have columns, and look-ups are made in the order of the
    elements.
    """
    if not where.children or not field.rooted or where.cost >= LOOKUP_COST:
        return None
    rank, evaluator = _compile(field, where)
    return evaluator if rank == _INDEXED else None


def search_sets(field: Field, where: CompiledCondition, find: LoopSearch, *, sought: bool) -> ColumnSearch | None:
    """Return a search with the result of `find`; None if sets would not be faster."""
    evaluate = compile_sets(field, where)
    if evaluate is None:
        return None

    def found_in(scope: Scope, elements: Sequence[Any]) -> tuple[int, bool]:
        """Return the elements with the sought result, and whether there are unknown ones."""
        every = every_element(len(elements))
        true, possible = evaluate(scope, elements, every)
        return true if sought else every ^ possible, true != possible

    def search(scope: Scope, elements: Sequence[Any]) -> Truth:
        if len(elements) < ELEMENTS_MIN:
            return find(scope, elements)
        found, has_unknown = found_in(scope, elements)
        return True if found else None if has_unknown else False

    def find_first(scope: Scope, elements: Sequence[Any]) -> int | None:
        if len(elements) < ELEMENTS_MIN:
            return None
        found, _ = found_in(scope, elements)
        return (found & -found).bit_length() - 1

    return ColumnSearch(search, find_first)


def count_sets(field: Field, where: CompiledCondition) -> Callable[[Scope, Sequence[Any]], Sets | None] | None:
    """Return a function for the least and the greatest number of true elements. Return None as `compile_sets`."""
    evaluate = compile_sets(field, where)
    if evaluate is None:
        return None

    def count(scope: Scope, elements: Sequence[Any]) -> Sets | None:
        if len(elements) < ELEMENTS_MIN:
            return None
        true, possible = evaluate(scope, elements, every_element(len(elements)))
        return true.bit_count(), possible.bit_count()

    return count


def _compile(field: Field, where: CompiledCondition) -> tuple[int, SetEvaluator]:
    """Return the rank of the fastest comparison, and the evaluator of a condition."""
    if not where.children:
        return _compile_comparison(field, where)
    ranked = sorted((_compile(field, child) for child in where.children), key=lambda each: each[0])
    parts = [evaluator for _, evaluator in ranked]
    if where.operator == "not":
        return ranked[0][0], _not(parts[0])
    return ranked[0][0], (_all if where.operator == "all" else _any)(parts)


def _all(parts: Sequence[SetEvaluator]) -> SetEvaluator:
    def evaluate(scope: Scope, elements: Sequence[Any], candidates: int) -> Sets:
        true = possible = candidates
        for part in parts:
            if not possible:
                break
            more_true, more_possible = part(scope, elements, possible)
            true = more_true if true is possible else true & more_true
            possible = more_possible
        return true, possible

    return evaluate


def _any(parts: Sequence[SetEvaluator]) -> SetEvaluator:
    def evaluate(scope: Scope, elements: Sequence[Any], candidates: int) -> Sets:
        true = possible = 0
        for part in parts:
            if not candidates:
                break
            more_true, more_possible = part(scope, elements, candidates)
            true |= more_true
            possible |= more_possible
            candidates ^= more_true
        return true, possible

    return evaluate


def _not(part: SetEvaluator) -> SetEvaluator:
    def evaluate(scope: Scope, elements: Sequence[Any], candidates: int) -> Sets:
        true, possible = part(scope, elements, candidates)
        false = candidates ^ possible
        return false, false if true is possible else candidates ^ true

    return evaluate


def _compile_comparison(field: Field, where: CompiledCondition) -> tuple[int, SetEvaluator]:
    comparison, loop = where.comparison, _each_element(where.run)
    if comparison is None:
        return _LOOP, loop
    left, right = comparison.field, comparison.right
    if left.rooted and (right.read is None or right.rooted):
        return _INDEXED, _same_for_all(where.run)
    if left.rooted or left.attribute is None:
        return _LOOP, loop
    if right.attribute is not None:
        return _REMEMBERED, _remembered(f"{field.path}\0{left.path}\0{where.operator}\0{right.path}", loop)
    test = _index_test(where.operator or "", where.less)
    if test is None or (right.read is not None and not right.rooted):
        return _LOOP, loop
    return _INDEXED, _indexed(field, comparison, where.operator or "", test, loop)


def _indexed(field: Field, comparison: Comparison, operator: str, test: IndexTest, loop: SetEvaluator) -> SetEvaluator:
    read, right = comparison.field.read, comparison.right
    key = f"\0{field.path}\0{comparison.field.attribute}\0index"

    def find_now(scope: Scope, elements: Sequence[Any]) -> Sets | None:
        known = scope.known
        if key not in known:
            known[key] = ElementIndex(list(map(read, elements)))
        return test(known[key], right.constant if right.read is None else right.read(scope))

    find = _found_once(f"{key}\0{operator}\0{right.constant!r}", find_now) if right.read is None else find_now

    def evaluate(scope: Scope, elements: Sequence[Any], candidates: int) -> Sets:
        found = find(scope, elements)
        if found is None:
            return loop(scope, elements, candidates)
        true, with_result = found
        every = every_element(len(elements))
        if candidates is not every:
            true &= candidates
        return true, true if with_result is every else true | candidates & ~with_result

    return evaluate


def _found_once(key: str, find: FindSets) -> FindSets:
    """Compare an indexed field with a constant once for all rules."""

    def found(scope: Scope, elements: Sequence[Any]) -> Sets | None:
        known = scope.known
        sets = known.get(key, UNSET)
        if sets is UNSET:
            sets = find(scope, elements)
            if len(known) < KNOWN_MAX:
                known[key] = sets
        return sets

    return found


def _same_for_all(run: Evaluator) -> SetEvaluator:
    def evaluate(scope: Scope, _elements: Sequence[Any], candidates: int) -> Sets:
        result = run(scope, scope, None)
        return candidates if result else 0, 0 if result is False else candidates

    return evaluate


def _remembered(key: str, loop: SetEvaluator) -> SetEvaluator:
    """Evaluate a comparison of two fields for all elements once for all rules."""

    def evaluate(scope: Scope, elements: Sequence[Any], candidates: int) -> Sets:
        stored: dict[str, Sets] = scope.known.setdefault(_SETS, {})
        if key not in stored:
            if len(stored) >= REMEMBERED_MAX:
                return loop(scope, elements, candidates)
            stored[key] = loop(scope, elements, every_element(len(elements)))
        true, possible = stored[key]
        found = true & candidates
        return found, found if true == possible else possible & candidates

    return evaluate


def _each_element(run: Evaluator) -> SetEvaluator:
    def evaluate(scope: Scope, elements: Sequence[Any], candidates: int) -> Sets:
        true, possible = bytearray(len(elements) // 8 + 1), bytearray(len(elements) // 8 + 1)
        for index in indexes_of(candidates):
            result = run(scope, elements[index], None)
            if result is not False:
                possible[index >> 3] |= 1 << (index & 7)
                if result:
                    true[index >> 3] |= 1 << (index & 7)
        return int.from_bytes(true, "little"), int.from_bytes(possible, "little")

    return evaluate


def indexes_of(elements: int) -> Iterator[int]:
    """Yield the indexes of the elements in a set."""
    digits = bin(elements)[:1:-1]
    index = digits.find("1")
    while index >= 0:
        yield index
        index = digits.find("1", index + 1)


def _index_test(operator: str, less: Less | None) -> IndexTest | None:
    if less is not None:
        return _ordering_test(less)
    return {"eq": _equal, "ne": _unequal, "in": _one_of, "not_in": _none_of}.get(operator)


def _ordering_test(less: Less) -> IndexTest:
    def test(index: ElementIndex, bound: Any) -> Sets | None:  # noqa: ANN401 - any value of a field
        if type(bound) not in NUMBERS or is_nan(bound):
            return None
        found = index.below(bound, inclusive=less.swap)
        return found if less.swap is not less.expected else index.numbers ^ found, index.numbers

    return test


def _equal(index: ElementIndex, value: Any) -> Sets | None:  # noqa: ANN401 - any value of a field
    if type(value) is str:
        return index.with_value(value), index.texts
    return (index.with_value(value), index.numbers) if type(value) in NUMBERS and not is_nan(value) else None


def _unequal(index: ElementIndex, value: Any) -> Sets | None:  # noqa: ANN401 - any value of a field
    return _negated(_equal(index, value))


def _one_of(index: ElementIndex, values: Any) -> Sets | None:  # noqa: ANN401 - any value of a field
    if type(values) is not LiteralSet or not values.families <= {"number", "text"}:
        return None
    found = with_result = 0
    for _, value in values.values:
        found |= index.with_value(value)
    if "number" in values.families:
        with_result = index.numbers
    if "text" in values.families:
        with_result = with_result | index.texts if with_result else index.texts
    return found, with_result


def _none_of(index: ElementIndex, values: Any) -> Sets | None:  # noqa: ANN401 - any value of a field
    return _negated(_one_of(index, values))


def _negated(found: Sets | None) -> Sets | None:
    return None if found is None else (found[1] ^ found[0], found[1])
