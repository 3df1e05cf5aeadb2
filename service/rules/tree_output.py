"""Formatting of traces: the nodes of a rule as a tree with the actual values, and effects in one line. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from service.rules.trace import Step

EFFECT_CHARS_MAX = 300
MARKS = {True: "+", False: "-", None: "?"}


def format_steps(steps: Sequence[Step]) -> Iterator[str]:
    """Format the nodes of one rule, parents first; `+` is true, `-` is false, `?` is unknown."""
    for step in sorted(steps, key=_order):
        yield "  " * (_depth(step) - 1) + format_step(step)


def format_step(step: Step) -> str:
    """Format one node: `- status eq 'expected' (actual 'received')`."""
    at = f"[{step.elements[-1]}] " if step.elements else ""
    line = f"{MARKS[step.result]} {at}{step.field + ' ' if step.field else ''}{step.node}"
    if step.expected is not UNSET:
        line += f" {step.expected!r}"
    if step.actual is not UNSET:
        line += f" (actual {step.actual!r})"
    return line + (f": {step.reason}" if step.reason else "")


def format_effect(action: str, do: str, inputs: Mapping[str, Any]) -> str:
    """Format one effect in a line."""
    values = msgspec.json.encode(inputs).decode()
    return f"{do} ({action}) {values[:EFFECT_CHARS_MAX]}{'…' if len(values) > EFFECT_CHARS_MAX else ''}"


def _order(step: Step) -> tuple[Any, ...]:
    """Sort key: parents before children, and the nodes of one list element together."""
    parts: list[tuple[int, str]] = []
    elements = list(step.elements)
    for part in _parts(step.path):
        name, _, index = part.partition("[")
        parts.append((int(index.rstrip("]")) if index else 0, name))
        if part == "where" and elements:
            parts.append((elements.pop(0), ""))
    return tuple(parts)


def _depth(step: Step) -> int:
    return sum(1 for part in _parts(step.path) if part not in LISTS)


LISTS = frozenset({"any_of", "all_of", "none_of", "count"})


def _parts(path: str) -> list[str]:
    return path.split(".")
