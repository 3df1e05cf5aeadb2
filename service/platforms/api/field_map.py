"""Field map: reads a record, or some of its fields, from any JSON by JSON pointers. Pure.

A key of `map` is a field of our record, dotted (`supplier.name`, `lines.price.value`). Its pointer is relative to the
record, below a list to the element. A field without a pointer is read under its own name. `currency` is not a field: it
points to the currency of all amounts without one. The map is compiled at start, and an unknown key is an error.
"""

import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any, Generic, TypeVar, cast

import msgspec
from msgspec import UNSET, Struct, UnsetType

from service.bodies.pointers import parse_pointer
from service.config.decoding import did_you_mean
from service.config.record_maps import FieldPointer
from service.errors import ConfigError
from service.mistakes import Mistakes
from service.platforms.api.coercion import as_money
from service.platforms.api.conversions import (
    Conversions,
    ElementType,
    build_conversion,
    check_options,
    scaled,
    struct_of,
)
from service.platforms.api.decoding import decode_typed
from service.platforms.api.generated_readers import Parts, ScalarReader, ValueReader, build_struct_reader
from service.platforms.api.value_places import (
    EACH,
    JSON,
    NoStructError,
    PointerSteps,
    StructPlaces,
    ValueGetter,
    ValuePlaces,
)
from service.records import DeclaredPart, Money

FieldsReader = Callable[[object], dict[str, Any]]

Kind_co = TypeVar("Kind_co", bound=Struct, covariant=True)

CURRENCY = "currency"
PLAIN = FieldPointer()

_fields = functools.lru_cache(maxsize=128)(msgspec.structs.fields)  # it evaluates the annotations at each call


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
        self._record = record
        self._only = only
        self.read_fields = self._reader(JSON)
        for key in self._pointers.keys() - self._known:
            self._add(key, "there is no such field", did_you_mean(key, self._known))
        self._mistakes.raise_all()

    def read(self, node: object) -> Kind_co:
        """Read a record; a field that is not found is UNSET, the id too."""
        return self._record(**self.read_fields(node))

    def typed(self, at: PointerSteps) -> "TypedFieldMap[Kind_co] | None":
        """Build the reader of bytes whose record is `at` a pointer; None if structs cannot represent the pointers."""
        try:
            places = StructPlaces()
            self._reader(places.inside(at))
            decoder = places.build()
            return TypedFieldMap(self._record, decoder, places.object_at(at), self._reader(places.inside(at)))
        except NoStructError:
            return None

    def _reader(self, places: ValuePlaces) -> FieldsReader:
        """Build the function that reads the fields of a record, by the names of its struct."""
        parts = self._compile(self._record, "", (), places)
        get, default = None, UNSET
        if self._currency is not None:
            get = places.value(parse_pointer(self._currency.pointer)) if self._currency.pointer is not None else None
            default = self._currency.default

        def read(node: object) -> dict[str, Any]:
            currency = UNSET if get is None else get(node)
            if currency is UNSET or currency is None:
                currency = default
            return {name: part(node, currency) for name, part in parts}

        return read

    def _structure(self, structure: type[Struct], above: str, base: PointerSteps, places: ValuePlaces) -> ValueReader:
        return build_struct_reader(structure, self._compile(structure, above, base, places))

    def _compile(self, structure: type[Struct], above: str, base: PointerSteps, places: ValuePlaces) -> Parts:
        """Build the readers of the fields of a struct, by their names."""
        parts: list[tuple[str, ValueReader]] = []
        for field in _fields(structure):
            name = f"{above}.{field.encode_name}" if above else field.encode_name
            if self._only is not None and not above and name not in self._only:
                continue
            # Values that are derived by default are read only where the map names them.
            if field.name.startswith("_") and not self._has(name):
                self._known.add(name)
                continue
            parts.append((field.name, self._field(field.type, name, (*base, field.encode_name), places)))
        return parts

    def _field(self, annotation: object, name: str, own: PointerSteps, places: ValuePlaces) -> ValueReader:
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
            return self._money(name, steps, options, places)
        if inner is None or inner is Money:
            return _scalar(build_conversion(kind, options), places.value(steps), options, is_list=kind.is_list)
        if kind.is_list:
            elements, below_each = places.elements(steps)
            return _many(self._structure(inner, name, (), below_each), elements)
        below = any(key.startswith(f"{name}.") for key in self._pointers)
        return _one(self._structure(inner, name, steps, places), places.presence(steps), below=below)

    def _check_money(self, name: str) -> None:
        for part in ("value", CURRENCY):
            self._known.add(f"{name}.{part}")
            if f"{name}.{part}" in self._pointers and self._pointers[f"{name}.{part}"].pointer is None:
                self._add(f"{name}.{part}", "has no pointer", f"write the options of {name} instead")

    def _money(self, name: str, steps: PointerSteps, options: FieldPointer, places: ValuePlaces) -> ValueReader:
        self._check_money(name)
        split = self._pointers.get(f"{name}.value")
        get = places.value(parse_pointer(split.pointer or "") if split else steps)
        constant, code = self._currency_of(name, (*steps, CURRENCY), options)
        is_own = split is None and code == (*steps, CURRENCY)
        get_currency = None if constant is not UNSET or is_own else places.value(code)
        scale = options.scale or (split.scale if split else None)

        def read(anchor: object, currency: object) -> Money | UnsetType | None:
            amount, own = get(anchor), constant
            if amount.__class__ is dict and split is None:
                own = amount.get(CURRENCY, UNSET) if is_own else own
                amount = amount.get("value", UNSET)
            if options.default is not UNSET and (amount is UNSET or amount is None):
                amount = options.default
            if amount is None:
                return None
            if get_currency is not None:
                own = get_currency(anchor)
            return as_money(scaled(amount, scale), currency if own is UNSET else own)

        return read

    def _currency_of(self, name: str, own: PointerSteps, options: FieldPointer) -> tuple[str | UnsetType, PointerSteps]:
        """Return the constant currency of an amount, or UNSET and the steps to it."""
        written = options.currency or getattr(self._pointers.get(f"{name}.{CURRENCY}"), "pointer", None)
        if written is None:
            return UNSET, own
        return (UNSET, parse_pointer(written)) if written.startswith("/") else (written, ())

    def _has(self, name: str) -> bool:
        return name in self._pointers or any(key.startswith(f"{name}.") for key in self._pointers)

    def _add(self, key: str, reason: str, fix: str) -> None:
        self._mistakes.add(ConfigError(f"{self._path}.{key}", reason, fix))


class TypedFieldMap(Generic[Kind_co]):
    """Field map that reads the bytes of a response."""

    def __init__(
        self, record: type[Kind_co], decoder: msgspec.json.Decoder[Struct], get: ValueGetter, read_fields: FieldsReader
    ) -> None:
        self._record = record
        self._decoder = decoder
        self._get = get
        self._read_fields = read_fields

    def read(self, body: bytes) -> Kind_co | None:
        """Read a record; None if only its plain JSON can be read."""
        node = decode_typed(body, self._decoder)
        node = None if node is None else self._get(node)
        return None if node is None or node is UNSET else self._record(**self._read_fields(node))


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


def _scalar(conversion: Conversions, get: ValueGetter, options: FieldPointer, *, is_list: bool) -> ValueReader:
    """Build the reader of a single value, or of a list of them."""
    if is_list:
        convert_all = conversion.many
        return lambda anchor, currency: convert_all(get(anchor), currency)
    convert = conversion.one
    if options.default is UNSET:
        return ScalarReader(get, convert)
    default = options.default

    def read(anchor: object, _currency: object) -> object:
        found = get(anchor)
        return convert(default if found is UNSET or found is None else found)

    return read


def _one(read: ValueReader, presence: ValueGetter, *, below: bool) -> ValueReader:
    """Build the reader of a nested object: its fields may have pointers of their own (`below`)."""

    def nested(anchor: object, currency: object) -> object:
        found = presence(anchor)
        return read(anchor, currency) if below or found is True else found

    return nested


def _many(read: ValueReader, elements: ValueGetter) -> ValueReader:
    def items(anchor: object, currency: object) -> object:
        found = elements(anchor)
        return tuple([read(item, currency) for item in found]) if found.__class__ is list else found

    return items
