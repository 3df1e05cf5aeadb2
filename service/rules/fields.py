"""Fields of records: their kinds and readers, derived from the types in `service.records`.

A dotted path is resolved into a reader once, when a rule is loaded. An unknown path is rejected with the closest known
name. Absent values are read as UNSET and null as None, also below absent parents.
"""

import difflib
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import cache, cached_property
from operator import attrgetter
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET, Struct, UnsetType

from service.errors import ConfigError
from service.records import PERSONAL, EventRecord, Money
from service.rules.delivery_fields import DELIVERY, header_of, payload_of
from service.rules.limits import FIELD_CHARS_MAX
from service.rules.lookup_readers import CompiledLookup
from service.rules.masking import personal_path
from service.rules.plain_data import plain_reader
from service.rules.previous_state import decode_previous
from service.rules.readers import FieldReader, derived_reader, guarded, is_index, itself, path_reader
from service.rules.scope import Value

FieldKind = Literal["text", "number", "amount", "money", "timestamp", "date", "boolean", "struct", "list", "any"]
"""`amount` is the number in money, which cannot be compared with other numbers; `any` is untyped data under `raw.`."""

EVENT_FIELDS: dict[str, FieldKind] = {
    "id": "text", "source": "text", "type": "text", "change": "text", "occurred_at": "text", "depth": "number",
    "trail": "text", "sender_id": "text", "record.platform": "text", "record.kind": "text", "record.id": "text",
}  # fmt: skip
"""The fields of the event that rules may use. Its headers and its body are under `delivery.`."""


ROOTS = {"raw": "raw.status", "event": "event.source", "previous": "previous.status", DELIVERY: "delivery.status"}
"""The first names of paths that are not fields of the record, each with an example."""
NOT_PREVIOUS = ("event.", "previous.", f"{DELIVERY}.")
"""Beginnings of the paths that have no previous state."""
NOT_OF_EVENTS = frozenset({"raw", "previous", "event.record.platform"})
"""First names and paths that rules about an event alone cannot use."""


class Member(Struct, frozen=True):
    """One field of a struct: its kind and type, and whether it is derived from other fields, and personal."""

    kind: FieldKind
    type: Any
    derived: bool
    personal: bool = False


class FieldScope(Struct, frozen=True):
    """The fields that a condition can use: those of the record, or of a list element (`element` None: untyped)."""

    record: type[Struct]
    previous_fields: dict[str, "Field"]
    """Collects the fields that are compared with `previous`, by path, for `Rulebook.previous_fields`."""
    depth: int = 0
    element: Any = None
    roots: set[str] = msgspec.field(default_factory=set[str])
    """Collects `delivery` if a rule reads the payload of the delivery, and the names of look-ups that it reads."""
    lookups: Mapping[str, CompiledLookup] = {}

    def is_lookup(self, path: str) -> bool:
        """Return whether a path, with or without functions, begins with the name of a look-up."""
        return path.replace(" ", ".").partition(".")[0] in self.lookups


class Field(Struct, frozen=True):
    """A resolved path. `read` takes the scope if `rooted`, else the current list element.

    `path` is the path without `$root.`. `item` is the element type of a list. `attribute` is the path of declared
    fields of the element, which a list loop reads without a call.
    """

    path: str
    kind: FieldKind
    read: FieldReader
    rooted: bool
    personal: bool = False
    item: Any = None
    attribute: str | None = None


def resolve(path: str, fields: FieldScope, at: str) -> Field:
    """Resolve `path` to a field. `at` is the position of the path in the rule, for errors.

    Raises:
        ConfigError: there is no such field, or the path continues below a list or a single value.
    """
    if len(path) > FIELD_CHARS_MAX or not all(path.split(".")):
        raise ConfigError(at, f"{path[:40]!r} is not a valid field", "separate names by dots, as in supplier.name")
    if fields.depth and not path.startswith("$root."):
        return _resolve_in_element(path, fields, at)
    return _resolve_in_record(path.removeprefix("$root."), fields, at)


def _resolve_in_record(path: str, fields: FieldScope, at: str) -> Field:
    root, _, rest = path.partition(".")
    if fields.record is EventRecord and (root in NOT_OF_EVENTS or path in NOT_OF_EVENTS):
        reason = f"an event without a platform has no {path}"
        raise ConfigError(at, reason, "use event.source, another field of event., or a field of delivery.")
    if root in fields.lookups:
        return _resolve_in_lookup(path, fields, at)
    if root == "raw" and rest:
        return Field(
            path, "any", plain_reader(rest.split("."), attrgetter("raw")), rooted=True, personal=personal_path(path)
        )
    if root == DELIVERY and rest:
        return _resolve_in_delivery(path, rest.split("."), fields, at)
    if root == "event" and rest:
        if rest not in EVENT_FIELDS:
            raise _unknown(path, rest, EVENT_FIELDS, "event.", at)
        return Field(path, EVENT_FIELDS[rest], attrgetter(path), rooted=True)
    if root == "previous" and rest:
        return _resolve_in_previous(rest, fields, at)
    if path in ROOTS:
        example = ROOTS[path]
        raise ConfigError(at, f"{path} is not a field itself", f"use one of its fields, such as {example}")
    names = path.split(".")
    member, personal = _walk(fields.record, names, at)
    if members(fields.record)[root].derived:
        read = derived_reader(root, rest)
    else:
        read = attrgetter(f"record.{path}") if not rest else guarded(path_reader(f"record.{path}"))
    return Field(path, member.kind, read, rooted=True, personal=personal, item=item_of(member))


def _resolve_in_lookup(path: str, fields: FieldScope, at: str) -> Field:
    """Resolve the record of a look-up, a field of it, or the list of a look-up with `each`."""
    name, _, rest = path.partition(".")
    lookup = fields.lookups[name]
    fields.roots.add(name)
    if lookup.element is not None:
        if rest:
            raise ConfigError(at, f"{name} is a list", f"use any_of: {name}, and record.{rest}")
        return Field(path, "list", lookup.read_elements, rooted=True, item=lookup.element)
    member, personal = _walk(lookup.record, rest.split(".") if rest else [], at, f"{name}.")
    get = guarded(path_reader(rest)) if rest else itself
    read_record = lookup.read_record
    return Field(
        path, member.kind, lambda scope: get(read_record(scope)), rooted=True, personal=personal, item=item_of(member)
    )


def _resolve_in_delivery(path: str, names: list[str], fields: FieldScope, at: str) -> Field:
    if names[0] == "headers":
        header = header_of(names[1:], at)
        return Field(
            path,
            "text",
            lambda scope: scope.event.headers.get(header, UNSET),
            rooted=True,
            personal=personal_path(path),
        )
    fields.roots.add(DELIVERY)
    return Field(path, "any", plain_reader(names, payload_of), rooted=True, personal=personal_path(path))


def _resolve_in_previous(path: str, fields: FieldScope, at: str) -> Field:
    field = _resolve_in_record(path, fields, at)
    if path.startswith(NOT_PREVIOUS) or fields.is_lookup(path):
        raise ConfigError(at, f"only the record has a previous state, {path} has none", "use a field of the record")
    if field.personal or field.kind in {"struct", "list"}:
        raise ConfigError(at, f"only a digest of {path} is stored", f"write field: {path}, op: changed")
    fields.previous_fields[path] = field
    return Field(
        f"previous.{path}", field.kind, lambda scope: decode_previous(scope.previous.get(path, UNSET)), rooted=True
    )


def _resolve_in_element(path: str, fields: FieldScope, at: str) -> Field:
    if path == "$item":
        kind = _kind_of(fields.element) if fields.element else "any"
        return Field(path, kind, itself, rooted=False)
    if fields.element is None:
        return Field(path, "any", plain_reader(path.split("."), itself), rooted=False, personal=personal_path(path))
    if not _is_struct(fields.element):
        raise ConfigError(at, f"the elements have no field {path!r}", "use $item for the element itself")
    names = path.split(".")
    member, personal = _walk(fields.element, names, at)
    return Field(
        path, member.kind, guarded(path_reader(path)), rooted=False, personal=personal, item=item_of(member),
        attribute=path if _is_declared(fields.element, names) else None,
    )  # fmt: skip


def _is_declared(struct: Any, names: list[str]) -> bool:  # noqa: ANN401 - a type
    """Return whether no name of a path is derived."""
    for name in names:
        member = members(struct)[name]
        if member.derived:
            return False
        struct = member.type
    return True


@cache
def members(struct: type[Struct]) -> Mapping[str, Member]:
    """Return every field and derived field of a struct, by name."""
    hints, personal = get_type_hints(struct), PERSONAL | getattr(struct, "personal_fields", frozenset[str]())
    # A name with an underscore is the platform's own value of a derived field.
    names = [name for name in struct.__struct_fields__ if not name.startswith("_")]
    found = {name: _member(hints[name], derived=False, personal=name in personal) for name in names}
    for name, attribute in vars(struct).items():
        compute = getattr(attribute, "fget", None) or (
            attribute.func if isinstance(attribute, cached_property) else None
        )
        if compute is not None and not name.startswith("_"):
            found[name] = _member(get_type_hints(compute)["return"], derived=True, personal=name in personal)
    if struct is Money:
        found["value"] = Member("amount", Decimal, derived=False)
    return found


def describe_fields(record: type[Struct], prefix: str = "") -> dict[str, Member]:
    """Return every path of a record with its member. Paths into list elements have the form `lines[].price`."""
    found: dict[str, Member] = {}
    for name, member in members(record).items():
        path = prefix + name
        found[path] = member
        inner = item_of(member) if member.kind == "list" else member.type
        if _is_struct(inner):
            found |= describe_fields(inner, f"{path}[]." if member.kind == "list" else f"{path}.")
    return found


def _walk(struct: type[Struct], names: list[str], at: str, root: str = "") -> tuple[Member, bool]:
    current: Any = struct
    member = Member("struct", struct, derived=False)
    for depth, name in enumerate(names):
        before = root + ".".join(names[:depth])
        if member.kind == "list" and is_index(name):
            current = item_of(member)
            member = Member(_kind_of(current), current, derived=False, personal=member.personal)
            continue
        if member.kind == "list":
            raise ConfigError(at, f"{before} is a list", f"use any_of: {before}")
        if not _is_struct(current):
            raise ConfigError(at, f"{before} is a {member.kind} and has no fields", f"write {before}")
        if name not in members(current):
            prefix = f"{before.rstrip('.')}." if before else ""
            raise _unknown(root + ".".join(names), name, members(current), prefix, at, has_raw=not root)
        member = members(current)[name]
        current = member.type
    return member, member.personal


def _unknown(
    path: str, name: str, known: Mapping[str, Any], prefix: str, at: str, *, has_raw: bool = True
) -> ConfigError:
    near = difflib.get_close_matches(name[:64], known, 1)
    names = ", ".join(sorted(known))
    raw = ", or raw.… for the platform's own fields" if has_raw else ""
    fix = f"did you mean {prefix}{near[0]}?" if near else f"use one of {names}{raw}"
    return ConfigError(at, f"no field {path!r}", fix)


def _member(annotation: Value, *, derived: bool, personal: bool) -> Member:
    kind = _kind_of(annotation)
    parts = _parts(annotation)
    return Member(kind, parts[0], derived, personal)


def _parts(annotation: Value) -> list[Any]:
    union = get_origin(annotation) in {Union, UnionType}
    every: tuple[Any, ...] = get_args(annotation) if union else (annotation,)
    return [part for part in every if part not in {type(None), UnsetType}]


def _kind_of(annotation: Value) -> FieldKind:
    parts = _parts(annotation)
    first = parts[0]
    if set(parts) <= {int, Decimal}:
        return "number"
    simple: dict[Any, FieldKind] = {
        str: "text", bool: "boolean", datetime: "timestamp", date: "date", Money: "money"
    }  # fmt: skip
    if first in simple:
        return simple[first]
    if get_origin(first) is tuple:
        return "list"
    if _is_struct(first):
        return "struct"
    raise TypeError(f"rules do not support fields of type {annotation}")


def item_of(member: Member) -> Value:
    """Return the element type of a list, or None for any other field."""
    return get_args(member.type)[0] if member.kind == "list" else None


def _is_struct(found: Value) -> bool:
    return isinstance(found, type) and issubclass(found, Struct)
