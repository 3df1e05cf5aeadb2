"""Reads rule files: YAML, each a list of rules, checked whole; a mistake is told with its file and its place."""

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

EXAMPLE_ENDINGS = (".examples.yaml", ".examples.yml")


class RuleFile(Struct, frozen=True):
    """One file and the rules in it."""

    path: Path
    rules: tuple[Rule, ...]


def read_rule_files(paths: Sequence[Path], actions: Sequence[type[Action]]) -> tuple[RuleFile, ...]:
    """Read and check every file; the rules of all files together have to have different ids.

    Raises:
        ConfigError: `rules/short.yaml: rules[0].when.all[1].field: …`.
    """
    files = tuple(RuleFile(path, _read(path)) for path in paths)
    names = actions_by_name(actions)
    seen: dict[str, str] = {}
    for file in files:
        for index, rule in enumerate(file.rules):
            at = f"{file.path}: rules[{index}]"
            if rule.id in seen:
                raise ConfigError(
                    f"{at}.id", f"the rule {rule.id} stands in {seen[rule.id]} too", "give each its own id"
                )
            seen[rule.id] = at
            compile_rule(rule, names, at)
    return files


def find_rule_files(patterns: Sequence[str], folder: Path) -> list[Path]:
    """Find the files that the patterns of waybill.yaml name, relative to its folder, sorted.

    Raises:
        ConfigError: a pattern that finds nothing, since rules that are missing in silence do not act.
    """
    found: set[Path] = set()
    for index, pattern in enumerate(patterns):
        whole = folder / pattern
        below = whole.relative_to(whole.anchor)
        matches = {path for path in Path(whole.anchor).glob(str(below)) if path.is_file() and not is_example(path)}
        if not matches:
            raise ConfigError(
                f"rules[{index}]", f"{pattern!r} finds no file in {folder.resolve()}", "correct the pattern"
            )
        found |= matches
    return sorted(found)


def is_example(path: Path) -> bool:
    """Whether a file holds examples, which stand beside the rules and are none."""
    return path.name.endswith(EXAMPLE_ENDINGS)


def check_sources(files: Sequence[RuleFile], names: Iterable[str]) -> None:
    """Check that every source a rule names is configured.

    Raises:
        ConfigError: one is not, so the rule would never be judged.
    """
    known = sorted(names)
    for file in files:
        for index, rule in enumerate(file.rules):
            for place, name in enumerate(rule.sources):
                if name not in known:
                    near = difflib.get_close_matches(name[:64], known, 1)
                    fix = f"did you mean {near[0]}?" if near else f"take one of {', '.join(known)}"
                    at = f"{file.path}: rules[{index}].sources[{place}]"
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
    for index, words in enumerate(cast("list[dict[str, Any]]", plain)):
        for name in ("events", "sources"):
            if words.get(name) == []:
                fix = f"leave {name} out for all, or write enabled: false"
                raise ConfigError(f"{path}: rules[{index}].{name}", "is empty, and would mean all", fix)
    return rules
