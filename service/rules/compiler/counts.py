"""Compiler of the comparison in a `count` node: the number of elements with a whole number."""

from msgspec import UNSET

from service.errors import ConfigError
from service.mistakes import Mistakes
from service.rules.compiler.conditions import find_operator
from service.rules.compiler.literals import format_literal
from service.rules.compiler.operators import Comparator, Operator
from service.rules.syntax import Condition


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
