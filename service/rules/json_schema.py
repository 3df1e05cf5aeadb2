"""JSON Schema of a rule file for editors, generated from the structs.

Editors find it by the first line of a rule file: `# yaml-language-server: $schema=…/docs/rules.schema.json`. It checks
the structure only. `waybill rules check` checks fields and templates as well.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from service.actions import Action
from service.rules.compiler.operators import OPERATORS
from service.rules.compiler.rule import actions_by_name
from service.rules.limits import ACTIONS_MAX
from service.rules.syntax import Rule

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def make_schema(actions: Sequence[type[Action]]) -> dict[str, Any]:
    """Build the schema of a list of rules, with the installed actions."""
    kinds = [kind for _, kind in sorted(actions_by_name(actions).items())]
    (rule, *others), definitions = msgspec.json.schema_components((Rule, *kinds), ref_template="#/$defs/{name}")
    named: dict[str, Any] = definitions["Rule"]["properties"]
    named["actions"] = {"type": "array", "maxItems": ACTIONS_MAX, "items": {"oneOf": others}}
    definitions["Condition"]["properties"]["op"] = {
        "oneOf": [{"const": operator.name, "description": operator.summary} for operator in OPERATORS.values()]
    }
    for name, kind in zip((other["$ref"].rpartition("/")[2] for other in others), kinds, strict=True):
        definitions[name]["description"] = f"{kind.summary} {' '.join((kind.__doc__ or '').split())}"
    return {
        "$schema": DRAFT,
        "title": "Rules of Waybill",
        "type": "array",
        "items": rule,
        "$defs": definitions,
    }


def write_schema(actions: Sequence[type[Action]]) -> str:
    """Return the schema as JSON text."""
    return msgspec.json.format(msgspec.json.encode(make_schema(actions)), indent=2).decode() + "\n"
