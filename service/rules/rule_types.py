"""Description of the rule types for the admin API and the documentation: fields, operators, functions and actions.

Everything is derived: fields from the records, operators and functions from their tables, actions from their structs.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args

import msgspec
from msgspec import NODEFAULT, Struct, structs

from service.actions import Action, RetrySafety
from service.events import EVENT_KIND, ChangeType, JsonValue
from service.records import EventRecord, RecordTypes
from service.rules.compiler.functions import FUNCTIONS
from service.rules.compiler.operators import OPERATORS, OperandKind
from service.rules.compiler.rule import actions_by_name
from service.rules.fields import EVENT_FIELDS, NOT_OF_EVENTS, FieldKind, describe_fields

NAMES = {"purchase_order": "Purchase order", "customer": "Customer", EVENT_KIND: "Event alone"}


class FieldType(Struct, frozen=True):
    """A field that rules may use. Paths into list elements have the form `lines[].price.value`."""

    path: str
    kind: FieldKind
    personal: bool
    operators: Sequence[str]


class OperatorType(Struct, frozen=True):
    """An operator: its summary, the supported kinds of fields, and the kind of its right operand."""

    name: str
    summary: str
    kinds: Sequence[FieldKind]
    right: OperandKind


class FunctionType(Struct, frozen=True):
    """A function for templates and comparisons: the form of a call, its result, and the kinds of fields it takes."""

    name: str
    signature: str
    summary: str
    kinds: Sequence[FieldKind]


class ActionField(Struct, frozen=True, omit_defaults=True):
    """A field of an action: its JSON Schema, and its default if it is optional."""

    name: str
    required: bool
    schema: Mapping[str, Any]
    default: Any = None


class ActionType(Struct, frozen=True):
    """An action: its description, its retry safety after a crash, and its fields."""

    do: str
    summary: str
    description: str
    repeat: RetrySafety
    fields: Sequence[ActionField]


class RuleTypeDescription(Struct, frozen=True):
    """The events, fields, operators, functions and actions of rules on one record kind."""

    id: str
    name: str
    events: Sequence[ChangeType]
    fields: Sequence[FieldType]
    operators: Sequence[OperatorType]
    functions: Sequence[FunctionType]
    actions: Sequence[ActionType]


def list_rule_types(actions: Sequence[type[Action]], records: RecordTypes) -> tuple[RuleTypeDescription, ...]:
    """Describe every rule type: the built-in record kinds, and the declared ones."""
    operators = [
        OperatorType(operator.name, operator.summary, sorted(operator.kinds), operator.right)
        for operator in OPERATORS.values()
    ]
    functions = [
        FunctionType(name, function.signature, function.summary, sorted(function.kinds))
        for name, function in FUNCTIONS.items()
    ]
    described = [_action(name, action) for name, action in sorted(actions_by_name(actions).items())]
    changes: tuple[ChangeType, ...] = get_args(ChangeType)
    return tuple(
        RuleTypeDescription(kind, NAMES.get(kind, kind), changes, _fields(record), operators, functions, described)
        for kind, record in records.items()
    )


def operators_of(kind: FieldKind) -> list[str]:
    """Return the operators that support fields of this kind."""
    return [name for name, operator in OPERATORS.items() if kind in operator.kinds]


def _fields(record: type[Struct]) -> list[FieldType]:
    members = describe_fields(record)
    own = [FieldType(path, member.kind, member.personal, operators_of(member.kind)) for path, member in members.items()]
    return own + [
        FieldType(f"event.{path}", kind, personal=False, operators=operators_of(kind))
        for path, kind in EVENT_FIELDS.items()
        if not (record is EventRecord and f"event.{path}" in NOT_OF_EVENTS)
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
    """Replace references by their definitions. The definitions of actions are not recursive."""
    if isinstance(schema, list):
        return [_inlined(item, definitions) for item in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    found = cast("dict[str, Any]", schema)
    if "$ref" in found:
        return _inlined(definitions[found["$ref"].rpartition("/")[2]], definitions)
    return {key: _inlined(value, definitions) for key, value in found.items()}
