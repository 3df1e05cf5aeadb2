"""The rule types told to people and to programs: which fields there are, what may be asked of each, what can be done.

Everything is taken from where it is made: fields from the records, operators from their table, actions from their
structs. So nothing here has to be touched when one is added.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args

import msgspec
from msgspec import NODEFAULT, Struct, structs

from service.actions import Action, RetrySafety
from service.events import ChangeType, JsonValue
from service.records import PERSONAL, RECORDS
from service.rules.compiler.operators import OPERATORS, OperandKind
from service.rules.compiler.rule import actions_by_name
from service.rules.fields import EVENT_FIELDS, FieldKind, describe_fields

NAMES = {"purchase_order": "Purchase order", "customer": "Customer"}


class FieldType(Struct, frozen=True):
    """A field that rules may ask about. A path into the elements of a list is written `lines[].price.value`."""

    path: str
    kind: FieldKind
    personal: bool
    operators: Sequence[str]


class OperatorType(Struct, frozen=True):
    """An operator: how it reads, the kinds of field it takes, and what stands on its right."""

    name: str
    summary: str
    kinds: Sequence[FieldKind]
    right: OperandKind


class ActionField(Struct, frozen=True, omit_defaults=True):
    """A word of an action: its JSON Schema, and its default where it may be left out."""

    name: str
    required: bool
    schema: Mapping[str, Any]
    default: Any = None


class ActionType(Struct, frozen=True):
    """An action: what it does, what may happen to it when a worker dies in it, and its words."""

    do: str
    summary: str
    description: str
    repeat: RetrySafety
    fields: Sequence[ActionField]


class RuleTypeDescription(Struct, frozen=True):
    """Everything a rule on one kind of record can be made of."""

    id: str
    name: str
    events: Sequence[ChangeType]
    fields: Sequence[FieldType]
    operators: Sequence[OperatorType]
    actions: Sequence[ActionType]


def list_rule_types(actions: Sequence[type[Action]]) -> tuple[RuleTypeDescription, ...]:
    """Describe every rule type."""
    operators = [
        OperatorType(operator.name, operator.summary, sorted(operator.kinds), operator.right)
        for operator in OPERATORS.values()
    ]
    described = [_action(name, action) for name, action in sorted(actions_by_name(actions).items())]
    changes: tuple[ChangeType, ...] = get_args(ChangeType)
    return tuple(
        RuleTypeDescription(kind, NAMES[kind], changes, _fields(kind), operators, described) for kind in RECORDS
    )


def operators_of(kind: FieldKind) -> list[str]:
    """The operators that take a field of this kind."""
    return [name for name, operator in OPERATORS.items() if kind in operator.kinds]


def _fields(kind: str) -> list[FieldType]:
    paths: dict[str, FieldKind] = dict(describe_fields(RECORDS[kind]))
    paths.update({f"event.{path}": found for path, found in EVENT_FIELDS.items()})
    return [
        FieldType(path, found, path.rpartition(".")[2] in PERSONAL, operators_of(found))
        for path, found in paths.items()
    ]


def _action(name: str, action: type[Action]) -> ActionType:
    schema = msgspec.json.schema(action)
    definitions: dict[str, Any] = schema.get("$defs", {})
    own: dict[str, Any] = definitions.get(action.__name__, schema)["properties"]
    fields = [_action_field(field, _inlined(own[field.encode_name], definitions)) for field in structs.fields(action)]
    return ActionType(name, action.summary, " ".join((action.__doc__ or "").split()), action.repeat, fields)


def _action_field(field: structs.FieldInfo, schema: JsonValue) -> ActionField:
    schema.pop("default", None)
    if field.default is NODEFAULT and field.default_factory is NODEFAULT:
        return ActionField(field.encode_name, required=True, schema=schema)
    default = field.default if field.default is not NODEFAULT else field.default_factory()
    return ActionField(field.encode_name, required=False, schema=schema, default=msgspec.to_builtins(default))


def _inlined(schema: JsonValue, definitions: Mapping[str, Any]) -> JsonValue:
    """Put definitions where they are referred to; those of actions do not refer to themselves."""
    if isinstance(schema, list):
        return [_inlined(item, definitions) for item in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    found = cast("dict[str, Any]", schema)
    if "$ref" in found:
        return _inlined(definitions[found["$ref"].rpartition("/")[2]], definitions)
    return {key: _inlined(value, definitions) for key, value in found.items()}
