"""Declared record kinds: `records` in waybill.yaml, and the types of records that are built from it.

```yaml
records:
  shipment:
    fields:
      status: {enum: [packed, sent, delivered], required: true}
      weight: decimal
      sent_at: moment
      recipient: {object: {name: text, city: text}, personal: true}
      parcels: {list: {tracking_number: text, weight: decimal}}
```

Every record has `id`, `created_at`, `updated_at` and `deleted_at`. The other fields are those declared here.
"""

import keyword
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal, get_args

import msgspec
from msgspec import UNSET, Struct, UnsetType

from service.errors import ConfigError
from service.mistakes import Mistakes
from service.records import (
    RECORDS,
    DeclaredPart,
    DeclaredRecord,
    Money,
    Quantity,
    RecordType,
    RecordTypes,
    Text,
    Timestamp,
)

KINDS_MAX = 100
FIELDS_MAX = 300
"""Maximum number of fields of one kind, those of objects and list elements included."""
DEPTH_MAX = 4

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)
_NAME_FIX = "use a lower-case letter, then at most 39 lower-case letters, digits and underscores"
_OWN_FIELDS = frozenset(DeclaredRecord.__struct_fields__)
_CLASS_ATTRIBUTES = ("personal_fields", "required_fields", "nested_fields", "enum_values")
RESERVED_FIELDS = frozenset({"raw", "event", "previous", "delivery", *_CLASS_ATTRIBUTES, *keyword.kwlist})
RESERVED_KINDS = frozenset(RECORDS)

FieldType = Literal["text", "integer", "decimal", "money", "moment", "date", "boolean"]

_TYPES: Mapping[FieldType, Any] = {
    "text": Text,
    "integer": int | UnsetType | None,
    "decimal": Quantity | UnsetType | None,
    "money": Money | UnsetType | None,
    "moment": Timestamp,
    "date": date | UnsetType | None,
    "boolean": bool | UnsetType | None,
}
_ELEMENT_TYPES: Mapping[FieldType, Any] = {
    "text": str,
    "integer": int,
    "decimal": Quantity,
    "money": Money,
    "moment": datetime,
    "date": date,
    "boolean": bool,
}


class FieldConfig(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename={"list_": "list", "object_": "object"},
):
    """Field of a declared kind. Exactly one of `type`, `enum`, `list` and `object` is set.

    - `list`: the type of the elements, or the fields of each element.
    - `object`: the fields of the object.
    - `required`: a response without the field is an error.
    - `personal`: the value is masked in traces, logs, written rule tests and the stored state.
    """

    type: FieldType | None = None
    enum: tuple[str, ...] | None = None
    list_: "FieldType | dict[str, FieldType | FieldConfig] | None" = None
    object_: "dict[str, FieldType | FieldConfig] | None" = None
    required: bool = False
    personal: bool = False


Fields = Mapping[str, FieldType | FieldConfig]


class RecordKindConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Declared record kind: its fields by name, each a type or an object with a type and flags."""

    fields: dict[str, FieldType | FieldConfig]


def build_record_types(kinds: Mapping[str, RecordKindConfig]) -> tuple[RecordTypes, Sequence[ConfigError]]:
    """Build the types of the built-in and the declared kinds.

    Returns:
        The types by kind, and all mistakes in the declarations.
    """
    mistakes, types = Mistakes(), dict[str, RecordType](RECORDS)
    if len(kinds) > KINDS_MAX:
        mistakes.add(ConfigError("records", f"{len(kinds)} kinds, at most {KINDS_MAX} are allowed", "remove some"))
    for kind, config in kinds.items():
        for mistake in _check_kind(kind):
            mistakes.add(mistake)
        building = _KindBuilder(f"records.{kind}.fields", mistakes)
        types[kind] = building.build(kind, config.fields)
    return types, mistakes.found


def _has_required(kind: object) -> bool:
    """Return whether a type contains a struct with required fields: `Part | None`, or `tuple[Part, ...] | None`."""
    if isinstance(kind, type) and issubclass(kind, DeclaredPart):
        return bool(kind.required_fields or kind.nested_fields)
    return any(_has_required(part) for part in get_args(kind))


def _check_kind(kind: str) -> Iterator[ConfigError]:
    if not _NAME.fullmatch(kind):
        yield ConfigError(f"records.{kind[:64]}", "is not a valid name of a kind", _NAME_FIX)
    if kind in RESERVED_KINDS:
        fix = "use another name; platforms.*.records maps the fields of built-in kinds"
        yield ConfigError(f"records.{kind}", "is a built-in name", fix)


class _KindBuilder:
    """Builds the type of one kind, and collects the mistakes in its fields."""

    def __init__(self, at: str, mistakes: Mistakes) -> None:
        self._at = at
        self._mistakes = mistakes
        self._count = 0
        self._enum_values: dict[str, tuple[str, ...]] = {}

    def build(self, kind: str, fields: Fields) -> type[DeclaredRecord]:
        """Build the type of the record.

        Returns:
            The type.
        """
        if not fields:
            self._mistakes.add(ConfigError(self._at, "is empty", "add at least one field, such as status: text"))
        built = self._struct(kind, fields, DeclaredRecord, "", personal=False, depth=1)
        if self._count > FIELDS_MAX:
            reason = f"{self._count} fields, at most {FIELDS_MAX} are allowed"
            self._mistakes.add(ConfigError(self._at, reason, "declare the fields that rules use; raw. has the others"))
        return built

    def _struct(
        self, name: str, fields: Fields, base: type[DeclaredPart], above: str, *, personal: bool, depth: int
    ) -> Any:  # noqa: ANN401 - a type that is built here
        """Build the struct of a record, object or list element; `above` is its path as in `enum_values`."""
        if depth > DEPTH_MAX:
            reason = f"fields are nested deeper than {DEPTH_MAX}"
            self._mistakes.add(ConfigError(f"{self._at}.{above}", reason, "nest less deeply, or use raw."))
            return base
        members: list[tuple[str, Any, Any]] = []
        configs = {
            field: config if isinstance(config, FieldConfig) else FieldConfig(type=config)
            for field, config in fields.items()
        }
        for field, config in configs.items():
            self._count += 1
            path = f"{above}{field}"
            if self._check_name(field, path, is_record=base is DeclaredRecord):
                kind = self._type(config, path, personal=personal or config.personal, depth=depth)
                members.append((field, kind, UNSET))
        namespace: dict[str, Any] = {
            "personal_fields": frozenset(field for field, config in configs.items() if personal or config.personal),
            "required_fields": tuple(field for field, config in configs.items() if config.required),
            "nested_fields": tuple(field for field, kind, _ in members if _has_required(kind)),
        }
        if base is DeclaredRecord:
            namespace["enum_values"] = self._enum_values
        return msgspec.defstruct(
            name, members, bases=(base,), namespace=namespace, module=__name__, frozen=True, kw_only=True
        )

    def _type(self, config: FieldConfig, path: str, *, personal: bool, depth: int) -> Any:  # noqa: ANN401 - a type
        chosen = [name for name in ("type", "enum", "list_", "object_") if getattr(config, name) is not None]
        if len(chosen) != 1:
            reason = f"has {' and '.join(name.rstrip('_') for name in chosen)}" if chosen else "has no type"
            self._add(path, reason, "write exactly one of type, enum, list and object")
            return Text
        if config.type is not None:
            return _TYPES[config.type]
        if config.enum is not None:
            if not config.enum or len(set(config.enum)) < len(config.enum):
                self._add(path, "has no values, or one of them twice", "write enum: [open, closed]")
            self._enum_values[path] = config.enum
            return Text
        if isinstance(config.list_, str):
            element: Any = _ELEMENT_TYPES[config.list_]
            return tuple[element, ...] | UnsetType | None
        inside = f"{path}[]." if config.list_ is not None else f"{path}."
        fields: Fields = config.list_ or config.object_ or {}
        if not fields:
            self._add(path, "has no fields", "add at least one field")
        part = self._struct(path, fields, DeclaredPart, inside, personal=personal, depth=depth + 1)
        return (tuple[part, ...] if config.list_ is not None else part) | UnsetType | None

    def _check_name(self, field: str, path: str, *, is_record: bool) -> bool:
        if not _NAME.fullmatch(field):
            self._add(path[:120], "is not a valid name of a field", _NAME_FIX)
        elif is_record and field in _OWN_FIELDS:
            self._add(path, "is a field of every record", "remove it; map can give it another pointer")
        elif field in RESERVED_FIELDS:
            self._add(path, "is a reserved name", "use another name, and map it")
        else:
            return True
        return False

    def _add(self, path: str, reason: str, fix: str) -> None:
        self._mistakes.add(ConfigError(f"{self._at}.{path}", reason, fix))
