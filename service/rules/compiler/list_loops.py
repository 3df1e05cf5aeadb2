"""The one loop that is worth writing out: an ordering of numbers over a list, as in `received < ordered`.

A closure per element would cost more than all the rest of a rule. Here the loop is compiled with the attribute names
standing in it, as dataclasses do it for `__init__`; the names are those of declared struct fields, so nothing that an
author of rules wrote ever becomes code.
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
"""Whether any element gives the sought answer; unknown if none does but one might."""

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
_NUMBER = "(type({0}) is int or type({0}) is Decimal)"  # half the time of looking the type up in a set


def compile_loop(
    comparison: Comparison | None, less: Less | None, slow: LoopSearch, *, sought: bool
) -> LoopSearch | None:
    """Write the loop, or None where the comparison is not of that shape.

    `slow` answers for lists with odd elements in them, such as null.
    """
    if comparison is None or less is None or not _fits(comparison):
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
    exec(_compiled(source), names)  # noqa: S102 - made of the names of struct fields alone
    return names["find"]


def _fits(comparison: Comparison) -> bool:
    """Whether a number of the element stands left, and right what is one of its own, or the same for all elements."""
    field, right = comparison.field, comparison.right
    depends = right.read is not None and not right.rooted
    return field.kind == "number" and field.attribute is not None and (right.attribute is not None or not depends)


@cache
def _compiled(source: str) -> CodeType:
    """Compile once for all rules of the same shape; there are no more shapes than pairs of number fields."""
    return compile(source, "<list loop>", "exec")
