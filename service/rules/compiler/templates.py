"""Templates: text with `{field}` placeholders, and nested JSON of such texts. Loading a rulebook checks them.

`{{` and `}}` are literal braces. A JSON string that consists of one placeholder keeps the type of the value. Whether
numbers become numbers or text depends on the style, never on the value. Timestamps become text, absent values become
null. In longer text an absent value is empty. In a URL or a header it is an error, since an incomplete URL is wrong.
Placeholders are fields of rules and the fixed functions of `functions.py` only: no attributes, other calls or formats.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Literal, cast
from urllib.parse import quote
from xml.sax.saxutils import escape

import msgspec
from msgspec import UNSET, Struct, structs

from service.errors import ConfigError
from service.mistakes import Mistakes
from service.records import Money
from service.rules.compiler.function_values import FunctionError
from service.rules.compiler.functions import resolve_expression
from service.rules.fields import Field, FieldScope
from service.rules.limits import TEMPLATE_DEPTH_MAX, TEMPLATE_NODES_MAX, TEXT_BYTES_MAX
from service.rules.masking import MASK
from service.rules.previous_state import Digest
from service.rules.scope import Scope, Value

Style = Literal["json", "json_text", "struct", "text", "log", "url", "header", "xml", "slack"]
"""Format of values: plain with numbers as numbers (`json`) or as text (`json_text`), plain for a struct that converts
them, with decimals as text (`struct`), always text (`text`), personal values masked (`log`), percent-encoded and
required (`url`), required and on one line (`header`), escaped for XML and without characters that XML does not allow
(`xml`), escaped for Slack (`slack`)."""

Render = Callable[[Scope], Any]

EXPONENT_MAX = 300
"""Largest exponent of a number in JSON. Numbers of all JSON parsers end at 1.8e308."""

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""Characters that XML 1.0 does not allow (section 2.2)."""
XML_QUOTES = {'"': "&quot;", "'": "&apos;"}


class RenderError(Exception):
    """A template cannot be rendered for this record. The message contains the field, never its value."""


class Template(Struct, frozen=True):
    """Compiles the templates of one action, and collects their mistakes."""

    fields: FieldScope
    mistakes: Mistakes

    def __call__(self, path: str, template: Value, style: Style = "json") -> Render:
        """Compile a template. `path` is its position in the action, for errors.

        A mistake is added: a field is unknown, a brace is unmatched, or the template is too large.
        """
        with self.mistakes.collect():
            _check_size(template, path)
            return self._compile(template, path, style)
        return _no_value

    def _compile(self, template: Value, at: str, style: Style) -> Render:
        if isinstance(template, str):
            with self.mistakes.collect():
                return self._text(template, at, style)
            return _no_value
        if isinstance(template, Mapping):
            pairs = cast("Mapping[str, Value]", template).items()
            inner = {key: self._compile(value, f"{at}.{key}", style) for key, value in pairs}
            return lambda scope: {key: render(scope) for key, render in inner.items()}
        if isinstance(template, list | tuple):
            items = enumerate(cast("list[Value]", template))
            renders = [self._compile(value, f"{at}[{index}]", style) for index, value in items]
            return lambda scope: [render(scope) for render in renders]
        return lambda _scope: template

    def _text(self, template: str, at: str, style: Style) -> Render:
        pieces = self._pieces(template, at)
        fields = [piece for piece in pieces if isinstance(piece, Field)]
        if not fields:
            constant = "".join(cast("list[str]", pieces))
            return lambda _scope: constant
        if len(pieces) == 1 and style in NUMBERS:
            return _typed_value(fields[0], NUMBERS[style])
        for field in fields:
            if field.kind in {"list", "struct"}:
                reason = f"{field.path} is a {field.kind} and cannot be inserted into text"
                raise ConfigError(at, reason, "use one of its fields")
        return _joined([piece if isinstance(piece, str) else _placeholder(piece, style) for piece in pieces])

    def _pieces(self, template: str, at: str) -> list[str | Field]:
        pieces: list[str | Field] = []
        for found in _PIECE.finditer(template):
            text, path = found[0], found[1]
            if path is not None:
                with self.mistakes.collect():
                    pieces.append(_resolve(path, self.fields, at))
            elif text in {"{", "}"}:
                raise ConfigError(at, f"unmatched {text}", f"write {text * 2} for a literal brace")
            else:
                pieces.append(text[0] if text in {"{{", "}}"} else text)
        return pieces


def _resolve(text: str, fields: FieldScope, at: str) -> Field:
    """Resolve a placeholder. A value that a function cannot be applied to is an error of the rule."""
    field = resolve_expression(text, fields, at)
    if "|" not in text:
        return field
    read, path = field.read, field.path

    def read_or_fail(scope: Scope) -> Value:
        try:
            return read(scope)
        except FunctionError as error:
            raise RenderError(f"{path}: the value {error}") from None

    return structs.replace(field, read=read_or_fail)


def _no_value(_scope: Scope) -> None:
    """Render of a template with a mistake; it is never called."""


def _check_size(template: Value, at: str) -> None:
    """Reject a template that is too large or too deep, before recursive functions process it."""
    waiting: list[tuple[Value, int]] = [(template, 1)]
    nodes = 0
    while waiting:
        value, depth = waiting.pop()
        nodes += 1
        if nodes > TEMPLATE_NODES_MAX or depth > TEMPLATE_DEPTH_MAX:
            reason = f"more than {TEMPLATE_NODES_MAX} values or {TEMPLATE_DEPTH_MAX} levels"
            raise ConfigError(at, reason, "shorten it, or insert a whole field")
        if isinstance(value, str) and len(value) > TEXT_BYTES_MAX:
            raise ConfigError(at, f"is longer than {TEXT_BYTES_MAX} characters", "shorten it")
        if isinstance(value, Mapping):
            waiting.extend((inner, depth + 1) for inner in cast("Mapping[str, Value]", value).values())
        elif isinstance(value, list | tuple):
            waiting.extend((inner, depth + 1) for inner in cast("list[Value]", value))


def _typed_value(field: Field, convert: Callable[[Decimal | int], Value]) -> Render:
    read, path = field.read, field.path

    def whole(scope: Scope) -> Value:
        value = read(scope)
        if value is None or value is UNSET or type(value) is Digest:
            return None
        if isinstance(value, bool):
            return value
        try:
            if isinstance(value, int | Decimal):
                return convert(value)
            plain = value
            if not isinstance(value, str):
                plain = _convert_numbers(msgspec.to_builtins(value, builtin_types=(Decimal,), enc_hook=str), convert)
        except OverflowError:
            reason = "has more digits than a JSON number keeps; write json: text into the action"
            raise RenderError(f"{path} {reason}") from None
        if len(msgspec.json.encode(plain)) > TEXT_BYTES_MAX:
            raise RenderError(f"{path} is larger than {TEXT_BYTES_MAX} bytes")
        return plain

    return whole


def _convert_numbers(value: Value, convert: Callable[[Decimal | int], Value]) -> Value:
    if isinstance(value, Mapping):
        members = cast("Mapping[str, Value]", value)
        return {name: _convert_numbers(item, convert) for name, item in members.items()}
    if isinstance(value, list | tuple):
        return [_convert_numbers(item, convert) for item in cast("list[Value]", value)]
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return convert(value)
    return value


def _as_number(value: Decimal | int) -> int | float:
    """Return a number that JSON keeps exactly.

    Raises:
        OverflowError: There is none.
    """
    if isinstance(value, Decimal) and abs(value.adjusted()) > EXPONENT_MAX:
        raise OverflowError
    if value == int(value) and -(2**63) <= value < 2**64:
        return int(value)
    number = float(value)
    if isinstance(value, int) or Decimal(repr(number)) != value:
        raise OverflowError
    return number


def _as_text(value: Decimal | int) -> str:
    """Return decimal notation, except for large exponents, which would produce long runs of zeros."""
    return format(value, "f") if isinstance(value, Decimal) and abs(value.adjusted()) < 100 else str(value)


def _as_field(value: Decimal | int) -> int | str:
    return value if isinstance(value, int) and -(2**63) <= value < 2**64 else _as_text(value)


NUMBERS: Mapping[str, Callable[[Decimal | int], Value]] = {
    "json": _as_number, "json_text": _as_text, "struct": _as_field,
}  # fmt: skip
"""Conversion of numbers by style."""


def _joined(pieces: list[str | Callable[[Scope], str]]) -> Render:
    def joined(scope: Scope) -> str:
        text = "".join([piece if isinstance(piece, str) else piece(scope) for piece in pieces])
        if len(text.encode()) > TEXT_BYTES_MAX:
            raise RenderError(f"the text is longer than {TEXT_BYTES_MAX} bytes")
        return text

    return joined


def _placeholder(field: Field, style: Style) -> Callable[[Scope], str]:
    read, path = field.read, field.path
    masked = style == "log" and field.personal

    def write(scope: Scope) -> str:
        value = read(scope)
        if value is None or value is UNSET or type(value) is Digest:
            if style in {"url", "header"}:
                raise RenderError(f"{path} is missing")
            return ""
        return MASK if masked else _encode_text(_format_value(value, path), style, path)

    return write


def _format_value(value: Value, path: str) -> str:
    match value:
        case str():
            text = value
        case bool():
            text = "true" if value else "false"
        case Decimal() | int():
            text = _as_text(value)
        case date():  # a timestamp too
            text = cast("str", msgspec.to_builtins(value))
        case Money():
            text = f"{value.value} {value.currency}"
        case _:
            raise RenderError(f"{path} is neither text nor a number")
    if len(text) > TEXT_BYTES_MAX:
        raise RenderError(f"{path} is longer than {TEXT_BYTES_MAX} characters")
    return text


def _encode_text(text: str, style: Style, path: str) -> str:
    if style == "url":
        if text in {"", ".", ".."}:
            raise RenderError(f"{path} would change the path of the URL")
        return quote(text, safe="")
    if style == "xml":
        return escape(_NOT_XML.sub("", text), XML_QUOTES)
    if style == "slack":
        return escape(text)
    if style == "header" and _CONTROL.search(text):
        raise RenderError(f"{path} contains characters that a header does not allow")
    return text
