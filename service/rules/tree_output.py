"""Text output of evaluated rules: nodes as a tree with their values, comparisons, and effects. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec
from msgspec import UNSET

from service.rules.lookups import LookupSummary
from service.rules.trace import Step

EFFECT_CHARS_MAX = 300
MARKS = {True: "+", False: "-", None: "?"}
SYMBOLS = {"eq": "=", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}


def format_steps(steps: Sequence[Step]) -> Iterator[str]:
    """Yield the nodes of one rule, parents first; `+` true, `-` false, `?` unknown."""
    for step in sorted(steps, key=_order):
        yield "  " * (_depth(step) - 1) + format_step(step)


def format_step(step: Step) -> str:
    """Format one node: `- status = expected (was received)`."""
    at = f"[{step.elements[-1]}] " if step.elements else ""
    line = f"{MARKS[step.result]} {at}{step.field + ' ' if step.field else ''}{SYMBOLS.get(step.node, step.node)}"
    if step.expected is not UNSET:
        line += f" {format_value(step.expected)}"
    if step.actual is not UNSET:
        line += f" (was {format_value(step.actual)})"
    return line + (f": {step.reason}" if step.reason else "")


def format_value(value: object) -> str:
    """Format a value of a comparison: text without quotes, money as `100.00 EUR`, other values as JSON."""
    if isinstance(value, str) and value:
        return value
    if isinstance(value, Mapping):
        fields = cast("Mapping[str, Any]", value)
        if set(fields) == {"currency", "value"}:
            return f"{fields['value']} {fields['currency']}"
    return msgspec.json.encode(value).decode()


def format_lookup(found: LookupSummary) -> str:
    """Format one look-up: `+ looked up erp:supplier:S-1: state 5f2c…, version …, 12.5 ms`."""
    if found.error_kind:
        return f"! looked up {found.record}: {found.error_kind}, {found.error}, {found.duration_ms:g} ms"
    version = f", version {found.version}" if found.version else ""
    return f"+ looked up {found.record}: state {found.digest[:12] or 'posted'}{version}, {found.duration_ms:g} ms"


def format_effect(action: str, do: str, inputs: Mapping[str, Any] | None) -> str:
    """Format one effect in a line of limited length; None for inputs that the role does not see."""
    values = "" if inputs is None else msgspec.json.encode(inputs).decode()
    return f"{do} ({action}) {values[:EFFECT_CHARS_MAX]}{'…' if len(values) > EFFECT_CHARS_MAX else ''}".rstrip()


def _order(step: Step) -> tuple[Any, ...]:
    """Return the sort key of a node: parents before children, nodes of one list element together."""
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
