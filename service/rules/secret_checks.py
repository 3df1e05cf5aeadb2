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
    for path, found in _find(msgspec.to_builtins(rule), ""):
        yield ConfigError(f"{at}{path}", f"contains {found}", FIX)


def _find(value: object, name: str) -> list[tuple[str, str]]:
    """Return the path within a value and the reason of each text that is probably a secret.

    An item of a list has the name of the list.
    """
    if isinstance(value, str):
        found = find_secret_in_member(name, value)
        return [("", found)] if found else []
    if isinstance(value, Mapping):
        members = cast("Mapping[str, Any]", value).items()
        return [(f".{key}{path}", found) for key, inner in members for path, found in _find(inner, key)]
    if isinstance(value, list | tuple):
        items = enumerate(cast("list[Any]", value))
        return [(f"[{index}]{path}", found) for index, inner in items for path, found in _find(inner, name)]
    return []
