"""What a decision keeps of why it was taken: for each rule the few comparisons that settled it, with what they saw.

A whole trace costs many times what deciding costs, and has a step for every element of every list. Evidence is taken on
the way by the same closures: they stop where deciding stops, and what did not settle anything is dropped again. What
stands right of an operator is not kept, since the rulebook's version is. Personal values are masked as they are noted.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, ClassVar

import msgspec
from msgspec import Struct

from service.events import JsonValue
from service.plurals import count_noun
from service.rules.masking import MASK, mask
from service.rules.scope import Value
from service.rules.trace import Node, Trace, Truth

BYTES_MAX = 1_024
"""Of one decision. Rules beyond it keep their verdict alone."""

ACTUAL_CHARS_MAX = 60
ROOT_CHARS = len("when.")

_encode = msgspec.json.Encoder().encode
_VALUES = frozenset({str, int, Decimal})


class EvidenceItem(Struct, frozen=True, array_like=True):
    """One comparison: its path below `when`, its result and what it saw.

    `against` is the other side where that is no literal, `elements` the places in the lists it stood on.
    """

    path: str
    result: Truth
    actual: Any
    against: Any = None
    elements: tuple[int, ...] = ()


class Evidence(Trace):
    """Collects items; handed to `Rulebook.judge` as its trace."""

    brief: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__(steps_max=0)
        self.items: list[tuple[str, Node, Truth, Value, Value, tuple[int, ...]]] = []

    def branch(self, node: Node, result: Truth, seen: Value = None) -> None:
        """Note a list word; `all`, `any` and `not` follow from what is below them."""
        if node.field is not None:
            self.items.append((self.rule, node, result, seen, None, tuple(self._elements)))

    def leaf(self, node: Node, result: Truth, seen: Value, expected: Value) -> None:
        """Note a comparison."""
        against = expected if node.against is not None else None
        self.items.append((self.rule, node, result, seen, against, tuple(self._elements)))

    def mark(self) -> int:
        """How much was noted so far."""
        return len(self.items)

    def drop(self, begin: int, end: int) -> None:
        """Forget what was noted between two marks."""
        del self.items[begin:end]

    def by_rule(self, bytes_max: int = BYTES_MAX) -> dict[str, msgspec.Raw]:
        """The items of each rule as JSON, as long as there is room."""
        gathered: dict[str, list[Any]] = {}
        for rule, node, result, seen, against, elements in self.items:
            gathered.setdefault(rule, []).append(_plain(node, result, seen, against, elements))
        written: dict[str, msgspec.Raw] = {}
        for rule, items in gathered.items():
            text = _encode(items)
            if len(text) <= bytes_max:
                bytes_max -= len(text)
                written[rule] = msgspec.Raw(text)
        return written


def read_evidence(plain: JsonValue) -> Sequence[EvidenceItem]:
    """Read what a decision keeps.

    Raises:
        msgspec.ValidationError: it is of another shape.
    """
    return msgspec.convert(plain, tuple[EvidenceItem, ...])


def _plain(node: Node, result: Truth, seen: Value, against: Value, elements: tuple[int, ...]) -> list[Any]:
    personal = node.field is not None and node.field.personal
    item = [node.path[ROOT_CHARS:], result, _shown(seen, personal=personal)]
    if node.against is not None or elements:
        item.append(_shown(against, personal=node.expected_personal or personal) if node.against is not None else None)
    if elements:
        item.append(elements)
    return item


def _shown(value: Value, *, personal: bool) -> JsonValue:
    kind = value.__class__
    if personal and kind in _VALUES:
        return MASK
    if kind is str:
        return value if len(value) <= ACTUAL_CHARS_MAX else value[:ACTUAL_CHARS_MAX]
    if kind is Decimal:
        return str(value)[:ACTUAL_CHARS_MAX]
    if kind is tuple:
        return f"({count_noun(len(value), 'element')})"
    shown = mask(value, personal=personal)
    return shown[:ACTUAL_CHARS_MAX] if type(shown) is str else shown
