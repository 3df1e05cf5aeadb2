"""Reading of rule files. Each is a YAML list of rules. All mistakes of all files are reported at once.

The path of a mistake contains the file, the id of the rule, and the place in the file.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
from msgspec import Struct

from service.actions import Action
from service.config.decoding import decode_config
from service.config.destinations import DestinationConfig
from service.config.mistakes import Mistakes
from service.config.strict_yaml import read_yaml
from service.errors import ConfigError
from service.rules.compiler.rule import actions_by_name, compile_rule
from service.rules.syntax import Rule

RULE_TEST_SUFFIXES = (".examples.yaml", ".examples.yml")


class RuleFile(Struct, frozen=True):
    """One file and its rules."""

    path: Path
    rules: tuple[Rule, ...]


RuleCheck = Callable[[Rule, str], Iterable[ConfigError]]
"""Check of one rule. Its arguments are the rule and its path, for errors."""


def read_rule_files(
    paths: Sequence[Path], actions: Sequence[type[Action]], checks: Sequence[RuleCheck] = ()
) -> tuple[RuleFile, ...]:
    """Read and check all files. Rule ids must be unique across the files.

    Raises:
        ConfigErrors: all mistakes of all files, as in `rules/a.yaml: rule short: rules[0].when.all[1].field: …`.
    """
    reading = _Reading(actions_by_name(actions), checks)
    files: list[RuleFile] = []
    for path in paths:
        with reading.mistakes.collect():
            files.append(RuleFile(path, tuple(reading.read(path))))
    reading.mistakes.raise_all()
    return tuple(files)


class _Reading:
    """Reads rules, and collects their mistakes."""

    def __init__(self, actions: Mapping[str, type[Action]], checks: Sequence[RuleCheck]) -> None:
        self.mistakes = Mistakes()
        self._actions = actions
        self._checks = checks
        self._known: dict[str, str] = {}

    def read(self, path: Path) -> Iterator[Rule]:
        """Yield the rules of a file, without those that cannot be decoded.

        Raises:
            ConfigError: the file is not a list in YAML.
        """
        for index, item in enumerate(_read_list(path)):
            written = cast("dict[str, Any]", item) if isinstance(item, dict) else {}
            place, rule_id = f"rules[{index}]", written.get("id")
            at = f"{path}: rule {rule_id[:64]}: {place}" if isinstance(rule_id, str) else f"{path}: {place}"
            for mistake in _empty_lists(written, at):
                self.mistakes.add(mistake)
            rule = self._decode(cast("object", item), written, at)
            if rule is None:
                continue
            if rule.id in self._known:
                reason = f"the rule id {rule.id} is also used in {self._known[rule.id]}"
                self.mistakes.add(ConfigError(f"{at}.id", reason, "give each rule its own id"))
            self._known.setdefault(rule.id, f"{path}: {place}")
            self._check(rule, at)
            yield rule

    def _decode(self, item: object, written: dict[str, Any], at: str) -> Rule | None:
        """Decode a rule. With mistakes, return the rule without the keys that have them, if that is a rule."""
        try:
            return decode_config(item, Rule, at)
        except ConfigError as error:
            self.mistakes.add(error)
            paths = [mistake.path.removeprefix(f"{at}.") for mistake in error.mistakes]
        wrong = {re.split(r"[.\[]", path, maxsplit=1)[0] for path in paths}
        try:
            return msgspec.convert({key: value for key, value in written.items() if key not in wrong}, Rule)
        except msgspec.ValidationError:
            return None

    def _check(self, rule: Rule, at: str) -> None:
        with self.mistakes.collect():
            compile_rule(rule, self._actions, at)
        for check in self._checks:
            for mistake in check(rule, at):
                self.mistakes.add(mistake)


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
            fix = f"did you mean {near[0]}?" if near else f"use one of {_listed(known)}"
            yield ConfigError(f"{at}.sources[{position}]", f"no source {name[:64]!r} in waybill.yaml", fix)


def check_destinations(configs: Mapping[str, DestinationConfig], rule: Rule, at: str) -> Iterator[ConfigError]:
    """Yield the destinations of a rule that are not configured, or that its action cannot use."""
    for position, action in enumerate(rule.actions):
        name, path = action.get("destination"), f"{at}.actions[{position}].destination"
        if not isinstance(name, str):
            continue
        if name not in configs:
            near = difflib.get_close_matches(name[:64], configs, 1)
            fix = f"did you mean {near[0]}?" if near else f"add it to destinations:, or use one of {_listed(configs)}"
            yield ConfigError(path, f"no destination {name[:64]!r} in waybill.yaml", fix)
            continue
        kind = str(configs[name].__struct_config__.tag)
        if action.get("do") != kind:
            yield ConfigError(path, f"{name} is a destination of kind {kind}", f"write do: {kind}, or another name")
        if action.get("latest_only") and not configs[name].ordered:
            fix = f"remove latest_only, or ordered: false of {name}"
            yield ConfigError(f"{at}.actions[{position}].latest_only", f"needs an order, and {name} has none", fix)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none is configured"


def _empty_lists(written: Mapping[str, Any], at: str) -> Iterator[ConfigError]:
    for name in ("events", "sources"):
        if written.get(name) == []:
            fix = f"remove {name} to apply the rule to all, or write enabled: false"
            yield ConfigError(f"{at}.{name}", "is empty, which would mean all", fix)


def _read_list(path: Path) -> list[Any]:
    try:
        plain = read_yaml(path)
    except ConfigError as error:
        if error.path.startswith("["):
            raise ConfigError(f"{path}: rules{error.path}", error.reason, error.fix) from None
        raise
    if not isinstance(plain, list):
        raise ConfigError(str(path), "is not a list of rules", "begin each rule with a dash: - id: …")
    return cast("list[Any]", plain)
