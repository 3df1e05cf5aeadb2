"""Syntax of expressions: a field and the functions applied to it, as in `total | format(2)`, and their arguments."""

import re
from collections.abc import Sequence
from datetime import timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct, structs

from service.errors import ConfigError
from service.rules.compiler.literals import read_duration
from service.rules.fields import Field, FieldScope, resolve
from service.rules.limits import ARGUMENTS_MAX, EXPRESSION_CHARS_MAX, FUNCTIONS_MAX

_TOKEN = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([|(),:])|([^\s|(),:"']+))""")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)
_EXAMPLE = "write a field, and functions after it: total | format(2)"


class Argument(Struct, frozen=True):
    """One argument of a function: its text, whether that was in quotes, and its name."""

    text: str
    is_quoted: bool = False
    name: str | None = None


class Call(Struct, frozen=True):
    """A function with its arguments, as written. `source` is its text in a path."""

    name: str
    arguments: tuple[Argument, ...]
    source: str


class _Token(Struct, frozen=True):
    text: str
    is_quoted: bool = False
    is_symbol: bool = False


def parse_expression(text: str, at: str) -> tuple[str, Sequence[Call]]:
    """Split an expression into the path of its field and the calls of functions.

    Raises:
        ConfigError: the text is not an expression, or is too long.
    """
    if len(text) > EXPRESSION_CHARS_MAX:
        raise ConfigError(at, f"is longer than {EXPRESSION_CHARS_MAX} characters", "shorten it")
    path, _, rest = text.partition("|")
    tokens, calls = _tokens(rest, at), list[Call]()
    while True:
        calls.append(_call(tokens, at))
        if not tokens:
            break
        _expect(tokens, "|", at)
    if len(calls) > FUNCTIONS_MAX:
        raise ConfigError(at, f"has {len(calls)} functions, at most {FUNCTIONS_MAX} are allowed", "use fewer")
    return path.strip(), calls


def _tokens(text: str, at: str) -> list[_Token]:
    """Split the text after the first `|` into tokens."""
    tokens: list[_Token] = []
    text, position = text.rstrip(), 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise ConfigError(at, f"cannot be read from {text[position : position + 20]!r} on", "close the quotes")
        double, single, symbol, word = found.groups()
        quoted = double if double is not None else single
        if quoted is not None:
            tokens.append(_Token(quoted, is_quoted=True))
        else:
            tokens.append(_Token(symbol or word, is_symbol=bool(symbol)))
        position = found.end()
    return tokens


def _call(tokens: list[_Token], at: str) -> Call:
    """Take the next function and its arguments."""
    name = _take(tokens, at)
    if name.is_symbol or name.is_quoted:
        raise ConfigError(at, f"has {name.text!r} in place of the name of a function", _EXAMPLE)
    arguments: list[Argument] = []
    if tokens and tokens[0] == _Token("(", is_symbol=True):
        del tokens[0]
        while not (tokens and tokens[0] == _Token(")", is_symbol=True)):
            if arguments:
                _expect(tokens, ",", at)
            arguments.append(_argument(tokens, at))
            if len(arguments) > ARGUMENTS_MAX:
                raise ConfigError(at, f"{name.text} has more than {ARGUMENTS_MAX} arguments", "use fewer")
        del tokens[0]
    shown = ", ".join(_shown(argument) for argument in arguments)
    return Call(name.text, tuple(arguments), f"{name.text}({shown})" if shown else name.text)


def _argument(tokens: list[_Token], at: str) -> Argument:
    first = _take_value(tokens, at)
    if not tokens or tokens[0] != _Token(":", is_symbol=True):
        return Argument(first.text, first.is_quoted)
    if not _NAME.fullmatch(first.text):
        raise ConfigError(at, f"{first.text[:64]!r} is not a valid name", "use letters, digits and _")
    del tokens[0]
    value = _take_value(tokens, at)
    return Argument(value.text, value.is_quoted, first.text)


def _take_value(tokens: list[_Token], at: str) -> _Token:
    token = _take(tokens, at)
    if token.is_symbol:
        raise ConfigError(at, f"has {token.text!r} in place of an argument", f"{_EXAMPLE}; put symbols in quotes")
    return token


def _take(tokens: list[_Token], at: str) -> _Token:
    if not tokens:
        raise ConfigError(at, "ends too early", _EXAMPLE)
    return tokens.pop(0)


def _expect(tokens: list[_Token], symbol: str, at: str) -> None:
    token = _take(tokens, at)
    if token != _Token(symbol, is_symbol=True):
        raise ConfigError(at, f"has {token.text[:64]!r} in place of {symbol!r}", _EXAMPLE)


def _shown(argument: Argument) -> str:
    quote = "'" if '"' in argument.text else '"'
    text = f"{quote}{argument.text}{quote}" if argument.is_quoted else argument.text
    return f"{argument.name}: {text}" if argument.name else text


class Arguments:
    """The arguments of one call, taken in order. `signature` is the form of the call, for errors."""

    def __init__(self, call: Call, signature: str, fields: FieldScope, at: str) -> None:
        self.at = at
        self._signature = signature
        self._fields = fields
        self._left = list(call.arguments)
        self._call = call

    def error(self, reason: str) -> ConfigError:
        """Build the error of this call."""
        return ConfigError(self.at, f"{self._call.source}: {reason}", f"write {self._signature}")

    def optional(self) -> Argument | None:
        """Return the next argument without a name, if there is one."""
        if self._left and self._left[0].name is None:
            return self._left.pop(0)
        return None

    def required(self, kind: str) -> Argument:
        """Return the next argument. `kind` says what it is, for errors.

        Raises:
            ConfigError: there is none.
        """
        argument = self.optional()
        if argument is None:
            raise self.error(f"{kind} is missing")
        return argument

    def text(self, default: str) -> str:
        """Return the text of the next argument."""
        argument = self.optional()
        return default if argument is None else argument.text

    def whole(self, kind: str, maximum: int) -> int:
        """Return the next argument as a whole number from 0.

        Raises:
            ConfigError: it is missing, no number or too large.
        """
        text = self.required(kind).text
        if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) <= maximum):
            raise self.error(f"{text[:64]!r} is not a number from 0 to {maximum}")
        return int(text)

    def duration(self) -> tuple[timedelta, bool]:
        """Return the next argument as a duration, and whether it has whole days: in d or w.

        Raises:
            ConfigError: it is missing, or no duration.
        """
        text = self.required("a duration").text
        duration = read_duration(text.removeprefix("-"), self.at)
        return -duration if text.startswith("-") else duration, text[-1] in "dw"

    def zone(self) -> ZoneInfo | None:
        """Return the next argument as a time zone, if there is one.

        Raises:
            ConfigError: there is no such time zone.
        """
        argument = self.optional()
        if argument is None:
            return None
        try:
            return ZoneInfo(argument.text)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise self.error(f"there is no time zone {argument.text[:64]!r}, such as Europe/Oslo") from None

    def element_field(self, argument: Argument, item: type | None) -> Field:
        """Resolve an argument as a field of the elements of a list, whose type is `item`.

        Raises:
            ConfigError: the elements have no such field.
        """
        if argument.text.startswith("$root."):
            raise self.error("only fields of the elements are possible")
        inner = structs.replace(self._fields, depth=self._fields.depth + 1, element=item)
        return resolve(argument.text, inner, self.at)

    @property
    def depth(self) -> int:
        """Number of lists around the expression."""
        return self._fields.depth

    def named(self) -> list[Argument]:
        """Return all remaining arguments, which have names.

        Raises:
            ConfigError: there is none, one has no name, or two have the same.
        """
        found, self._left = self._left, []
        if not found or any(argument.name is None for argument in found):
            raise self.error("names are required")
        if len({argument.name for argument in found}) < len(found):
            raise self.error("two names are equal")
        return found

    def finish(self) -> None:
        """Check that no argument is left.

        Raises:
            ConfigError: an argument is left.
        """
        if self._left:
            raise self.error(f"{self._left[0].text[:64]!r} is one argument too many, or out of place")
