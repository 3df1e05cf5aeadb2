"""Compiler of comparisons: the right operand is built once from `value` or `ref`, as the operator requires."""

from collections.abc import Callable
from typing import Any

from msgspec import UNSET, Struct, structs

from service.errors import ConfigError
from service.rules.compiler.casts import cast_field
from service.rules.compiler.function_values import FunctionError
from service.rules.compiler.functions import resolve_expression
from service.rules.compiler.literals import format_literal, kind_name, read_duration, read_literal, read_literals
from service.rules.compiler.operators import Comparator, LiteralSet, Operator, changed
from service.rules.compiler.regex import compile_pattern
from service.rules.fields import NOT_PREVIOUS, Field, FieldKind, FieldReader, FieldScope, resolve
from service.rules.previous_state import decode_previous, encode_previous
from service.rules.scope import Scope, Value
from service.rules.syntax import Condition
from service.rules.trace import Truth


class Operand(Struct, frozen=True):
    """The right operand: a constant, or the result of `read`.

    `read` takes the scope if `rooted`, else the current list element. `path` is the path of the field. `shown` converts
    the value for a trace.
    """

    constant: Any = UNSET
    read: FieldReader | None = None
    rooted: bool = True
    personal: bool = False
    attribute: str | None = None
    path: str | None = None
    shown: Callable[[Any], Any] = lambda value: value


class Comparison(Struct, frozen=True):
    """A comparison: the field, the comparator and the right operand."""

    field: Field
    compare: Comparator
    right: Operand


def build_comparison(node: Condition, operator: Operator, fields: FieldScope, at: str) -> Comparison:
    """Build the comparison of a `field` node.

    Raises:
        ConfigError: the field is unknown, the operator does not support it, or the right operand is of another kind.
    """
    field = resolve_operand(str(node.field), fields, f"{at}.field")
    if node.as_ is not UNSET:
        field = cast_field(field, node.as_, f"{at}.as")
    if field.kind not in operator.kinds:
        supported = ", ".join(sorted(operator.kinds - {"any"}))
        kind = "which is untyped" if field.kind == "any" else kind_name(field.kind)
        reason = f"{operator.name} does not work on {field.path}, {kind}"
        fix = f"use a field of kind {supported}, or another operator"
        if field.kind == "any" and "timestamp" in operator.kinds:
            fix = f"add as: moment, or {fix}"
        elif field.kind in {"timestamp", "date"} and operator.less is not None:
            fix = f"write op: {'after' if operator.less.swap is operator.less.expected else 'before'}"
        raise ConfigError(f"{at}.op", reason, fix)
    if operator.name == "contains":
        _check_texts(field, f"{at}.op")
    if operator.right == "nothing":
        _reject_operands(node, at, value=True, ref=True)
        return Comparison(field, operator.compare, Operand())
    if operator.right in {"previous", "previous_and_one"}:
        return _with_previous(node, operator, field, fields, at)
    if node.ref is not UNSET:
        return _with_ref(node, operator, field, fields, at)
    try:
        return Comparison(field, operator.compare, _literal(node, operator, field, at))
    except ConfigError as error:
        raise _with_ref_fix(error, node.value, fields) from None


def _with_ref_fix(error: ConfigError, value: Value, fields: FieldScope) -> ConfigError:
    """Suggest `ref` for a literal that is not valid and names a field: `quantity_ordered`, `{quantity_ordered}`."""
    if not isinstance(value, str):
        return error
    name = value[1:-1] if value.startswith("{") and value.endswith("}") else value
    try:
        resolve_expression(name, fields, error.path)
    except ConfigError:
        return error
    return ConfigError(error.path, error.reason, f"write ref: {name} in place of value to compare with the field")


def resolve_operand(text: str, fields: FieldScope, at: str) -> Field:
    """Resolve a field or an expression. A value that a function cannot be applied to is absent: unknown.

    Raises:
        ConfigError: the field or a function is not valid.
    """
    field = resolve_expression(text, fields, at)
    if "|" not in text:
        return field
    read = field.read

    def read_or_absent(source: Value) -> Value:
        try:
            return read(source)
        except FunctionError:
            return UNSET

    return structs.replace(field, read=read_or_absent)


def _literal(node: Condition, operator: Operator, field: Field, at: str) -> Operand:
    if node.value is UNSET:
        raise ConfigError(at, f"{operator.name} requires a value", "add value: …")
    at = f"{at}.value"
    match operator.right:
        case "many":
            literals = read_literals(node.value, field.kind, at)
            return Operand(LiteralSet.of(literals), personal=field.personal, shown=lambda _: literals)
        case "text":
            return Operand(read_literal(node.value, "text", at))
        case "pattern":
            pattern = compile_pattern(read_literal(node.value, "text", at), at)
            return Operand(pattern, shown=lambda _: pattern.pattern)
        case "age":
            duration = read_duration(node.value, at)
            return Operand(read=lambda scope: (scope.now - duration, scope.now + duration), shown=lambda _: node.value)
        case _:
            literal = read_literal(node.value, field.kind, at)
            if operator.less is not None and type(literal) in {str, bool}:
                fix = "write the number without quotes, or compare text with eq, in or matches"
                reason = f"{operator.name} compares numbers, {format_literal(literal)} is not a number"
                raise ConfigError(at, reason, fix)
            return Operand(literal)


def _with_ref(node: Condition, operator: Operator, field: Field, fields: FieldScope, at: str) -> Comparison:
    _reject_operands(node, at, value=True)
    if operator.right in {"pattern", "age"}:
        raise ConfigError(f"{at}.ref", f"{operator.name} takes a literal only", "write value: …")
    right = resolve_operand(str(node.ref), fields, f"{at}.ref")
    if node.as_ is not UNSET:
        right = cast_field(right, node.as_, f"{at}.ref")
    required: FieldKind = "list" if operator.right == "many" else "text" if operator.right == "text" else field.kind
    if right.kind not in {required, "any"} and required == "list":
        reason = f"{operator.name} takes a list, and {right.path} is {kind_name(right.kind)}"
        raise ConfigError(f"{at}.ref", reason, "use a list, or compare with eq")
    if right.kind not in {required, "any"} and field.kind != "any":
        reason = (
            f"{right.path} is {kind_name(right.kind)} and cannot be compared with {field.path}, {kind_name(field.kind)}"
        )
        raise ConfigError(f"{at}.ref", reason, f"use {kind_name(required)}")
    if required == "list":
        _check_texts(right, f"{at}.ref")
    if field.kind == right.kind == "amount":
        field = _money_of(field, str(node.field), fields, at)
        right = _money_of(right, str(node.ref), fields, at)
    operand = Operand(
        read=right.read, rooted=right.rooted, personal=right.personal, attribute=right.attribute, path=right.path
    )
    return Comparison(field, operator.compare, operand)


def _check_texts(field: Field, at: str) -> None:
    """Reject a list whose elements are never text, since no text could match."""
    if field.kind == "list" and field.item not in {str, None}:
        raise ConfigError(at, f"the elements of {field.path} are not text", f"use any_of: {field.path}")


def _money_of(field: Field, path: str, fields: FieldScope, at: str) -> Field:
    """Resolve the money of an amount, so that amounts in two currencies are not compared by their numbers."""
    if "|" in path:
        raise ConfigError(at, f"{field.path} has no currency", "use the money itself, without .value")
    return resolve(path.removesuffix(".value"), fields, at) if path.endswith(".value") else field


def _with_previous(node: Condition, operator: Operator, field: Field, fields: FieldScope, at: str) -> Comparison:
    """Build the comparison of a field of the record with its previous value."""
    _reject_operands(node, at, ref=True, value=operator.right == "previous")
    if fields.is_lookup(field.path):
        reason = f"only the event's own record has a previous state, {field.path} has none"
        raise ConfigError(f"{at}.field", reason, "use a field of the record")
    path, personal = field.path, field.personal
    is_ordering = operator.name in {"increased", "decreased"}
    _check_previous(field, at, is_ordering=is_ordering)
    if is_ordering and field.kind == "amount":  # store the whole money, since two currencies cannot be compared
        field = _money_of(field, path, fields, at)
        path = field.path
    if node.as_ is not UNSET:  # another rule may store the same field as it is
        path = f"{path}:{node.as_}"
    fields.previous_fields[path] = field
    operand = Operand(read=_stored(path), personal=personal, path=f"previous.{path}", shown=decode_previous)
    if is_ordering:
        return Comparison(field, lambda left, right: operator.compare(left, decode_previous(right)), operand)

    def encode(left: Value) -> Value:
        return encode_previous(path, left, personal=personal)

    if operator.right == "previous":
        return Comparison(field, _changed(encode, personal=personal), operand)
    if node.value is UNSET:
        raise ConfigError(at, f"{operator.name} requires a value", "add value: …")
    literal = encode(read_literal(node.value, field.kind, f"{at}.value"))

    def compare(left: Value, right: Value) -> Truth:
        current = encode(left)
        differs = changed(current, right)
        return differs and (right if operator.name == "changed_from" else current) == literal

    return Comparison(field, compare, operand)


def _check_previous(field: Field, at: str, *, is_ordering: bool) -> None:
    if not field.rooted or field.path.startswith(NOT_PREVIOUS):
        reason = f"only the record has a previous state, {field.path} has none"
        raise ConfigError(f"{at}.field", reason, "use a field of the record")
    if is_ordering and field.personal:
        raise ConfigError(f"{at}.op", f"only a digest of {field.path} is stored", "use op: changed")


def _changed(encode: Callable[[Value], Value], *, personal: bool) -> Comparator:
    def compare(left: Value, right: Value) -> Truth:
        if type(left) is str and type(right) is str and not personal:
            return left != right
        return changed(encode(left), right)

    return compare


def _stored(path: str) -> FieldReader:
    def stored(scope: Scope) -> Value:
        return scope.previous.get(path, UNSET)

    return stored


def _reject_operands(node: Condition, at: str, *, value: bool = False, ref: bool = False) -> None:
    reason = f"is not allowed with op: {node.op}"
    if value and node.value is not UNSET:
        both = not ref and node.ref is not UNSET
        raise ConfigError(f"{at}.value", "cannot be combined with ref" if both else reason, "remove it")
    if ref and node.ref is not UNSET:
        raise ConfigError(f"{at}.ref", reason, "remove it")
