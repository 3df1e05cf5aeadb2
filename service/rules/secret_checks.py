"""Check that a rule contains no secret: conditions, look-ups, bodies and all other texts of actions. Pure.

Viewers read rules, and the store has every version of them. Addresses and headers are also checked by their actions.
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast

import msgspec

from service.errors import ConfigError
from service.rules.syntax import Rule
from service.secret_names import find_secret_in_member

FIX = "remove it; a destination of waybill.yaml sends credentials: auth:, headers: or url: with {env: NAME}"


def find_secrets(rule: Rule, at: str) -> Iterator[ConfigError]:
    """Yield the texts of a rule that are probably secrets. `at` is the path of the rule."""
    for name, text, path in _texts(msgspec.to_builtins(rule), "", at):
        if found := find_secret_in_member(name, text):
            yield ConfigError(path, f"contains {found}", FIX)


def _texts(value: object, name: str, at: str) -> Iterator[tuple[str, str, str]]:
    """Yield each text with its name and its path. An item of a list has the name of the list."""
    if isinstance(value, str):
        yield name, value, at
    elif isinstance(value, Mapping):
        for key, inner in cast("Mapping[str, Any]", value).items():
            yield from _texts(inner, key, f"{at}.{key}")
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(cast("list[Any]", value)):
            yield from _texts(inner, name, f"{at}[{index}]")
