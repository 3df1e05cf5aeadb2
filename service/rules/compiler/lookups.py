"""Compiler of look-ups: the entries of `with` in a rule. An id reads the event's own record: look-ups have depth 1."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import UNSET, Struct, structs

from service.config.decoding import did_you_mean
from service.errors import ConfigError
from service.events import EVENT_KIND
from service.mistakes import Mistakes
from service.records import RecordTypes
from service.rules.compiler.templates import RenderError, Template
from service.rules.fields import ROOTS, Field, FieldScope, resolve
from service.rules.limits import LOOKUP_ELEMENTS_MAX, LOOKUPS_MAX
from service.rules.lookup_readers import CompiledLookup, elements_type
from service.rules.lookups import LookupUnavailable
from service.rules.scope import Value
from service.rules.syntax import Lookup, Rule

_PLACEHOLDER_ROOT = re.compile(r"\{\s*([a-z0-9_]+)")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)
_EXAMPLE = 'such as id: "{supplier.id}"'


def compile_lookups(rule: Rule, fields: FieldScope, records: RecordTypes, at: str) -> Mapping[str, CompiledLookup]:
    """Compile the look-ups of a rule by name. `fields` are those of the event's own record.

    Raises:
        ConfigErrors: all mistakes in them.
    """
    mistakes, compiled = Mistakes(), dict[str, CompiledLookup]()
    if len(rule.with_) > LOOKUPS_MAX:
        mistakes.add(ConfigError(f"{at}.with", f"has more than {LOOKUPS_MAX} look-ups", "write a second rule"))
    for name in list(rule.with_)[:LOOKUPS_MAX]:
        with mistakes.collect():
            compiled[name] = _compile(name, rule, fields, records, f"{at}.with.{name}")
    mistakes.raise_all()
    return compiled


def check_used(lookups: Mapping[str, CompiledLookup], fields: FieldScope, at: str) -> None:
    """Check that a condition or an action reads each look-up.

    Raises:
        ConfigErrors: those that nothing reads.
    """
    mistakes = Mistakes()
    for name in lookups:
        if name not in fields.roots:
            fix = f"remove it, or compare one of its fields, as in field: {name}.id"
            mistakes.add(ConfigError(f"{at}.with.{name}", "is not read by when or actions", fix))
    mistakes.raise_all()


def _compile(name: str, rule: Rule, fields: FieldScope, records: RecordTypes, at: str) -> CompiledLookup:
    mistakes, lookup = Mistakes(), rule.with_[name]
    if name in ROOTS or not _NAME.fullmatch(name):
        fix = f"use up to 40 lower-case letters, digits and _, and none of {', '.join(ROOTS)}"
        mistakes.add(ConfigError(at, f"{name[:40]!r} cannot be the name of a look-up", fix))
    fetched = records.keys() - {EVENT_KIND}
    if lookup.kind not in fetched:
        fix = f"{did_you_mean(lookup.kind, fetched)}; waybill.yaml declares others under records:"
        mistakes.add(ConfigError(f"{at}.kind", f"no record kind {lookup.kind!r}", fix))
    if rule.type == EVENT_KIND and lookup.platform is UNSET:
        reason = "is missing, and the event has no platform"
        mistakes.add(ConfigError(f"{at}.platform", reason, "add platform: with the account of the record"))
    if lookup.each is UNSET and lookup.elements_max is not UNSET:
        mistakes.add(ConfigError(f"{at}.elements_max", "requires each", "remove it, or add each: lines"))
    with mistakes.collect():
        items = _list_field(lookup, fields, at)
        own = fields if items is None else structs.replace(fields, depth=1, element=items.item)
        render_id = _compile_id(name, lookup, rule, own, at)
        mistakes.raise_all()
        record = records[lookup.kind]
        return CompiledLookup(
            name=name,
            platform=None if lookup.platform is UNSET else lookup.platform,
            kind=lookup.kind,
            retries=lookup.on_missing == "retry",
            record=record,
            render_id=render_id,
            element=elements_type(items.item, record) if items else None,
            read_list=items.read if items else None,
            elements_max=LOOKUP_ELEMENTS_MAX if lookup.elements_max is UNSET else lookup.elements_max,
        )
    raise mistakes.unique()


def _list_field(lookup: Lookup, fields: FieldScope, at: str) -> Field | None:
    """Return the list of `each`; None without one."""
    if lookup.each is UNSET:
        return None
    items = resolve(lookup.each, fields, f"{at}.each")
    if items.item is None:
        raise ConfigError(f"{at}.each", f"{items.path} is not a list of the record", "use a list, such as lines")
    return items


def _compile_id(name: str, lookup: Lookup, rule: Rule, fields: FieldScope, at: str) -> Callable[[Any], str]:
    at, mistakes = f"{at}.id", Mistakes()
    if fields.depth and "$root." in lookup.id:
        fix = "use fields of the element, or a look-up without each"
        raise ConfigError(at, "reads a field outside of the element", fix)
    render = Template(fields, mistakes)(at, lookup.id, "header")
    if mistakes.found:
        raise _depth_error(name, rule, fields.record, at) or mistakes.unique()

    def render_id(source: Value) -> str:
        try:
            return render(source)
        except RenderError as error:
            raise LookupUnavailable(f"{name}: {error}") from None

    return render_id


def _depth_error(name: str, rule: Rule, record: type[Struct], at: str) -> ConfigError | None:
    """Return the error of an id that reads a looked-up record; None for another mistake."""
    reads = {each: set(_PLACEHOLDER_ROOT.findall(lookup.id)) & rule.with_.keys() for each, lookup in rule.with_.items()}
    fix = f"read a field of the event's own record, {_EXAMPLE}"
    for other in sorted(reads[name]):
        if other == name and name not in record.__struct_fields__:
            return ConfigError(at, f"is a cycle: it reads {name}, which it looks up", fix)
        if other != name and name in reads[other]:
            return ConfigError(at, f"is a cycle: {name} reads {other}, and {other} reads {name}", fix)
        if other != name:
            return ConfigError(at, f"reads the looked-up record {other}, and look-ups have depth 1", fix)
    return None
