"""Evidence of a decision: for each rule the comparisons that settled its result, with the actual values.

A full trace is many times slower and has a step for every element of every list. Evidence is collected by the closures
that evaluate the rule. They stop as early as without evidence, and drop comparisons that settled nothing. The right
operand is not stored, since the decision contains the rulebook version. Personal values are masked.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, ClassVar

import msgspec
from msgspec import Struct

from service.events import JsonValue
from service.plurals import count_noun
from service.rules.masking import MASK, mask
from service.rules.scope import Value
from service.rules.trace import Node, Trace, Truth

BYTES_MAX = 1_024
"""Maximum size of the evidence of one decision. Rules beyond it are stored with their result only."""

TOO_LARGE_RULES_MAX = 8
"""Rules whose evidence did not fit, after which no more is collected: finding an element costs a pass over its list."""

ACTUAL_CHARS_MAX = 60
ROOT_CHARS = len("when.")

_encode = msgspec.json.Encoder().encode
_VALUES = frozenset({str, int, Decimal})


class EvidenceItem(Struct, frozen=True, array_like=True):
    """One comparison: its path below `when`, its result and the actual value.

    `against` is the right operand if it is not a literal. `elements` are the indexes of the current list elements.
    """

    path: str
    result: Truth
    actual: Any
    against: Any = None
    elements: tuple[int, ...] = ()


class Evidence(Trace):
    """Collects evidence; passed to `Rulebook.evaluate` as the trace."""

    brief: ClassVar[bool] = True

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        super().__init__(steps_max=0)
        self._bytes_left = bytes_max
        self._too_large_rules = 0
        self._items: list[tuple[Node, Truth, Value, Value, tuple[int, ...]]] = []
        self.kept = self._items
        self._encoded: dict[str, msgspec.Raw] = {}

    def begin(self, rule: str) -> bool:
        """Begin the next rule. Return False if no more evidence is stored."""
        self._encode_items()
        self.rule = rule
        return self._too_large_rules < TOO_LARGE_RULES_MAX

    def branch(self, node: Node, result: Truth, actual: Value = None) -> None:
        """Add a quantifier; the results of `all`, `any` and `not` follow from their children."""
        if node.field is not None:
            self._items.append((node, result, actual, None, tuple(self._elements) if self._elements else ()))

    def leaf(self, node: Node, result: Truth, actual: Value, expected: Value, reason: str | None = None) -> None:  # noqa: ARG002 - the rule has the reason
        """Add a comparison."""
        against = expected if node.against is not None else None
        self._items.append((node, result, actual, against, tuple(self._elements) if self._elements else ()))

    def by_rule(self) -> Mapping[str, msgspec.Raw]:
        """Return the items of each rule as JSON, without the rules that do not fit into the maximum size."""
        self._encode_items()
        return self._encoded

    def _encode_items(self) -> None:
        items = self._items
        if not items:
            return
        node, result, actual, _, elements = items[0]
        if len(items) == 1 and actual.__class__ is tuple and not elements:  # nearly every rule on a list
            encoded = _encode_list(node.path, result, len(actual))
        else:
            encoded = msgspec.Raw(_encode([_plain(*item) for item in items]))
        items.clear()
        size = len(encoded)
        if size <= self._bytes_left:
            self._bytes_left -= size
            self._encoded[self.rule] = encoded
        else:
            self._too_large_rules += 1


def read_evidence(plain: JsonValue) -> Sequence[EvidenceItem]:
    """Parse the evidence of a stored decision.

    Raises:
        msgspec.ValidationError: the data has another shape.
    """
    return msgspec.convert(plain, tuple[EvidenceItem, ...])


@lru_cache(maxsize=4_096)
def _encode_list(path: str, result: Truth, elements: int) -> msgspec.Raw:
    """Return the evidence of a rule that one search of a list settled. Most lists have one of a few lengths."""
    return msgspec.Raw(_encode([[path[ROOT_CHARS:], result, _shown_list(elements)]]))


def _shown_list(elements: int) -> str:
    return f"({count_noun(elements, 'element')})"


def _plain(node: Node, result: Truth, actual: Value, against: Value, elements: tuple[int, ...]) -> list[Any]:
    personal = node.field is not None and node.field.personal
    item = [node.path[ROOT_CHARS:], result, _shown(actual, personal=personal)]
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
        return _shown_list(len(value))
    shown = mask(value, personal=personal)
    return shown[:ACTUAL_CHARS_MAX] if type(shown) is str else shown
