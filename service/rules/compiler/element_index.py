"""Index of one field in all elements of a list: the elements with a number, below a number, or with a text.

A set of elements is an integer; its bit `i` stands for element `i`. Sets are intersected and united in one operation.
"""

import contextlib
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any

from service.rules.compiler.operators import NUMBERS

BELOW_SETS_MAX = 512
"""Sets of the elements below a number that are stored. Their size is a bit for each element."""
FEW = 8
"""Elements up to which a set is made anew for each question."""
_INDEXED = NUMBERS | {str}


class ElementIndex:
    """Elements by number and by text. Values of other types, and NaN, are in neither."""

    def __init__(self, values: Sequence[Any]) -> None:
        self._size = len(values)
        self._groups = _group(values)
        self._made: dict[Any, int] = {}
        self._order: list[Any] = []
        self._below: list[int] = []
        self._step = 1
        kinds = set(map(type, values))
        self.every = every_element(self._size)
        """All elements."""
        is_complete = kinds == {str} or sum(map(len, self._groups.values())) == self._size
        self.numbers = self.every if is_complete and str not in kinds else self._all_of(NUMBERS)
        """Elements with a number."""
        self.texts = self.every if is_complete and kinds == {str} else self._all_of({str})
        """Elements with a text."""

    def _all_of(self, kinds: Collection[type]) -> int:
        return self._union(group for value, group in self._groups.items() if type(value) in kinds)

    def with_value(self, value: Any) -> int:  # noqa: ANN401 - a number or a text
        """Return the elements with a number, or with a text. Numbers of both types are equal if their values are."""
        made = self._made.get(value)
        if made is not None:
            return made
        found = self._groups.get(value, ())
        if len(found) > FEW:
            self._made[value] = made = self._union([found])
            return made
        made = 0
        for index in found:
            made |= 1 << index
        return made

    def below(self, bound: Any, *, inclusive: bool) -> int:  # noqa: ANN401 - a number
        """Return the elements with a number less than `bound`; with `inclusive` also those equal to it."""
        if not self._below:
            self._sort()
        position = (bisect_right if inclusive else bisect_left)(self._order, bound)
        stored, more = divmod(position, self._step)
        found = self._below[stored]
        for value in self._order[position - more : position]:
            found |= self.with_value(value)
        return found

    def _sort(self) -> None:
        """Sort the distinct numbers, and store the elements below every number, or below some of many numbers."""
        self._order = sorted(value for value in self._groups if type(value) is not str)
        self._step = len(self._order) // BELOW_SETS_MAX + 1
        bits = bytearray(self._size // 8 + 1)
        self._below = [0]
        for count, value in enumerate(self._order, 1):
            for index in self._groups[value]:
                bits[index >> 3] |= 1 << (index & 7)
            if count % self._step == 0:
                self._below.append(int.from_bytes(bits, "little"))

    def _union(self, groups: Iterable[Sequence[int]]) -> int:
        bits = bytearray(self._size // 8 + 1)
        for group in groups:
            for index in group:
                bits[index >> 3] |= 1 << (index & 7)
        return int.from_bytes(bits, "little")


def _group(values: Sequence[Any]) -> Mapping[Any, Sequence[int]]:
    """Return the indexes of each number and each text."""
    groups: defaultdict[Any, list[int]] = defaultdict(list)
    kinds = set(map(type, values))
    if kinds <= _INDEXED:
        with contextlib.suppress(TypeError):  # a signalling NaN has no hash
            for index, value in enumerate(values):
                groups[value].append(index)
            if Decimal not in kinds:
                return groups
            return {value: group for value, group in groups.items() if not is_nan(value)}
        groups.clear()
    for index, value in enumerate(values):
        if type(value) in _INDEXED and not is_nan(value):
            groups[value].append(index)
    return groups


@lru_cache(maxsize=64)
def every_element(size: int) -> int:
    """Return the set of all elements of a list. It is the same object for the same size, so that `is` compares it."""
    return (1 << size) - 1


def is_nan(value: Any) -> bool:  # noqa: ANN401 - any value of a field
    """Return whether a value is a number without order."""
    return type(value) is Decimal and value.is_nan()
