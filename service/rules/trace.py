"""The explanation of a decision: every node of every rule with its result and the value it saw.

A trace is handed to the same closures that decide, so what it tells is what happened. Personal values are masked when
they are noted, so a trace may be shown and stored.
"""

from typing import Any, ClassVar

from msgspec import UNSET, Struct

from service.rules.fields import Field
from service.rules.limits import TRACE_STEPS_MAX
from service.rules.masking import mask
from service.rules.scope import Value

Truth = bool | None
"""Kleene's three values; None is unknown."""


class Node(Struct, frozen=True):
    """A node of a condition tree as a trace names it: `path` is where it stands, as in `when.all[1].any_of.where`."""

    path: str
    word: str
    field: Field | None = None
    expected_personal: bool = False
    against: str | None = None
    """The path of what stands right, where it is no literal."""


class Step(Struct, frozen=True, omit_defaults=True):
    """One node's result. `elements` are the places in the lists it stood on, outermost first."""

    rule_id: str
    path: str
    node: str
    result: Truth
    field: str | None = None
    actual: Any = UNSET
    expected: Any = UNSET
    elements: tuple[int, ...] = ()
    reason: str | None = None
    """Why the result is unknown."""


class Trace:
    """Collects steps, children before their parent, up to `steps_max`; `complete` tells whether all found room."""

    brief: ClassVar[bool] = False
    """Whether only what decided is wanted; conditions then stop as early as without a trace."""
    unknown_only: ClassVar[bool] = False
    """Whether only what made an unknown answer unknown is wanted; only nodes with that answer are handed the trace."""

    def __init__(self, steps_max: int = TRACE_STEPS_MAX) -> None:
        self.steps: list[Step] = []
        self.steps_max = steps_max
        self.complete = True
        self.rule = ""
        self._elements: list[int] = []

    def enter(self, element: int) -> None:
        """Stand on an element of a list."""
        self._elements.append(element)

    def leave(self) -> None:
        """Leave the element entered last."""
        self._elements.pop()

    def branch(self, node: Node, result: Truth, seen: Value = UNSET) -> None:
        """Note a node that has children, or a list word with the list it saw."""
        reason = _reason(node, seen) if result is None and node.field else None
        self._add(node, result, seen if node.field is None else mask(seen, personal=False), UNSET, reason)

    def leaf(self, node: Node, result: Truth, seen: Value, expected: Value) -> None:
        """Note a comparison with both of its sides."""
        field = node.field
        personal = field is not None and field.personal
        hide = personal or node.expected_personal
        shown = mask(expected, personal=hide) if expected is not UNSET else UNSET
        reason = _reason(node, seen, expected) if result is None else None
        self._add(node, result, mask(seen, personal=personal), shown, reason)

    def mark(self) -> int:
        """How much was noted so far."""
        return len(self.steps)

    def drop(self, begin: int, end: int) -> None:
        """Forget what was noted between two marks."""
        del self.steps[begin:end]

    def unknown(self) -> Step | None:
        """The first step that was unknown by itself."""
        return next((step for step in self.steps if step.result is None and step.reason), None)

    def _add(self, node: Node, result: Truth, seen: Value, expected: Value, reason: str | None) -> None:
        if len(self.steps) >= self.steps_max:
            self.complete = False
            return
        path = node.field.path if node.field else None
        elements = tuple(self._elements)
        self.steps.append(Step(self.rule, node.path, node.word, result, path, seen, expected, elements, reason))


class FirstUnknown(Trace):
    """Handed to a condition whose answer is unknown, follows the first unknown answer down to what is so by itself."""

    unknown_only: ClassVar[bool] = True


def _reason(node: Node, seen: Value, expected: Value = None) -> str:
    path = node.field.path if node.field else node.path
    for name, value in ((path, seen), (node.against, expected)):
        if name and (value is UNSET or value is None):
            return f"{name} is {'missing' if value is UNSET else 'null'}"
    return f"{path} does not compare with {node.against or f'what {node.word} asks'}"
