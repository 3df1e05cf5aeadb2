"""Field map of a custom platform: reads a record from any JSON by JSON pointers. Pure.

A key of `map` is a field of our record, dotted (`supplier.name`, `lines.price.value`). Its pointer is relative to the
record, below `lines` to the line. A field without a pointer is read under its own name. `currency` is not a field: it
points to the currency of all amounts without one. The map is compiled at start, and an unknown key is an error.
"""

import difflib
from collections.abc import Callable, Mapping
from types import UnionType
from typing import Any, Generic, TypeVar, cast, get_args, get_origin

import msgspec
from msgspec import UNSET, Struct, UnsetType

from service.bodies.pointers import parse_pointer, resolve_pointer
from service.errors import ConfigError
from service.platforms.api.coercion import as_money, as_quantity, as_tags, as_text, as_timestamp
from service.records import Address, Line, Money, Quantity, Supplier, Text, Timestamp

PointerSteps = tuple[str, ...]
ValueReader = Callable[[object, object], Any]
"""From where the pointers count, and the currency of amounts without one, to the field's value."""

Kind_co = TypeVar("Kind_co", bound=Struct, covariant=True)

CURRENCY = "currency"

_SCALARS: dict[object, Callable[[object], Any]] = {
    str: as_text,
    Text: as_text,
    Timestamp: as_timestamp,
    Quantity | UnsetType | None: as_quantity,
    tuple[str, ...] | UnsetType | None: as_tags,
}


class FieldMap(Generic[Kind_co]):
    """Pointers of one kind of record, checked against its fields; `path` is the place of the map in waybill.yaml."""

    def __init__(self, record: type[Kind_co], pointers: Mapping[str, str], path: str) -> None:
        self._pointers = {key: parse_pointer(pointer) for key, pointer in pointers.items()}
        self._known = {CURRENCY}
        self._read = self._structure(record, "", ())
        for key in self._pointers:
            if key not in self._known:
                near = difflib.get_close_matches(key, self._known, 1)
                fix = f"did you mean {near[0]}?" if near else f"one of {', '.join(sorted(self._known))}"
                raise ConfigError(f"{path}.{key}", "there is no such field", fix)

    def read(self, node: object) -> Kind_co:
        """Read a record; a field that is not found is UNSET, the id too."""
        currency = resolve_pointer(node, self._pointers[CURRENCY]) if CURRENCY in self._pointers else UNSET
        return cast("Kind_co", self._read(node, currency))

    def _structure(self, structure: type[Struct], above: str, base: PointerSteps) -> ValueReader:
        parts: list[tuple[str, ValueReader]] = []
        for field in msgspec.structs.fields(structure):
            name = f"{above}.{field.name}" if above else field.name
            parts.append((field.name, self._field(field.type, name, (*base, field.name))))

        def read(anchor: object, currency: object) -> Struct:
            return structure(**{name: part(anchor, currency) for name, part in parts})

        return read

    def _field(self, annotation: object, name: str, own: PointerSteps) -> ValueReader:
        steps = self._steps(name, own)
        scalar = _SCALARS.get(annotation)
        if scalar is not None:
            return lambda anchor, _: scalar(resolve_pointer(anchor, steps))
        inner = _inner(annotation)
        if inner is Money:
            return self._money(name, steps)
        if inner is Line:
            return _many(self._structure(Line, name, ()), steps)
        below = any(key.startswith(f"{name}.") for key in self._pointers)
        return _one(self._structure(inner, name, steps), steps, below=below)

    def _money(self, name: str, steps: PointerSteps) -> ValueReader:
        value, code = (
            self._steps(f"{name}.value", (*steps, "value")),
            self._steps(f"{name}.currency", (*steps, CURRENCY)),
        )
        split = f"{name}.value" in self._pointers

        def read(anchor: object, currency: object) -> Money | UnsetType | None:
            whole = UNSET if split else resolve_pointer(anchor, steps)
            amount = resolve_pointer(anchor, value) if split or isinstance(whole, dict) else whole
            own = resolve_pointer(anchor, code)
            return None if amount is None else as_money(amount, currency if own is UNSET else own)

        return read

    def _steps(self, name: str, own: PointerSteps) -> PointerSteps:
        self._known.add(name)
        return self._pointers.get(name, own)


def _one(read: ValueReader, steps: PointerSteps, *, below: bool) -> ValueReader:
    """Build the reader of a nested object: its fields may have pointers of their own (`below`)."""

    def nested(anchor: object, currency: object) -> object:
        whole = resolve_pointer(anchor, steps)
        if isinstance(whole, dict) or below:
            return read(anchor, currency)
        return None if whole is None else UNSET

    return nested


def _many(read: ValueReader, steps: PointerSteps) -> ValueReader:
    def items(anchor: object, currency: object) -> object:
        found = resolve_pointer(anchor, steps)
        if not isinstance(found, list):
            return None if found is None else UNSET
        return tuple(read(item, currency) for item in cast("list[object]", found) if _is_object(item))

    return items


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _inner(annotation: object) -> type[Struct]:
    """Return the one struct inside `Supplier | None | UnsetType` or `tuple[Line, ...] | None | UnsetType`."""
    members = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    flat = [part for member in members for part in (get_args(member) if get_origin(member) is tuple else (member,))]
    return next(part for part in flat if part in {Money, Line, Address, Supplier})
