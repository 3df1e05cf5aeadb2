"""Readers of the fields of structs. An absent value is read as UNSET, also below absent parents."""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, cast

from msgspec import UNSET

from service.rules.scope import Scope, Value

FieldReader = Callable[[Any], Value]


def is_index(name: str) -> bool:
    """Return whether a name in a path is the index of a list element."""
    return name.isascii() and name.isdigit() and len(name) < 10


def path_reader(path: str) -> FieldReader:
    """Return a reader of attributes, and of list elements by index: `record.lines.0.id`."""
    steps = [int(name) if is_index(name) else name for name in path.split(".")]
    if not any(isinstance(step, int) for step in steps):
        return attrgetter(path)

    def read(source: Value) -> Value:
        for step in steps:
            source = cast("Sequence[Value]", source)[step] if isinstance(step, int) else getattr(source, step)
        return source

    return read


def itself(value: Value) -> Value:
    """Return the value."""
    return value


def guarded(read: FieldReader) -> FieldReader:
    """Return a reader that returns UNSET below an absent parent."""

    def guarded_read(source: Value) -> Value:
        try:
            return read(source)
        except (AttributeError, TypeError, ValueError, ArithmeticError, IndexError):
            # An absent parent, or a derived field that cannot be computed: absent as well.
            return UNSET

    return guarded_read


def derived_reader(name: str, rest: str) -> FieldReader:
    """Return a reader that computes a derived field once per subject. `total.value` and `total.currency` share it."""
    compute = guarded(attrgetter(f"record.{name}"))
    inner = guarded(attrgetter(rest)) if rest else itself
    path = f"{name}.{rest}" if rest else name

    def derived(scope: Scope) -> Value:
        known = scope.known
        if path in known:
            return known[path]
        if name not in known:
            known[name] = compute(scope)
        value = known[path] = inner(known[name])
        return value

    return derived
