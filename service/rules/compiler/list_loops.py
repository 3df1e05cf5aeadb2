"""Generated code for the most frequent loop: an ordering of numbers over a list, as in `received < ordered`.

A call of a closure for each element would cost more than the rest of a rule. So the loop is generated with the
attribute names in its source, as dataclasses generate `__init__`. The names are those of declared struct fields. No
text of a rule becomes code.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from functools import cache
from types import CodeType
from typing import Any

from service.rules.compiler.operands import Comparison
from service.rules.compiler.operators import NUMBERS, Less
from service.rules.scope import Scope
from service.rules.trace import Truth

LoopSearch = Callable[[Scope, Sequence[Any]], Truth]
"""Returns whether an element has the sought result; unknown if none has it but some are unknown."""

_LOOP = """
def find(scope, elements):
    {other}
    result = False
    try:
        for element in elements:
            {read}
            if {numbers}:
                if {comparison}:
                    return True
            else:
                result = None
    except (AttributeError, InvalidOperation):
        return slow(scope, elements)
    return result
"""
_NUMBER = "(type({0}) is int or type({0}) is Decimal)"  # half the time of a test in a set of types


def compile_loop(
    comparison: Comparison | None, less: Less | None, slow: LoopSearch, *, sought: bool
) -> LoopSearch | None:
    """Generate the loop. Return None if the comparison is not supported.

    The loop calls `slow` for lists with unusual elements, such as null.
    """
    if comparison is None or less is None or not is_supported(comparison):
        return None
    right = comparison.right
    order = "right < left" if less.swap else "left < right"
    reads, numbers = [f"left = element.{comparison.field.attribute}"], [_NUMBER.format("left")]
    if right.attribute:
        reads.append(f"right = element.{right.attribute}")
    if type(right.constant) not in NUMBERS:
        numbers.append(_NUMBER.format("right"))
    source = _LOOP.format(
        other="right = read_right(scope)" if right.read and not right.attribute else "right = constant",
        read="; ".join(reads),
        numbers=" and ".join(numbers),
        comparison=order if less.expected is sought else f"not {order}",
    )
    names: dict[str, Any] = {
        "Decimal": Decimal,
        "slow": slow,
        "read_right": right.read,
        "constant": right.constant,
        "InvalidOperation": InvalidOperation,
    }
    exec(_compiled(source), names)  # noqa: S102 - built from the names of struct fields only
    return names["find"]


def is_supported(comparison: Comparison) -> bool:
    """Return whether a comparison is supported.

    The left operand must be a number of the element. The right operand must be a field of the element, or independent
    of the element.
    """
    field, right = comparison.field, comparison.right
    depends = right.read is not None and not right.rooted
    if field.kind == "amount":  # the currencies of two amounts are compared as well
        return field.attribute is not None and right.read is None
    return field.kind == "number" and field.attribute is not None and (right.attribute is not None or not depends)


@cache
def _compiled(source: str) -> CodeType:
    """Compile each source once. The number of sources is limited by the pairs of number fields."""
    return compile(source, "<list loop>", "exec")
