"""Field map: reads a record, or some of its fields, from any JSON by JSON pointers. Pure.

A key of `map` is a field of our record, dotted (`supplier.name`, `lines.price.value`). Its pointer is relative to the
record, below a list to the element. A field without a pointer is read under its own name. `currency` is not a field: it
points to the currency of all amounts without one. The map is compiled at start, and an unknown key is an error.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Generic, TypeVar, cast

import msgspec
from msgspec import UNSET, Struct, UnsetType

from service.bodies.pointers import parse_pointer, resolve_pointer
from service.config.decoding import did_you_mean
from service.config.record_maps import FieldPointer
from service.errors import ConfigError
from service.mistakes import Mistakes
from service.platforms.api.coercion import as_money, as_objects
from service.platforms.api.conversions import (
    Conversions,
    ElementType,
    build_conversion,
    check_options,
    scaled,
    struct_of,
)
from service.records import DeclaredPart, Money

PointerSteps = tuple[str, ...]
ValueReader = Callable[[object, object], Any]
"""From where the pointers count, and the currency of amounts without one, to the field's value."""

Parts = list[tuple[str, ValueReader]]

Kind_co = TypeVar("Kind_co", bound=Struct, covariant=True)

CURRENCY = "currency"
EACH = "*"
"""Step of a pointer that stands for all items of a list."""

PLAIN = FieldPointer()


class FieldMap(Generic[Kind_co]):
    """Pointers of one kind of record, checked against its fields; `path` is the place of the map in waybill.yaml.

    With `only`, it reads these fields of the record alone.

    Raises:
        ConfigErrors: All mistakes in the map.
    """

    def __init__(
        self,
        record: type[Kind_co],
        pointers: Mapping[str, str | FieldPointer],
        path: str,
        only: Collection[str] | None = None,
    ) -> None:
        self._pointers = {
            key: pointer if isinstance(pointer, FieldPointer) else FieldPointer(pointer=pointer)
            for key, pointer in pointers.items()
        }
        self._path, self._mistakes, self._known = path, Mistakes(), {CURRENCY}
        self._currency = self._pointers.get(CURRENCY)
        self._currency_steps = parse_pointer((self._currency.pointer if self._currency else None) or f"/{CURRENCY}")
        self._record = record
        self._parts = self._compile(record, "", (), only)
        for key in self._pointers.keys() - self._known:
            self._add(key, "there is no such field", did_you_mean(key, self._known))
        self._mistakes.raise_all()

    def read(self, node: object) -> Kind_co:
        """Read a record; a field that is not found is UNSET, the id too."""
        return self._record(**self.read_fields(node))

    def read_fields(self, node: object) -> dict[str, Any]:
        """Read the fields of a record, by the names of its struct."""
        currency: object = UNSET
        if self._currency is not None:
            found = resolve_pointer(node, self._currency_steps) if self._currency.pointer is not None else UNSET
            currency = self._currency.default if found is UNSET or found is None else found
        return {name: part(node, currency) for name, part in self._parts}

    def _structure(self, structure: type[Struct], above: str, base: PointerSteps) -> ValueReader:
        parts = self._compile(structure, above, base)

        def read(anchor: object, currency: object) -> Struct:
            return structure(**{name: part(anchor, currency) for name, part in parts})

        return read

    def _compile(
        self, structure: type[Struct], above: str, base: PointerSteps, only: Collection[str] | None = None
    ) -> Parts:
        """Build the readers of the fields of a struct, by their names."""
        parts: Parts = []
        for field in msgspec.structs.fields(structure):
            name = f"{above}.{field.encode_name}" if above else field.encode_name
            if only is not None and name not in only:
                continue
            # Values that are derived by default are read only where the map names them.
            if field.name.startswith("_") and not self._has(name):
                self._known.add(name)
                continue
            parts.append((field.name, self._field(field.type, name, (*base, field.encode_name))))
        return parts

    def _field(self, annotation: object, name: str, own: PointerSteps) -> ValueReader:
        self._known.add(name)
        options = self._pointers.get(name, PLAIN)
        steps = own if options.pointer is None else parse_pointer(options.pointer)
        kind = ElementType.of(annotation)
        for field, reason, fix in check_options(kind, options):
            self._add(f"{name}.{field}" if field else name, reason, fix)
        if EACH in steps and not kind.is_list:
            self._add(name, f"{options.pointer} has a step *, but the field is not a list", "point to one value")
        inner = struct_of(kind)
        if inner is Money and not kind.is_list:
            return self._money(name, steps, options)
        if inner is None or inner is Money:
            return _scalar(build_conversion(kind, options), steps, options, is_list=kind.is_list)
        if kind.is_list:
            return _many(self._structure(inner, name, ()), steps)
        below = any(key.startswith(f"{name}.") for key in self._pointers)
        return _one(self._structure(inner, name, steps), steps, below=below)

    def _check_money(self, name: str) -> None:
        for part in ("value", CURRENCY):
            self._known.add(f"{name}.{part}")
            if f"{name}.{part}" in self._pointers and self._pointers[f"{name}.{part}"].pointer is None:
                self._add(f"{name}.{part}", "has no pointer", f"write the options of {name} instead")

    def _money(self, name: str, steps: PointerSteps, options: FieldPointer) -> ValueReader:
        self._check_money(name)
        split = self._pointers.get(f"{name}.value")
        value = parse_pointer(split.pointer or "") if split else (*steps, "value")
        constant, code = self._currency_of(name, (*steps, CURRENCY), options)
        scale = options.scale or (split.scale if split else None)

        def read(anchor: object, currency: object) -> Money | UnsetType | None:
            whole = UNSET if split else resolve_pointer(anchor, steps)
            amount = resolve_pointer(anchor, value) if split or isinstance(whole, dict) else whole
            if options.default is not UNSET and (amount is UNSET or amount is None):
                amount = options.default
            if amount is None:
                return None
            own = constant or resolve_pointer(anchor, code)
            return as_money(scaled(amount, scale), currency if own is UNSET else own)

        return read

    def _currency_of(self, name: str, own: PointerSteps, options: FieldPointer) -> tuple[str | None, PointerSteps]:
        """Return the constant currency of an amount, or None and the steps to it."""
        written = options.currency or getattr(self._pointers.get(f"{name}.{CURRENCY}"), "pointer", None)
        if written is None:
            return None, own
        return (None, parse_pointer(written)) if written.startswith("/") else (written, ())

    def _has(self, name: str) -> bool:
        return name in self._pointers or any(key.startswith(f"{name}.") for key in self._pointers)

    def _add(self, key: str, reason: str, fix: str) -> None:
        self._mistakes.add(ConfigError(f"{self._path}.{key}", reason, fix))


def missing_required(value: object, above: str = "") -> list[str]:
    """List the required fields of a record that are absent or null, also in its objects and list elements.

    Returns:
        The paths of the fields, each once.
    """
    missing: list[str] = []
    if isinstance(value, tuple):
        for item in cast("tuple[object, ...]", value):
            missing += [path for path in missing_required(item, above) if path not in missing]
    elif isinstance(value, DeclaredPart):
        for name in value.required_fields:
            found = getattr(value, name)
            if found is UNSET or found is None:
                missing.append(f"{above}{name}")
        for name in value.nested_fields:
            missing += missing_required(getattr(value, name), f"{above}{name}.")
    return missing


def _scalar(conversion: Conversions, steps: PointerSteps, options: FieldPointer, *, is_list: bool) -> ValueReader:
    """Build the reader of a single value, or of a list of them."""
    if is_list:
        convert_all = conversion.many
        return lambda anchor, currency: convert_all(_items(anchor, steps), currency)
    convert = conversion.one
    if options.default is UNSET:
        return lambda anchor, _: convert(resolve_pointer(anchor, steps))
    default = options.default

    def read(anchor: object, _currency: object) -> object:
        found = resolve_pointer(anchor, steps)
        return convert(default if found is UNSET or found is None else found)

    return read


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
        found = as_objects(_items(anchor, steps))
        return found if found is None or found is UNSET else tuple(read(item, currency) for item in found)

    return items


def _items(node: object, steps: PointerSteps) -> object:
    """Return the value at the steps. With a step `*`, return the values of all items as one list."""
    if EACH not in steps:
        return resolve_pointer(node, steps)
    position = steps.index(EACH)
    items, rest = resolve_pointer(node, steps[:position]), steps[position + 1 :]
    if not isinstance(items, list):
        return None if items is None else UNSET
    found: list[object] = []
    for item in cast("list[object]", items):
        value = _items(item, rest)
        if isinstance(value, list):
            found.extend(cast("list[object]", value))
        elif value is not UNSET and value is not None:
            found.append(value)
    return found
