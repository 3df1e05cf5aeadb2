"""Reading of rule files. Each is a YAML list of rules. All mistakes of all files are reported at once.

A mistake has the file, the line, the id of the rule, and the path in the file.
"""

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
from msgspec import UNSET, Struct

from service.actions import Action
from service.config import Config
from service.config.decoding import decode_config, valid_parts
from service.config.destinations import DestinationConfig
from service.config.locations import locate
from service.config.strict_yaml import read_yaml
from service.errors import ConfigError
from service.mistakes import Mistakes, is_consequence
from service.records import RECORDS, RecordTypes
from service.rules.compiler.rule import actions_by_name, compile_rule
from service.rules.lookup_checks import accounts_of
from service.rules.rule_records import record_type
from service.rules.syntax import Rule

RULE_TEST_SUFFIXES = (".examples.yaml", ".examples.yml")


class RuleFile(Struct, frozen=True):
    """One file and its rules."""

    path: Path
    rules: tuple[Rule, ...]


RuleCheck = Callable[[Rule, str], Iterable[ConfigError]]
"""Check of one rule. Its arguments are the rule and its path, for errors."""


def read_rule_files(
    paths: Sequence[Path],
    actions: Sequence[type[Action]],
    checks: Sequence[RuleCheck] = (),
    records: RecordTypes = RECORDS,
) -> tuple[RuleFile, ...]:
    """Read and check all files. Rule ids must be unique across the files.

    Raises:
        ConfigErrors: all mistakes of all files, as in `rules/a.yaml:7: rule short: rules[0].when.all[1].field: …`.
    """
    reading = _Reading(actions_by_name(actions), checks, records)
    mistakes, files = Mistakes(), list[RuleFile]()
    for path in paths:
        reading.mistakes = Mistakes()
        with reading.mistakes.collect():
            files.append(RuleFile(path, tuple(reading.read(path))))
        for mistake in locate(reading.mistakes.found, [path], "rules"):
            mistakes.add(mistake)
    mistakes.raise_all()
    return tuple(files)


class _Reading:
    """Reads rules, and collects their mistakes."""

    def __init__(self, actions: Mapping[str, type[Action]], checks: Sequence[RuleCheck], records: RecordTypes) -> None:
        self.mistakes = Mistakes()
        self._actions = actions
        self._checks = checks
        self._records = records
        self._known: dict[str, str] = {}

    def read(self, path: Path) -> Iterator[Rule]:
        """Yield the rules of a file, without those that cannot be decoded.

        Raises:
            ConfigError: the file is not a list in YAML.
        """
        unreadable = Mistakes()
        for index, item in enumerate(_read_list(path, unreadable)):
            written = cast("dict[str, Any]", item) if isinstance(item, dict) else {}
            at, rule_id, before = f"rules[{index}]", written.get("id"), len(self.mistakes.found)
            for mistake in (*_within(unreadable, at), *_empty_lists(written, at)):
                self.mistakes.add(mistake)
            rules, wrong = self._decode(cast("object", item), written, at)
            if rules and f"{at}.id" not in wrong:
                self._check_id(rules[0].id, f"{path}: {at}", at)
            if rules:
                self._check(rules, wrong, at)
            for mistake in self.mistakes.found[before:]:
                mistake.rule_id = rule_id[:64] if isinstance(rule_id, str) else None
            if rules:
                yield rules[0]

    def _decode(self, item: object, written: dict[str, Any], at: str) -> tuple[list[Rule], Collection[str]]:
        """Decode a rule. With mistakes, return the rule without the keys that have them, and the paths of the mistakes.

        Without a valid type there is one rule of each type.
        """
        mistakes, rules = Mistakes(), list[Rule]()
        with mistakes.collect():
            rules.append(decode_config(item, Rule, at))
        wrong = {mistake.path for mistake in mistakes.found}
        if isinstance(kind := written.get("type"), str) and f"{at}.type" not in wrong:
            with mistakes.collect():
                record_type(kind, self._records, at)
        for mistake in mistakes.found:
            self.mistakes.add(mistake)
        if not mistakes.found:
            return rules, ()
        wrong = {mistake.path for mistake in mistakes.found}
        types = [written["type"]] if f"{at}.type" not in wrong and "type" in written else self._records
        given = {"id": "unknown"} if f"{at}.id" in wrong else {}
        parts = [valid_parts({**written, **given, "type": name}, Rule) for name in types] if written else []
        return [msgspec.convert(part, Rule) for part in parts if part is not UNSET], wrong

    def _check_id(self, rule_id: str, place: str, at: str) -> None:
        if rule_id in self._known:
            reason = f"the rule id {rule_id} is also used in {self._known[rule_id]}"
            self.mistakes.add(ConfigError(f"{at}.id", reason, "give each rule its own id"))
        self._known.setdefault(rule_id, place)

    def _check(self, rules: Sequence[Rule], wrong: Collection[str], at: str) -> None:
        """Add the mistakes that each of the rules has."""
        found = [self._mistakes_of(rule, at) for rule in rules]
        for key, mistake in found[0].items():
            if not all(key in each for each in found) or is_consequence(mistake, wrong):
                continue
            fixes = {each[key].fix for each in found}
            fix = mistake.fix if len(fixes) == 1 else "correct the type of the rule first"
            self.mistakes.add(ConfigError(mistake.path, mistake.reason, fix))

    def _mistakes_of(self, rule: Rule, at: str) -> Mapping[tuple[str, str], ConfigError]:
        mistakes = Mistakes()
        with mistakes.collect():
            compile_rule(rule, self._actions, at, self._records)
        for check in self._checks:
            for mistake in check(rule, at):
                mistakes.add(mistake)
        return {(mistake.path, mistake.reason): mistake for mistake in mistakes.found}


def find_rule_files(patterns: Sequence[str], folder: Path) -> list[Path]:
    """Find the files that match the patterns of waybill.yaml, relative to its folder, sorted.

    Raises:
        ConfigErrors: patterns match no file. Silently missing rules would have no effect.
    """
    found: set[Path] = set()
    mistakes = Mistakes()
    for index, pattern in enumerate(patterns):
        whole = folder / pattern
        below = whole.relative_to(whole.anchor)
        matches = {
            path for path in Path(whole.anchor).glob(str(below)) if path.is_file() and not is_rule_test_file(path)
        }
        if not matches:
            reason = f"{pattern!r} matches no file in {folder.resolve()}"
            mistakes.add(ConfigError(f"rules[{index}]", reason, "correct the pattern"))
        found |= matches
    mistakes.raise_all()
    return sorted(found)


def is_rule_test_file(path: Path) -> bool:
    """Return whether a file contains rule tests, which are in the same folder as the rules."""
    return path.name.endswith(RULE_TEST_SUFFIXES)


def check_sources(names: Iterable[str], rule: Rule, at: str) -> Iterator[ConfigError]:
    """Yield the sources of a rule that are not configured, so that the rule would never be evaluated for them."""
    known = sorted(names)
    for position, name in enumerate(rule.sources):
        if name not in known:
            near = difflib.get_close_matches(name[:64], known, 1)
            fix = f"did you mean {near[0]}?" if near else _use_one_of(known)
            yield ConfigError(f"{at}.sources[{position}]", f"no source {name[:64]!r} in waybill.yaml", fix)


def check_destinations(configs: Mapping[str, DestinationConfig | None], rule: Rule, at: str) -> Iterator[ConfigError]:
    """Yield the destinations of a rule that are not configured, or that its action cannot use.

    A destination that is None exists, but has mistakes of its own.
    """
    for position, action in enumerate(rule.actions):
        name, path = action.get("destination"), f"{at}.actions[{position}].destination"
        if not isinstance(name, str):
            continue
        if name not in configs:
            near = difflib.get_close_matches(name[:64], configs, 1)
            fix = f"did you mean {near[0]}?" if near else f"add it to destinations:, or {_use_one_of(configs)}"
            yield ConfigError(path, f"no destination {name[:64]!r} in waybill.yaml", fix)
            continue
        config = configs[name]
        if config is None:
            continue
        kind = str(config.__struct_config__.tag)
        if action.get("do") != kind:
            yield ConfigError(path, f"{name} is a destination of kind {kind}", f"write do: {kind}, or another name")
        if action.get("latest_only") and not config.ordered:
            fix = f"remove latest_only, or ordered: false of {name}"
            yield ConfigError(f"{at}.actions[{position}].latest_only", f"needs an order, and {name} has none", fix)
        headers = action.get("headers")
        for header in cast("dict[str, object]", headers) if isinstance(headers, dict) else ():
            if header.lower() in config.own_headers:
                path = f"{at}.actions[{position}].headers.{header}"
                yield ConfigError(path, f"is set by the destination {name}", "remove it, or use another header")


def check_operations(config: Config, rule: Rule, at: str) -> Iterator[ConfigError]:
    """Yield the operations of a rule that its accounts do not declare, and values that do not fit them."""
    for position, action in enumerate(rule.actions):
        name, account, values = action.get("operation"), action.get("account"), action.get("values", {})
        if action.get("do") != "platform" or not isinstance(name, str) or not isinstance(values, dict):
            continue
        path = f"{at}.actions[{position}]"
        if account is None and config.sources.keys().isdisjoint(rule.sources) and rule.sources:
            continue  # reported by `check_sources`
        if not isinstance(account, str | None):
            continue  # reported by the compiler
        if account is not None and account not in config.platforms:
            fix = _use_one_of(config.platforms)
            yield ConfigError(f"{path}.account", f"no platform account {account[:64]!r} in waybill.yaml", fix)
            continue
        accounts = accounts_of(config, rule) if account is None else [account]
        yield from _check_operation(config, accounts, name, cast("dict[str, Any]", values), path)


def _check_operation(
    config: Config, accounts: Sequence[str], name: str, values: Mapping[str, Any], path: str
) -> Iterator[ConfigError]:
    """Yield the mistakes in the operation of one action. `accounts` are those that may have to call it."""
    declared = [config.platforms[each].declared_operations() for each in accounts]
    if not any(name in each for each in declared):
        others = sorted(each for each, other in config.platforms.items() if name in other.declared_operations())
        fix = _use_one_of({key for each in declared for key in each})
        fix = f"add it to operations: of the account, or {f'write account: {others[0]}' if others else fix}"
        place = f"the account {' or '.join(accounts)}" if accounts else "an account with the records of the rule"
        yield ConfigError(f"{path}.operation", f"no operation {name[:64]!r} of {place} in waybill.yaml", fix)
    for operations in declared:
        if name in operations and (mistake := operations[name].check_values(values)):
            yield ConfigError(f"{path}.values", mistake, "give exactly one value for each parameter")


def _use_one_of(names: Iterable[str]) -> str:
    listed = ", ".join(sorted(names))
    return f"use one of {listed}" if listed else "declare one in waybill.yaml, which has none"


def _empty_lists(written: Mapping[str, Any], at: str) -> Iterator[ConfigError]:
    for name in ("events", "sources"):
        if written.get(name) == []:
            fix = f"remove {name} to apply the rule to all, or write enabled: false"
            yield ConfigError(f"{at}.{name}", "is empty, which would mean all", fix)


def _within(mistakes: Mistakes, at: str) -> Iterator[ConfigError]:
    return (mistake for mistake in mistakes.found if mistake.path == at or mistake.path.startswith(f"{at}."))


def _read_list(path: Path, mistakes: Mistakes) -> list[Any]:
    """Read the items of a file. Rejected constructs in them are added to `mistakes`."""
    plain = read_yaml(path, mistakes)
    for mistake in mistakes.found:
        mistake.path = f"rules{mistake.path}" if mistake.path.startswith("[") else mistake.path
    if not isinstance(plain, list):
        mistakes.add(ConfigError("", "is not a list of rules", "begin each rule with a dash: - id: …", file=str(path)))
        raise mistakes.unique()
    return cast("list[Any]", plain)
