"""Compiler of `count`: the number of elements for which a condition is true, and its comparison with a whole number."""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import UNSET

from service.errors import ConfigError
from service.mistakes import Mistakes
from service.rules.compiler.conditions import CompiledCondition, find_operator
from service.rules.compiler.element_sets import count_sets
from service.rules.compiler.list_columns import count_column
from service.rules.compiler.literals import format_literal
from service.rules.compiler.operators import Comparator, Operator
from service.rules.fields import Field
from service.rules.scope import Scope
from service.rules.syntax import Condition
from service.rules.trace import Truth

Counts = tuple[int, int]
"""Least and greatest possible number of true elements."""


def build_count_comparison(node: Condition, at: str) -> tuple[Comparator, int]:
    """Return the comparator and the number of a `count` node.

    Raises:
        ConfigErrors: the operator or the number is not valid.
    """
    mistakes = Mistakes()
    with mistakes.collect():
        operator = _count_operator(node, at)
        return operator.compare, _count_value(node, at)
    with mistakes.collect():
        _count_value(node, at)
    raise mistakes.unique()


def _count_operator(node: Condition, at: str) -> Operator:
    operator = find_operator(node, at)
    if operator.less is None and operator.name not in {"eq", "ne"}:
        raise ConfigError(f"{at}.op", f"{operator.name} does not work on a count", "use eq, ne, lt, le, gt or ge")
    return operator


def _count_value(node: Condition, at: str) -> int:
    if node.ref is not UNSET:
        raise ConfigError(f"{at}.ref", "a count is compared with a number only", "write value: 3")
    fix = "write a whole number from 0, without quotes"
    if node.value is UNSET:
        raise ConfigError(f"{at}.value", "is missing", fix)
    if type(node.value) is not int or not 0 <= node.value < 2**63:
        raise ConfigError(f"{at}.value", f"{format_literal(node.value)} is not a count", fix)
    return node.value


def known_count(field: Field, where: CompiledCondition | None) -> Callable[[Scope, Sequence[Any]], Counts | None]:
    """Return a function that counts without a loop over the elements, if it can."""
    if where is None:
        return lambda _scope, elements: (len(elements), len(elements))
    in_sets, in_column = count_sets(field, where), count_column(field, where)
    if in_sets is not None or in_column is None:
        return in_sets or (lambda _scope, _elements: None)

    def count(scope: Scope, elements: Sequence[Any]) -> Counts | None:
        found = in_column(scope, elements)
        return None if found is None else (found, found)

    return count


def count_results(results: Sequence[Truth]) -> Counts:
    """Count the results of all elements."""
    true = results.count(True)
    return true, true + results.count(None)
