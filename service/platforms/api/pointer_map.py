"""Pointer map of an account on a built-in platform: `map` in waybill.yaml corrects the pointers of a connector. Pure.

A connector reads each field at one place: a pointer into the record of the platform, below `lines` into the line. The
map gives a field another pointer. The value there is moved to the connector's place before the connector reads the
record, so that conversions stay the same. Fields that the connector does not read, such as the order's own total, are
read after it. `raw` keeps the platform's own structure.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, cast

import msgspec
from msgspec import UNSET

from service.bodies.pointers import parse_pointer, resolve_pointer
from service.config.platforms import LINES, BuiltInPlatformConfig, FieldPlaces
from service.config.record_maps import FieldPointer
from service.platforms.api.coercion import JsonObject
from service.platforms.api.decoding import unwrap
from service.platforms.api.field_map import FieldMap
from service.platforms.api.responses import PlatformResponse
from service.records import OWN_FIELDS, RECORDS, Record, Timestamp

RecordReader = Callable[[PlatformResponse], tuple[JsonObject, Record, Timestamp]]


class _Move(NamedTuple):
    """One correction: the steps to the value, and the steps to the connector's place."""

    source: tuple[str, ...]
    target: tuple[str, ...]


class _Moves(NamedTuple):
    """Corrections of one kind of record: in the record, in each line, and the steps to the lines."""

    record: list[_Move]
    line: list[_Move]
    lines: tuple[str, ...]


class PointerMap:
    """Corrections of one account, by kind of record. `at` is its path in waybill.yaml.

    Raises:
        ConfigErrors: All mistakes in the pointers of fields that the connector does not read.
    """

    def __init__(self, config: BuiltInPlatformConfig, at: str) -> None:
        self._wrapped = config.wrapped
        self._moves = {kind: _compile(config.places[kind], fields) for kind, fields in config.map.items() if fields}
        self._own = {
            kind: FieldMap(RECORDS[kind], own, f"{at}.map.{kind}", OWN_FIELDS[kind])
            for kind in config.map
            if (own := config.own_pointers(kind))
        }

    def place(self, kind: str, node: JsonObject) -> JsonObject:
        """Return a record with the mapped values at the connector's places; `node` itself without a map."""
        moves = self._moves.get(kind)
        if moves is None:
            return node
        placed = _moved(node, moves.record)
        lines = resolve_pointer(placed, moves.lines) if moves.line else UNSET
        if isinstance(lines, list):
            items = [cast("JsonObject", item) for item in cast("list[Any]", lines) if isinstance(item, dict)]
            _put(placed, moves.lines, [_moved(item, moves.line) for item in items])
        return placed

    def reader(self, kind: str, read: RecordReader) -> RecordReader:
        """Build a reader of responses that applies the map.

        Returns:
            The reader: it returns the record of the platform unchanged, and our record by the map.
        """
        if kind not in self._moves:
            return read
        own = self._own.get(kind)

        def read_mapped(reply: PlatformResponse) -> tuple[JsonObject, Record, Timestamp]:
            state = unwrap(reply.data, reply.status, wrapped=self._wrapped)
            placed = self.place(kind, state)
            data = placed if self._wrapped is False else {"data": placed}
            _, record, modified = read(msgspec.structs.replace(reply, data=data))
            if own is not None:
                record = msgspec.structs.replace(record, **own.read_fields(state))
            return state, record, modified

        return read_mapped


def missing_fields(fields: Iterable[str], record: Record) -> list[str]:
    """List the fields that a response did not have; of a missing object only the object itself.

    Returns:
        The fields. A field below null is not missing, nor is one of a line if there is no line.
    """
    missing: list[str] = []
    for field in fields:
        if not field.startswith(tuple(f"{above}." for above in missing)) and _is_missing(record, field.split(".")):
            missing.append(field)
    return missing


def _is_missing(value: object, names: list[str]) -> bool:
    for name in names:
        if isinstance(value, tuple):
            value = cast("tuple[object, ...]", value)[0] if value else None
        if value is None:
            return False
        value = getattr(value, name)
    return value is UNSET


def _compile(places: FieldPlaces, pointers: Mapping[str, str | FieldPointer]) -> _Moves:
    moves = [
        (field, _Move(parse_pointer(pointer), parse_pointer(places[field])))
        for field, pointer in sorted(pointers.items(), key=lambda item: item[0].count("."))  # a whole before its parts
        if isinstance(pointer, str) and field in places
    ]
    of_lines = [move for field, move in moves if field.startswith(f"{LINES}.")]
    of_record = [move for field, move in moves if not field.startswith(f"{LINES}.")]
    return _Moves(of_record, of_lines, parse_pointer(places.get(LINES, "")))


def _moved(node: JsonObject, moves: list[_Move]) -> dict[str, Any]:
    placed = dict(node)
    for move in moves:
        _put(placed, move.target, resolve_pointer(node, move.source))
    return placed


def _put(node: dict[str, Any], steps: tuple[str, ...], value: object) -> None:
    """Put a value at a place, on copies of the objects above it; UNSET removes the value there."""
    for step in steps[:-1]:
        inner = node.get(step)
        if value is UNSET and not isinstance(inner, dict):
            return
        node[step] = dict(cast("dict[str, Any]", inner)) if isinstance(inner, dict) else {}
        node = node[step]
    if value is UNSET:
        node.pop(steps[-1], None)
    else:
        node[steps[-1]] = value
