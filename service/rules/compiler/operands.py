"""The right side of a comparison: made once from `value` or `ref`, by what the operator wants there."""

from collections.abc import Callable
from typing import Any

from msgspec import UNSET, Struct

from service.errors import ConfigError
from service.rules.compiler.literals import format_literal, kind_name, read_duration, read_literal, read_literals
from service.rules.compiler.operators import Comparator, LiteralSet, Operator, changed
from service.rules.compiler.regex import compile_pattern
from service.rules.fields import Field, FieldKind, FieldReader, FieldScope, resolve
from service.rules.previous_state import decode_previous, encode_previous
from service.rules.scope import Scope, Value
from service.rules.syntax import Condition
from service.rules.trace import Truth


class Operand(Struct, frozen=True):
    """A constant, or what `read` gives (of the scope where `rooted`, else of the element).

    `path` names what is read, `shown` makes the value fit for a trace.
    """

    constant: Any = UNSET
    read: FieldReader | None = None
    rooted: bool = True
    personal: bool = False
    attribute: str | None = None
    path: str | None = None
    shown: Callable[[Any], Any] = lambda value: value


class Comparison(Struct, frozen=True):
    """A field, how it is decided, and what against."""

    field: Field
    decide: Comparator
    right: Operand


def build_comparison(node: Condition, operator: Operator, place: FieldScope, at: str) -> Comparison:
    """Make both sides of a `field` node.

    Raises:
        ConfigError: no such field, not for this operator, or a right side of another kind.
    """
    field = resolve(str(node.field), place, f"{at}.field")
    if field.kind not in operator.kinds:
        takes = ", ".join(sorted(operator.kinds - {"any"}))
        what = "which is untyped" if field.kind == "any" else kind_name(field.kind)
        raise ConfigError(f"{at}.op", f"{operator.name} does not work on {field.path}, {what}", f"it takes {takes}")
    if operator.name == "contains":
        _check_texts(field, f"{at}.op")
    if operator.right == "nothing":
        _reject_operands(node, at, value=True, ref=True)
        return Comparison(field, operator.decide, Operand())
    if operator.right in {"previous", "previous_and_one"}:
        return _with_previous(node, operator, field, place, at)
    if node.ref is not UNSET:
        return _with_ref(node, operator, field, place, at)
    return Comparison(field, operator.decide, _literal(node, operator, field, at))


def _literal(node: Condition, operator: Operator, field: Field, at: str) -> Operand:
    if node.value is UNSET:
        raise ConfigError(at, f"{operator.name} needs a right side", "add value: …")
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
                fix = "write the number without quotes; what a platform sends as text is compared by eq, in, matches"
                raise ConfigError(at, f"{operator.name} compares numbers, {format_literal(literal)} is none", fix)
            return Operand(literal)


def _with_ref(node: Condition, operator: Operator, field: Field, place: FieldScope, at: str) -> Comparison:
    _reject_operands(node, at, value=True)
    if operator.right in {"pattern", "age"}:
        raise ConfigError(f"{at}.ref", f"{operator.name} takes a literal only", "write value: …")
    right = resolve(str(node.ref), place, f"{at}.ref")
    due: FieldKind = "list" if operator.right == "many" else "text" if operator.right == "text" else field.kind
    if right.kind not in {due, "any"} and due == "list":
        reason = f"{operator.name} takes a list, and {right.path} is {kind_name(right.kind)}"
        raise ConfigError(f"{at}.ref", reason, "name a list, or compare with eq")
    if right.kind not in {due, "any"} and field.kind != "any":
        reason = (
            f"{right.path} is {kind_name(right.kind)} and does not compare with {field.path}, {kind_name(field.kind)}"
        )
        raise ConfigError(f"{at}.ref", reason, f"name {kind_name(due)}")
    if due == "list":
        _check_texts(right, f"{at}.ref")
    if field.kind == right.kind == "amount":
        field = _money_of(field, str(node.field), place, at)
        right = _money_of(right, str(node.ref), place, at)
    side = Operand(
        read=right.read, rooted=right.rooted, personal=right.personal, attribute=right.attribute, path=right.path
    )
    return Comparison(field, operator.decide, side)


def _check_texts(field: Field, at: str) -> None:
    """Refuse a list whose elements are known to be no texts: nothing is ever one of them."""
    if field.kind == "list" and field.item not in {str, None}:
        raise ConfigError(at, f"the elements of {field.path} are no texts", f"look into it with any_of: {field.path}")


def _money_of(field: Field, path: str, place: FieldScope, at: str) -> Field:
    """Read the money an amount belongs to, so that two currencies do not compare by their numbers alone."""
    return resolve(path.removesuffix(".value"), place, at) if path.endswith(".value") else field


def _with_previous(node: Condition, operator: Operator, field: Field, place: FieldScope, at: str) -> Comparison:
    """Hold a field of the record against what is remembered of it."""
    _reject_operands(node, at, ref=True, value=operator.right == "previous")
    path, personal = field.path, field.personal
    if not field.rooted or path.startswith(("event.", "previous.")):
        raise ConfigError(f"{at}.field", f"only the record has a previous state, {path} has none", "name a field of it")
    grows = operator.name in {"increased", "decreased"}
    if grows and personal:
        raise ConfigError(f"{at}.op", f"of {path} only a digest is remembered", "use op: changed")
    if grows and field.kind == "amount":  # two currencies do not compare, so the whole money is remembered
        field = _money_of(field, path, place, at)
        path = field.path
    place.asked[path] = field
    side = Operand(read=_stored(path), personal=personal, path=f"previous.{path}", shown=decode_previous)
    if grows:
        return Comparison(field, lambda left, right: operator.decide(left, decode_previous(right)), side)

    def now(left: Value) -> Value:
        return encode_previous(path, left, personal=personal)

    if operator.right == "previous":
        return Comparison(field, _changed(now, personal=personal), side)
    if node.value is UNSET:
        raise ConfigError(at, f"{operator.name} needs a right side", "add value: …")
    literal = now(read_literal(node.value, field.kind, f"{at}.value"))

    def decide(left: Value, right: Value) -> Truth:
        current = now(left)
        differs = changed(current, right)
        return differs and (right if operator.name == "changed_from" else current) == literal

    return Comparison(field, decide, side)


def _changed(now: Callable[[Value], Value], *, personal: bool) -> Comparator:
    def decide(left: Value, right: Value) -> Truth:
        if type(left) is str and type(right) is str and not personal:
            return left != right
        return changed(now(left), right)

    return decide


def _stored(path: str) -> FieldReader:
    def stored(scope: Scope) -> Value:
        return scope.previous.get(path, UNSET)

    return stored


def _reject_operands(node: Condition, at: str, *, value: bool = False, ref: bool = False) -> None:
    if value and node.value is not UNSET:
        raise ConfigError(f"{at}.value", "has no meaning here", "remove it")
    if ref and node.ref is not UNSET:
        raise ConfigError(f"{at}.ref", "has no meaning here", "remove it")
