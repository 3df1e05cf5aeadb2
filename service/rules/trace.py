"""Trace of an evaluation: every node of every rule with its result and the actual value.

The closures that evaluate a rule also write the trace, so both always agree. Personal values are masked when they are
added, so a trace may be shown and stored.
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
    """A node of a condition tree in a trace. `path` is its position, such as `when.all[1].any_of.where`."""

    path: str
    name: str
    field: Field | None = None
    expected_personal: bool = False
    against: str | None = None
    """The path of the right operand, if it is not a literal."""


class Step(Struct, frozen=True, omit_defaults=True):
    """The result of one node. `elements` are the indexes of the current list elements, outermost list first."""

    rule_id: str
    path: str
    node: str
    result: Truth
    field: str | None = None
    actual: Any = UNSET
    expected: Any = UNSET
    elements: tuple[int, ...] = ()
    reason: str | None = None
    """The reason of an unknown result."""


class Trace:
    """Collects up to `steps_max` steps, children before their parent. `complete` is False if steps were dropped."""

    brief: ClassVar[bool] = False
    """Whether to collect only the nodes that settle the result. Evaluation then stops as early as without a trace."""
    unknown_only: ClassVar[bool] = False
    """Whether to collect only the causes of an unknown result. Only nodes with an unknown result get the trace."""

    def __init__(self, steps_max: int = TRACE_STEPS_MAX) -> None:
        self.steps: list[Step] = []
        self.kept: list[Any] = self.steps
        """Collected steps in their order. `_collect_evidence` removes steps that settled nothing."""
        self.steps_max = steps_max
        self.complete = True
        self.rule = ""
        self._elements: list[int] = []

    def begin(self, rule: str) -> bool:
        """Begin a rule. Return whether its steps are collected."""
        self.rule = rule
        return True

    def enter(self, element: int) -> None:
        """Enter an element of a list."""
        self._elements.append(element)

    def leave(self) -> None:
        """Leave the element entered last."""
        self._elements.pop()

    def branch(self, node: Node, result: Truth, actual: Value = UNSET) -> None:
        """Add a node with children; for a quantifier with the actual list."""
        reason = _reason(node, actual) if result is None and node.field else None
        self._add(node, result, actual if node.field is None else mask(actual, personal=False), UNSET, reason)

    def leaf(self, node: Node, result: Truth, actual: Value, expected: Value, reason: str | None = None) -> None:
        """Add a comparison with both operands. `reason` explains an unknown result."""
        field = node.field
        personal = field is not None and field.personal
        hide = personal or node.expected_personal
        shown = mask(expected, personal=hide) if expected is not UNSET else UNSET
        if result is None:
            reason = reason or _reason(node, actual, expected)
        self._add(node, result, mask(actual, personal=personal), shown, reason)

    def unknown(self) -> Step | None:
        """Return the first step with a reason for an unknown result."""
        return next((step for step in self.steps if step.result is None and step.reason), None)

    def _add(self, node: Node, result: Truth, actual: Value, expected: Value, reason: str | None) -> None:
        if len(self.steps) >= self.steps_max:
            self.complete = False
            return
        path = node.field.path if node.field else None
        elements = tuple(self._elements)
        self.steps.append(Step(self.rule, node.path, node.name, result, path, actual, expected, elements, reason))


class FirstUnknown(Trace):
    """Trace of an unknown condition: follows the first unknown child down to the comparison that caused it."""

    unknown_only: ClassVar[bool] = True


def _reason(node: Node, actual: Value, expected: Value = None) -> str:
    path = node.field.path if node.field else node.path
    for name, value in ((path, actual), (node.against, expected)):
        if name and (value is UNSET or value is None):
            return f"{name} is {'missing' if value is UNSET else 'null'}"
    return f"{path} cannot be compared with {node.against or f'the value of {node.name}'}"
