"""Readers of plain JSON data by dotted paths."""

from collections.abc import Callable, Sequence
from typing import Any, cast

from msgspec import UNSET

from service.rules.scope import Value


def plain_reader(names: Sequence[str], start: Callable[[Any], Value]) -> Callable[[Any], Value]:
    """Return a reader of the value below `start`, by names of keys and indexes of elements; UNSET if it is absent."""

    def plain(source: Value) -> Value:
        value = start(source)
        for name in names:
            if value is UNSET:
                return UNSET
            value = _child(value, name)
        return value

    return plain


def _child(value: Value, name: str) -> Value:
    """Return a child of plain JSON: the value of a key, or the element at an index."""
    if isinstance(value, dict):
        return cast("dict[str, Value]", value).get(name, UNSET)
    if isinstance(value, list) and name.isascii() and name.isdigit() and len(name) < 10:
        elements = cast("list[Value]", value)
        return elements[int(name)] if int(name) < len(elements) else UNSET
    return UNSET
