"""Which fields there are, of which kind, and how each is read. Everything is taken from the types in `service.records`.

A dotted path is resolved once, when a rule is loaded, into a reader; a path that names nothing is refused with the
nearest name there is. Absent values read as UNSET and null as None, through any number of absent parents.
"""

import difflib
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from functools import cache, cached_property
from operator import attrgetter
from types import UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from msgspec import UNSET, Struct, UnsetType

from service.errors import ConfigError
from service.records import PERSONAL, RECORDS, Money
from service.rules.limits import FIELD_CHARS_MAX
from service.rules.masking import personal_path
from service.rules.previous_state import decode_previous
from service.rules.scope import Scope, Value

FieldKind = Literal["text", "number", "amount", "money", "timestamp", "boolean", "struct", "list", "any"]
"""`amount` is the number in money, which does not compare with other numbers; `any` is untyped data under `raw.`."""

FieldReader = Callable[[Any], Value]

EVENT_FIELDS: dict[str, FieldKind] = {
    "id": "text", "source": "text", "type": "text", "change": "text", "occurred_at": "text", "depth": "number",
    "trail": "text",     "record.platform": "text", "record.kind": "text", "record.id": "text",
}  # fmt: skip
"""What rules may see of the event: never its headers or its body."""


class Member(Struct, frozen=True):
    """One field of a struct: its kind, the type behind it, and whether it is computed from others."""

    kind: FieldKind
    type: Any
    derived: bool


class FieldScope(Struct, frozen=True):
    """Where a condition stands: at the record, or inside an element of a list (`element` None: untyped)."""

    record: type[Struct]
    asked: dict[str, "Field"]
    """Gathers what is asked of `previous`, by path: what `Rulebook.remember` has to keep."""
    depth: int = 0
    element: Any = None


class Field(Struct, frozen=True):
    """A resolved path. `read` takes the scope where `rooted`, else whatever the condition stands on.

    `path` is the path from the record without `$root.`, `item` the type of a list's elements, `attribute` the name of
    a declared field of the element itself, which a list loop may read without a call.
    """

    path: str
    kind: FieldKind
    read: FieldReader
    rooted: bool
    personal: bool = False
    item: Any = None
    attribute: str | None = None


def resolve(path: str, place: FieldScope, at: str) -> Field:
    """Find the field `path` names from `place`; `at` is where it is written.

    Raises:
        ConfigError: there is none, or it goes through a list or a single value.
    """
    if len(path) > FIELD_CHARS_MAX or not all(path.split(".")):
        raise ConfigError(at, f"{path[:40]!r} is no field", "write names with dots between, as in supplier.name")
    if place.depth and not path.startswith("$root."):
        return _resolve_in_element(path, place, at)
    return _resolve_in_record(path.removeprefix("$root."), place, at)


def _resolve_in_record(path: str, place: FieldScope, at: str) -> Field:
    root, _, rest = path.partition(".")
    if root == "raw" and rest:
        return Field(
            path, "any", _plain_reader(rest.split("."), attrgetter("raw")), rooted=True, personal=personal_path(path)
        )
    if root == "event" and rest:
        if rest not in EVENT_FIELDS:
            raise _unknown(path, rest, EVENT_FIELDS, "event.", at)
        return Field(path, EVENT_FIELDS[rest], attrgetter(path), rooted=True)
    if root == "previous" and rest:
        return _resolve_in_previous(rest, place, at)
    if path in {"raw", "event", "previous"}:
        example = {"raw": "raw.status", "event": "event.source", "previous": "previous.status"}[path]
        raise ConfigError(at, f"{path} is not a field itself", f"name one of its fields, as {example}")
    names = path.split(".")
    member, personal = _walk(place.record, names, at)
    if members(place.record)[root].derived:
        read = _derived_reader(root, rest)
    else:
        read = attrgetter(f"record.{path}") if not rest else _guarded(attrgetter(f"record.{path}"))
    return Field(path, member.kind, read, rooted=True, personal=personal, item=item_of(member))


def _resolve_in_previous(path: str, place: FieldScope, at: str) -> Field:
    field = _resolve_in_record(path, place, at)
    if path.startswith(("event.", "previous.")):
        raise ConfigError(at, f"only the record has a previous state, {path} has none", "name a field of it")
    if field.personal or field.kind in {"struct", "list"}:
        raise ConfigError(
            at, f"of {path} only a digest is remembered", f"ask whether it did: field: {path}, op: changed"
        )
    place.asked[path] = field
    return Field(
        f"previous.{path}", field.kind, lambda scope: decode_previous(scope.previous.get(path, UNSET)), rooted=True
    )


def _resolve_in_element(path: str, place: FieldScope, at: str) -> Field:
    if path == "$item":
        kind = _kind_of(place.element) if place.element else "any"
        return Field(path, kind, _itself, rooted=False)
    if place.element is None:
        return Field(path, "any", _plain_reader(path.split("."), _itself), rooted=False, personal=personal_path(path))
    if not _is_struct(place.element):
        raise ConfigError(at, f"the elements have no field {path!r}", "write $item for the element itself")
    names = path.split(".")
    member, personal = _walk(place.element, names, at)
    declared = len(names) == 1 and not member.derived
    return Field(
        path, member.kind, _guarded(attrgetter(path)), rooted=False, personal=personal, item=item_of(member),
        attribute=path if declared else None,
    )  # fmt: skip


@cache
def members(struct: type[Struct]) -> Mapping[str, Member]:
    """Every field and derived field of a struct, by name."""
    hints = get_type_hints(struct)
    found = {name: _member(hints[name], derived=False) for name in struct.__struct_fields__}
    for name, attribute in vars(struct).items():
        compute = getattr(attribute, "fget", None) or (
            attribute.func if isinstance(attribute, cached_property) else None
        )
        if compute is not None and not name.startswith("_"):
            found[name] = _member(get_type_hints(compute)["return"], derived=True)
    if struct is Money:
        found["value"] = Member("amount", Decimal, derived=False)
    return found


def describe_fields(record: type[Struct], prefix: str = "") -> dict[str, FieldKind]:
    """Every path of a record with its kind, lists' elements written as `lines[].price`."""
    found: dict[str, FieldKind] = {}
    for name, member in members(record).items():
        path = prefix + name
        found[path] = member.kind
        inner = item_of(member) if member.kind == "list" else member.type
        if _is_struct(inner):
            found |= describe_fields(inner, f"{path}[]." if member.kind == "list" else f"{path}.")
    return found


def record_type(kind: str) -> type[Struct]:
    """The struct of a rule type."""
    return RECORDS[kind]


def _walk(struct: type[Struct], names: list[str], at: str) -> tuple[Member, bool]:
    current: Any = struct
    member = Member("struct", struct, derived=False)
    for depth, name in enumerate(names):
        before = ".".join(names[:depth])
        if member.kind == "list":
            raise ConfigError(at, f"{before} is a list", f"look into it with any_of: {before}")
        if not _is_struct(current):
            raise ConfigError(at, f"{before} is a {member.kind} and has no fields", f"write {before}")
        if name not in members(current):
            raise _unknown(".".join(names), name, members(current), f"{before}." if before else "", at)
        member = members(current)[name]
        current = member.type
    return member, names[-1] in PERSONAL


def _unknown(path: str, name: str, known: Mapping[str, Any], prefix: str, at: str) -> ConfigError:
    near = difflib.get_close_matches(name[:64], known, 1)
    names = ", ".join(sorted(known))
    fix = f"did you mean {prefix}{near[0]}?" if near else f"take one of {names}, or raw.… for the platform's own"
    return ConfigError(at, f"no field {path!r}", fix)


def _member(annotation: Value, *, derived: bool) -> Member:
    kind = _kind_of(annotation)
    parts = _parts(annotation)
    return Member(kind, parts[0], derived)


def _parts(annotation: Value) -> list[Any]:
    union = get_origin(annotation) in {Union, UnionType}
    every: tuple[Any, ...] = get_args(annotation) if union else (annotation,)
    return [part for part in every if part not in {type(None), UnsetType}]


def _kind_of(annotation: Value) -> FieldKind:
    parts = _parts(annotation)
    first = parts[0]
    if set(parts) <= {int, Decimal}:
        return "number"
    simple: dict[Any, FieldKind] = {str: "text", bool: "boolean", datetime: "timestamp", Money: "money"}
    if first in simple:
        return simple[first]
    if get_origin(first) is tuple:
        return "list"
    if _is_struct(first):
        return "struct"
    raise TypeError(f"rules cannot ask about {annotation}")


def item_of(member: Member) -> Value:
    """The type of a list's elements, None for what is no list."""
    return get_args(member.type)[0] if member.kind == "list" else None


def _is_struct(found: Value) -> bool:
    return isinstance(found, type) and issubclass(found, Struct)


def _itself(here: Value) -> Value:
    return here


def _guarded(read: FieldReader) -> FieldReader:
    def guarded(here: Value) -> Value:
        try:
            return read(here)
        except (AttributeError, TypeError, ValueError, ArithmeticError):
            # An absent parent, or a derived field whose parts do not add up: absent as well.
            return UNSET

    return guarded


def _derived_reader(name: str, rest: str) -> FieldReader:
    """Read a derived field once per subject; `total.value` and `total.currency` share one `total`."""
    compute = _guarded(attrgetter(f"record.{name}"))
    inner = _guarded(attrgetter(rest)) if rest else _itself
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


def _plain_reader(names: list[str], start: FieldReader) -> FieldReader:
    def plain(here: Value) -> Value:
        value = start(here)
        for name in names:
            if value is UNSET:
                return UNSET
            value = _inside(value, name)
        return value

    return plain


def _inside(value: Value, name: str) -> Value:
    """Go one step into plain JSON: a key of an object, or a place in a list."""
    if isinstance(value, dict):
        return cast("dict[str, Value]", value).get(name, UNSET)
    if isinstance(value, list) and name.isascii() and name.isdigit() and len(name) < 10:
        elements = cast("list[Value]", value)
        return elements[int(name)] if int(name) < len(elements) else UNSET
    return UNSET
