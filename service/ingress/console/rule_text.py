"""Rules as YAML text in the editor of the console."""

from typing import Any, cast

from service.config.decoding import decode_config
from service.config.strict_yaml import parse_yaml
from service.config.yaml_output import write_yaml
from service.errors import ConfigError
from service.rules import Rule

RULE_CHARACTERS_MAX = 100_000
NAME = "rule"


def write_rule(rule: Rule) -> str:
    """Return a rule as YAML, in the order of its fields."""
    return write_yaml(rule)


def read_rule(text: str) -> Rule:
    """Read a rule from YAML: one rule, or a list with one rule as in a file.

    Raises:
        ConfigError: All mistakes, with paths that start with `rule`.
    """
    if len(text) > RULE_CHARACTERS_MAX:
        raise ConfigError(NAME, f"{len(text)} characters; at most {RULE_CHARACTERS_MAX} are possible", "shorten it")
    plain = parse_yaml(text, NAME)
    if isinstance(plain, list):
        rules = cast("list[Any]", plain)
        if len(rules) != 1:
            raise ConfigError(NAME, f"{len(rules)} rules", "write one rule")
        plain = rules[0]
    if not isinstance(plain, dict):
        raise ConfigError(NAME, "is not a rule", "begin with id: NAME")
    return decode_config(plain, Rule, NAME)
