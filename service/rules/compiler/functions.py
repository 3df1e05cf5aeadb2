"""Functions in templates and comparisons: `{status | upper}`, `field: lines | sum(quantity_missing)`.

A function is pure and bounded. Its arguments and the kind of the field are checked when a rule is loaded. An absent
value stays absent, except for `default`. To add a function, add an entry in `FUNCTIONS` and a row with an example in
`docs/reference/rules.md`, whose examples are tests.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any

from msgspec import UNSET, Struct, structs

from service.config.decoding import did_you_mean
from service.errors import ConfigError
from service.records import Money
from service.rules.compiler.arguments import Argument, Arguments, parse_expression
from service.rules.compiler.casts import cast_field
from service.rules.compiler.function_values import (
    FunctionError,
    check_text,
    format_decimal,
    format_moment,
    parse_moment_format,
)
from service.rules.compiler.list_functions import LISTS, apply_join, apply_length, apply_map, apply_reduce
from service.rules.compiler.literals import is_number, kind_name, read_literal
from service.rules.fields import Field, FieldKind, FieldScope, resolve
from service.rules.limits import DECIMAL_PLACES_MAX
from service.rules.previous_state import Digest
from service.rules.scope import Scope, Value
from service.rules.syntax import Cast

TEXTS: frozenset[FieldKind] = frozenset({"text", "any"})
SEPARATOR_CHARS_MAX = 3


class Function(Struct, frozen=True):
    """A function: its form, its summary, the kinds of fields that it takes, and the compiler of a call."""

    signature: str
    summary: str
    kinds: frozenset[FieldKind]
    compile: Callable[[Field, Arguments], Field]


def resolve_expression(text: str, fields: FieldScope, at: str) -> Field:
    """Resolve a field, or an expression such as `total | format(2)`, whose `read` may raise FunctionError.

    Raises:
        ConfigError: there is no such field or function, or they do not fit together.
    """
    if "|" not in text:
        return resolve(text, fields, at)
    path, calls = parse_expression(text, at)
    field = resolve(path, fields, at)
    for call in calls:
        function = FUNCTIONS.get(call.name)
        if function is None:
            raise ConfigError(at, f"no function {call.name[:64]!r}", did_you_mean(call.name[:64], FUNCTIONS))
        if field.kind not in function.kinds:
            kinds = ", ".join(sorted(function.kinds - {"any"}))
            reason = f"{call.name} does not work on {field.path}, {kind_name(field.kind)}"
            fix = f"use a field of kind {kinds}"
            if field.kind == "any":
                fix += "; a cast before it gives a value a kind: decimal, money or moment"
            raise ConfigError(at, reason, fix)
        arguments = Arguments(call, function.signature, fields, at)
        applied = function.compile(field, arguments)
        arguments.finish()
        field = structs.replace(applied, path=f"{field.path} | {call.source}", attribute=None)
        if field.rooted and call.name in LISTS:
            field = structs.replace(field, read=_remembered(field))
    return field


def _remembered(field: Field) -> Callable[[Scope], Value]:
    """Read a function of a list once per event, for all rules."""
    path, read = field.path, field.read

    def remembered(scope: Scope) -> Value:
        if path not in scope.known:
            scope.known[path] = read(scope)
        return scope.known[path]

    return remembered


def _applied(field: Field, apply: Callable[[Any], Value], kind: FieldKind, *, personal: bool = False) -> Field:
    """Return the field with a function applied to its values. Absent values stay absent."""
    read = field.read

    def read_applied(source: Value) -> Value:
        value = read(source)
        if value is None or value is UNSET:
            return value
        return UNSET if type(value) is Digest else apply(value)

    return structs.replace(field, kind=kind, read=read_applied, item=None, personal=field.personal or personal)


def _on_text(change: Callable[[str], str]) -> Callable[[Field, Arguments], Field]:
    return lambda field, _: _applied(field, lambda value: change(check_text(value)), "text")


def _default(field: Field, arguments: Arguments) -> Field:
    value, read = _literal(field.kind, arguments.required("a value"), arguments), field.read

    def read_or_default(source: Value) -> Value:
        found = read(source)
        return value if found is None or found is UNSET else found

    return structs.replace(field, read=read_or_default)


def _literal(kind: FieldKind, argument: Argument, arguments: Arguments) -> Value:
    """Read the argument of `default` as a literal of the field's kind."""
    text, plain = argument.text, not argument.is_quoted
    written: Value = text
    if plain and kind in {"any", "boolean"} and text in {"true", "false"}:
        written = text == "true"
    elif plain and kind == "any" and is_number(text):
        return Decimal(text)
    elif kind == "money":
        number, _, currency = text.partition(" ")
        written = {"value": number, "currency": currency}
    try:
        return read_literal(written, kind, arguments.at)
    except ConfigError as error:
        example = ", such as default('0.00 EUR')" if kind == "money" else ""
        raise arguments.error(f"{error.reason}{example}") from None


def _format(field: Field, arguments: Arguments) -> Field:
    places = arguments.whole("a number of decimal places", DECIMAL_PLACES_MAX)
    point, thousands = arguments.text("."), arguments.text("")
    if max(len(point), len(thousands)) > SEPARATOR_CHARS_MAX:
        raise arguments.error(f"a separator has more than {SEPARATOR_CHARS_MAX} characters")

    def apply(value: Value) -> str:
        if type(value) is Money:
            return f"{format_decimal(value.value, places, point, thousands)} {value.currency}"
        return format_decimal(value, places, point, thousands)

    return _applied(field, apply, "text")


def _date(field: Field, arguments: Arguments) -> Field:
    parts = parse_moment_format(arguments.required("a format").text, arguments, is_date=field.kind == "date")
    zone: tzinfo = arguments.zone() or UTC
    return _applied(field, lambda value: format_moment(value, parts, zone), "text")


def _shift(field: Field, arguments: Arguments) -> Field:
    (duration, is_in_days), zone = arguments.duration(), arguments.zone()
    if field.kind == "date" and not is_in_days:
        raise arguments.error("a date can be shifted by d and w only")

    def apply(value: date) -> date:
        try:
            if isinstance(value, datetime) and zone is not None and is_in_days:
                return _shift_days(value.astimezone(zone), duration)
            return value + duration
        except OverflowError:
            raise FunctionError("is too far in the past or the future") from None

    return _applied(field, apply, field.kind)


def _shift_days(local: datetime, duration: timedelta) -> datetime:
    """Shift by calendar days: the time of day stays the same across a change to summer time."""
    return (local + duration).astimezone(UTC)


def _cast(name: Cast) -> Callable[[Field, Arguments], Field]:
    def compile_cast(field: Field, arguments: Arguments) -> Field:
        found = cast_field(field, name, arguments.at)

        def check(value: Value) -> Value:
            if type(value) not in _CAST_TYPES[name]:
                raise FunctionError(f"cannot be cast to {name}")
            return value

        return _applied(found, check, found.kind)

    return compile_cast


_CAST_TYPES: Mapping[Cast, frozenset[type]] = {
    "decimal": frozenset({int, Decimal}), "money": frozenset({Money}), "moment": frozenset({datetime}),
}  # fmt: skip


def _join(field: Field, arguments: Arguments) -> Field:
    separator, inner = arguments.text(", "), _element_field(field, arguments, arguments.optional())
    if inner.kind not in {"text", "number", "any"}:
        raise arguments.error(f"{inner.path} is {kind_name(inner.kind)}, not a text")
    return _applied(field, apply_join(separator, inner.read), "text", personal=inner.personal)


def _reduce(name: str) -> Callable[[Field, Arguments], Field]:
    def compile_reduce(field: Field, arguments: Arguments) -> Field:
        inner = _element_field(field, arguments, arguments.optional())
        kinds = {"number", "money", "any"} | ({"timestamp", "date"} if name != "sum" else set[str]())
        if inner.kind == "amount":
            money = inner.path.removesuffix(".value")
            raise arguments.error(f"amounts of several currencies cannot be compared or added; use {name}({money})")
        if inner.kind not in kinds:
            raise arguments.error(f"{inner.path} is {kind_name(inner.kind)}, not one of {', '.join(sorted(kinds))}")
        kind: FieldKind = "number" if inner.kind == "any" else inner.kind
        return _applied(field, apply_reduce(name, inner.read, kind), kind, personal=inner.personal)

    return compile_reduce


def _map(field: Field, arguments: Arguments) -> Field:
    readers: dict[str, Callable[[Value], Value]] = {}
    personal = False
    for argument in arguments.named():
        assert argument.name is not None  # `named` has checked it
        if argument.is_quoted:
            readers[argument.name] = _constant(argument.text)
            continue
        inner = _element_field(field, arguments, argument)
        readers[argument.name] = inner.read
        personal = personal or inner.personal
    return _applied(field, apply_map(readers), "list", personal=personal)


def _constant(text: str) -> Callable[[Value], Value]:
    return lambda _: text


def _length(field: Field, _arguments: Arguments) -> Field:
    return _applied(field, apply_length, "number")


def _element_field(field: Field, arguments: Arguments, argument: Argument | None) -> Field:
    """Resolve a field of the elements; without an argument, the element itself."""
    if arguments.depth >= 2:
        raise arguments.error("lists are nested too deeply for a function of a list")
    return arguments.element_field(argument or Argument("$item"), field.item)


_LIST: frozenset[FieldKind] = frozenset({"list", "any"})
_MOMENTS: frozenset[FieldKind] = frozenset({"timestamp", "date"})

FUNCTIONS: Mapping[str, Function] = {
    "default": Function(
        "default(VALUE)", "the value if the field is absent or null",
        frozenset({"text", "number", "amount", "money", "timestamp", "date", "boolean", "any"}), _default,
    ),
    "upper": Function("upper", "the text in upper case", TEXTS, _on_text(str.upper)),
    "lower": Function("lower", "the text in lower case", TEXTS, _on_text(str.lower)),
    "trim": Function("trim", "the text without blanks at both ends", TEXTS, _on_text(str.strip)),
    "length": Function(
        "length", "the number of characters of a text, or of elements of a list",
        frozenset({"text", "list", "any"}), _length,
    ),
    "format": Function(
        'format(PLACES, ".", ",")', "a number or money with decimal places, rounded half up; then the separators",
        frozenset({"number", "amount", "money", "any"}), _format,
    ),
    "date": Function(
        'date("%Y-%m-%d", ZONE)', "a timestamp or date as text, in a time zone (default UTC)", _MOMENTS, _date
    ),
    "shift": Function(
        "shift(2d, ZONE)", "a later or, with `-`, earlier time; with a zone, days keep the time of day",
        _MOMENTS, _shift,
    ),
    "join": Function('join(", ", FIELD)', "the texts of a list; without absent ones", _LIST, _join),
    "sum": Function("sum(FIELD)", "the sum over a list; 0 for an empty list of numbers", _LIST, _reduce("sum")),
    "min": Function("min(FIELD)", "the least value of a list", _LIST, _reduce("min")),
    "max": Function("max(FIELD)", "the greatest value of a list", _LIST, _reduce("max")),
    "map": Function("map(sku: FIELD, unit: 'pcs')", "a list of objects for a JSON body", _LIST, _map),
    "decimal": Function("decimal", "a cast, as with `as`", frozenset({"any", "text", "number"}), _cast("decimal")),
    "money": Function("money", "a cast, as with `as`", frozenset({"any", "money"}), _cast("money")),
    "moment": Function(
        "moment", "a cast, as with `as`", frozenset({"any", "text", "number", "timestamp"}), _cast("moment")
    ),
}  # fmt: skip
"""All functions by name."""
