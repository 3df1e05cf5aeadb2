"""Reading of rule files. Each is a YAML list of rules. Errors contain the file and the path."""

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

from msgspec import Struct

from service.actions import Action
from service.config.decoding import decode_config
from service.config.strict_yaml import read_yaml
from service.errors import ConfigError
from service.rules.compiler.rule import actions_by_name, compile_rule
from service.rules.syntax import Rule

RULE_TEST_SUFFIXES = (".examples.yaml", ".examples.yml")


class RuleFile(Struct, frozen=True):
    """One file and its rules."""

    path: Path
    rules: tuple[Rule, ...]


def read_rule_files(paths: Sequence[Path], actions: Sequence[type[Action]]) -> tuple[RuleFile, ...]:
    """Read and check all files. Rule ids must be unique across the files.

    Raises:
        ConfigError: a file has a mistake, as in `rules/short.yaml: rules[0].when.all[1].field: …`.
    """
    files = tuple(RuleFile(path, _read(path)) for path in paths)
    names = actions_by_name(actions)
    known: dict[str, str] = {}
    for file in files:
        for index, rule in enumerate(file.rules):
            at = f"{file.path}: rules[{index}]"
            if rule.id in known:
                reason = f"the rule id {rule.id} is also used in {known[rule.id]}"
                raise ConfigError(f"{at}.id", reason, "give each rule its own id")
            known[rule.id] = at
            compile_rule(rule, names, at)
    return files


def find_rule_files(patterns: Sequence[str], folder: Path) -> list[Path]:
    """Find the files that match the patterns of waybill.yaml, relative to its folder, sorted.

    Raises:
        ConfigError: a pattern matches no file. Silently missing rules would have no effect.
    """
    found: set[Path] = set()
    for index, pattern in enumerate(patterns):
        whole = folder / pattern
        below = whole.relative_to(whole.anchor)
        matches = {
            path for path in Path(whole.anchor).glob(str(below)) if path.is_file() and not is_rule_test_file(path)
        }
        if not matches:
            raise ConfigError(
                f"rules[{index}]", f"{pattern!r} matches no file in {folder.resolve()}", "correct the pattern"
            )
        found |= matches
    return sorted(found)


def is_rule_test_file(path: Path) -> bool:
    """Return whether a file contains rule tests, which are in the same folder as the rules."""
    return path.name.endswith(RULE_TEST_SUFFIXES)


def check_sources(files: Sequence[RuleFile], names: Iterable[str]) -> None:
    """Check that all sources of the rules are configured.

    Raises:
        ConfigError: a source is not configured, so the rule would never be evaluated.
    """
    known = sorted(names)
    for file in files:
        for index, rule in enumerate(file.rules):
            for position, name in enumerate(rule.sources):
                if name not in known:
                    near = difflib.get_close_matches(name[:64], known, 1)
                    fix = f"did you mean {near[0]}?" if near else f"use one of {', '.join(known)}"
                    at = f"{file.path}: rules[{index}].sources[{position}]"
                    raise ConfigError(at, f"no source {name!r} in waybill.yaml", fix)


def _read(path: Path) -> tuple[Rule, ...]:
    try:
        plain = read_yaml(path)
    except ConfigError as error:
        if error.path.startswith("["):
            raise ConfigError(f"{path}: rules{error.path}", error.reason, error.fix) from None
        raise
    if not isinstance(plain, list):
        raise ConfigError(str(path), "is not a list of rules", "begin each rule with a dash: - id: …")
    rules: tuple[Rule, ...] = decode_config(plain, tuple[Rule, ...], f"{path}: rules")
    for index, rule in enumerate(cast("list[dict[str, Any]]", plain)):
        for name in ("events", "sources"):
            if rule.get(name) == []:
                fix = f"remove {name} to apply the rule to all, or write enabled: false"
                raise ConfigError(f"{path}: rules[{index}].{name}", "is empty, which would mean all", fix)
    return rules
