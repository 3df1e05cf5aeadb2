"""Difference between an event and the newest duplicate with other content. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, cast

import msgspec
from msgspec import Struct

from service.events import JsonValue
from service.management.event_filter import format_timestamp
from service.redaction import ELLIPSIS, redact_response

DIFFERENCES_MAX = 20
VALUE_CHARACTERS_MAX = 200
_ABSENT = object()

Place = tuple[str | int, ...]
"""Names of members and indexes of items, from the top of a body."""


class DifferingValue(Struct, frozen=True):
    """Value that differs. `path` is `type`, `record`, or a JSON pointer into the body.

    `first` and `later` are JSON texts of at most 200 characters; null if there is no such value, or if the role does
    not see bodies.
    """

    path: str
    first: str | None = None
    later: str | None = None


class DifferingDuplicates(Struct, frozen=True):
    """Duplicates of an event whose content differs. They were acknowledged and not processed.

    `body_bytes` and `differences` are of the newest one. `differences` has at most 20 items. It is null if a body has
    expired or is not JSON, and empty if the bodies differ in blanks or order only.
    """

    count: int
    last_at: str
    body_bytes: int | None
    differences: Sequence[DifferingValue] | None


def differing_duplicates(shown: Mapping[str, Any], visibility: str) -> DifferingDuplicates | None:
    """Return the view of an event's duplicates with other content; None if there are none."""
    differing: Mapping[str, Any] | None = shown["differing"]
    if differing is None:
        return None
    first, later = shown["event"], differing["event"]
    differences = None if first is None or later is None else _compare(first, later, visibility)
    body_bytes = None if later is None else len(later["body"])
    return DifferingDuplicates(differing["count"], format_timestamp(differing["at_ms"]), body_bytes, differences)


def _compare(first: Mapping[str, Any], later: Mapping[str, Any], visibility: str) -> list[DifferingValue] | None:
    try:
        bodies = [msgspec.json.decode(each["body"]) for each in (first, later)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    found = [
        DifferingValue(name, _text(first[name]), _text(later[name]))
        for name in ("type", "record")
        if first[name] != later[name]
    ]
    for place, one, other in islice(_differences((), *bodies), DIFFERENCES_MAX - len(found)):
        pointer = "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in place)
        values = (None, None) if visibility == "outline" else (_shown(place, each, visibility) for each in (one, other))
        found.append(DifferingValue(pointer, *values))
    return found


def _differences(place: Place, first: object, later: object) -> Iterator[tuple[Place, object, object]]:
    """Yield the innermost values that differ, with `_ABSENT` for a missing one."""
    mine, theirs = _members(first), _members(later)
    if mine is not None and theirs is not None and type(first) is type(later):
        for step in {**mine, **theirs}:
            yield from _differences((*place, step), mine.get(step, _ABSENT), theirs.get(step, _ABSENT))
    elif type(first) is not type(later) or first != later:  # the type too: true is not 1
        yield place, first, later


def _members(value: object) -> Mapping[str | int, object] | None:
    if isinstance(value, dict):
        return cast("dict[str | int, object]", value)
    return dict(enumerate(cast("list[object]", value))) if isinstance(value, list) else None


def _shown(place: Place, value: object, visibility: str) -> str | None:
    """Return a value as JSON text, redacted by the names above it."""
    if value is _ABSENT:
        return None
    if visibility == "raw":
        return _text(value)
    names = [step for step in place if isinstance(step, str)]
    nested = cast("JsonValue", value)
    for name in reversed(names):
        nested = {name: nested}
    nested = redact_response(nested, ())
    for name in names:
        if not isinstance(nested, dict):
            break
        nested = cast("dict[str, JsonValue]", nested)[name]
    return _text(nested)


def _text(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= VALUE_CHARACTERS_MAX else text[: VALUE_CHARACTERS_MAX - 1] + ELLIPSIS
