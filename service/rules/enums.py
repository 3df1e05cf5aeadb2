"""Check of rules against the documented values of enumerations, such as the statuses of a purchase order. Pure.

Records keep unknown values, because a platform may add some. A rule that names an undocumented value is probably
misspelled, and would silently never match, or always.
"""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from msgspec import UNSET

from service.config import Config
from service.config.platforms import DocumentedValues
from service.errors import ConfigError
from service.records import DeclaredRecord, RecordTypes
from service.rules.compiler.literals import format_literal
from service.rules.syntax import Condition, Rule

_OPERATORS = frozenset({"eq", "ne", "in", "not_in", "changed_to", "changed_from"})
_INDEX = re.compile(r"\.[0-9]+(?=\.|\Z)", re.ASCII)


PlatformValues = Mapping[str, DocumentedValues | None]
"""The documented values by account or platform, for those whose records a rule may see; None if they are not known."""


def account_values(config: Config, rule: Rule) -> PlatformValues:
    """Return the documented values of the accounts whose records a rule may see: those of its sources, or all."""
    if declared := declared_values(config.record_types, rule):
        return declared
    sources = [config.sources[name].platform for name in rule.sources if name in config.sources]
    accounts = {
        name: config.platforms[name]
        for name in (sources if rule.sources else config.platforms)
        if name in config.platforms
    }
    return {
        name: platform.documented_values(rule.type)
        for name, platform in accounts.items()
        if rule.type in platform.known_kinds()
    }


def declared_values(records: RecordTypes, rule: Rule) -> PlatformValues:
    """Return the values that the kind of a rule declares; nothing for a built-in or unknown kind."""
    record = records.get(rule.type)
    if isinstance(record, type) and issubclass(record, DeclaredRecord):
        return {f"records.{rule.type}": record.enum_values}
    return {}


def check_enums(rule: Rule, at: str, platforms: PlatformValues) -> Iterator[ConfigError]:
    """Yield the values of a rule that no platform documents.

    If a platform does not document the values of a field, only a value that resembles a documented one is a mistake.

    Args:
        rule: The rule.
        at: Its path, for errors.
        platforms: The documented values. If those of one platform are not known, every value may be correct.
    """
    tables = {name: values for name, values in platforms.items() if values is not None}
    if rule.when is None or len(tables) < len(platforms):
        return
    for path, value, place in text_literals(rule.when, "", f"{at}.when"):
        if path.partition(".")[0].removesuffix("[]") not in rule.with_:
            yield from check_literal(path, value, place, tables)


def check_literal(path: str, value: str, place: str, tables: Mapping[str, DocumentedValues]) -> Iterator[ConfigError]:
    """Yield the mistake that no table documents a value of the field `path`."""
    documented = {name: values[path] for name, values in tables.items() if path in values}
    known = sorted(set[str]().union(*documented.values()))
    if not known or value in known:
        return
    near = difflib.get_close_matches(value[:64], known, 1)
    if near or len(documented) == len(tables):
        reason = f"{format_literal(value)} is not a documented value of {path} on {' and '.join(documented)}"
        near = near or [each for each in known if each.lower() == value.lower()]
        suggestion = f"did you mean {near[0]}? " if near else ""
        yield ConfigError(place, reason, f"{suggestion}valid: {', '.join(known)}")


def text_literals(node: Condition, above: str, at: str) -> Iterator[tuple[str, str, str]]:
    """Yield the path, the value and the place of each text that a field is compared with.

    `above` is the path of the list that `node` is about, `at` the path of the node in the rule.
    """
    for word in ("all", "any"):
        children: Sequence[Condition] = getattr(node, word) or ()
        for index, child in enumerate(children):
            yield from text_literals(child, above, f"{at}.{word}[{index}]")
    if node.not_ is not UNSET:
        yield from text_literals(node.not_, above, f"{at}.not")
    for word in ("any_of", "all_of", "none_of", "count"):
        path: str = getattr(node, word) or ""
        if path and node.where is not UNSET:
            yield from text_literals(node.where, f"{_whole_path(path, above)}[]", f"{at}.where")
    if node.field is not UNSET and node.op in _OPERATORS:
        path = _whole_path(node.field, above)
        for value, place in _texts(node.value, f"{at}.value"):
            yield path, value, place


def _texts(literal: object, at: str) -> Iterator[tuple[str, str]]:
    """Yield a text, or each text of a list, with its place."""
    if isinstance(literal, str):
        yield literal, at
    for index, item in enumerate(cast("list[object]", literal) if isinstance(literal, list) else ()):
        if isinstance(item, str):
            yield item, f"{at}[{index}]"


def _whole_path(path: str, above: str) -> str:
    """Return the path from the record, with `[]` for an element of a list."""
    rooted = not above or path.startswith("$root.")
    whole = path if rooted else above if path == "$item" else f"{above}.{path}"
    return _INDEX.sub("[]", whole.removeprefix("$root.").removeprefix("previous."))
