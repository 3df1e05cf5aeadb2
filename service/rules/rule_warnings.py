"""Warnings about rules that load and probably mean something else. Pure."""

import re
from collections.abc import Iterator

from service.errors import ConfigError
from service.records import RecordTypes
from service.rules.enums import text_literals
from service.rules.fields import EVENT_FIELDS, describe_fields
from service.rules.syntax import Rule

_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")


def rule_warnings(rule: Rule, at: str, records: RecordTypes) -> Iterator[ConfigError]:
    """Yield each literal that is the name of a field, so that `ref` was probably meant in place of `value`."""
    if rule.when is None:
        return
    known = {path: member.kind for path, member in describe_fields(records[rule.type]).items()}
    known |= {f"event.{name}": kind for name, kind in EVENT_FIELDS.items()}
    for path, value, place in text_literals(rule.when, "", f"{at}.when"):
        found = _PLACEHOLDER.fullmatch(value)
        name = found[1] if found else value
        list_path, is_element, _ = path.rpartition("[].")
        candidates = [f"{list_path}[].{name}", name] if is_element else [name]
        if any(known.get(candidate) == "text" and candidate != path for candidate in candidates):
            ref = name if not is_element or candidates[0] in known else f"$root.{name}"
            fix = f"write ref: {ref} to compare with the field"
            yield ConfigError(place, f"{value!r} is compared as a text, and {name} is a field", fix)
