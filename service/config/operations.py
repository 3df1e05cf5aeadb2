"""Operations of a custom account: writes that waybill.yaml declares, with a path and a template of the body. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import Meta, Struct

from service.actions import RetrySafety
from service.config.leaves import leaves
from service.errors import ConfigError, PermanentError
from service.events import JsonValue

OPERATION_NAME = r"^[a-z][a-z0-9_]{0,31}(\.[a-z][a-z0-9_]{0,31})+\Z"
RESERVED_PARAMETERS = frozenset({"client", "context", "values"})
"""Names of arguments of every write."""

_PIECE = re.compile(r"\{\{|\}\}|\{([a-z_]{1,64})\}|[{}]|[^{}]+")


class OperationConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Write operation of the account, for rules (`do: platform`) and `waybill platforms write`.

    `{name}` in `path` and in the texts of `body` is a parameter. A text that consists of one parameter becomes its
    value, a number for example. `{{` and `}}` in `body` are literal braces.
    """

    method: Literal["POST", "PUT", "PATCH", "DELETE"]
    path: Annotated[
        str, Meta(pattern=r"^/[^\s#]*\Z", max_length=2_000, description='a path such as "/orders/{order}/hold"')
    ]
    repeat: Annotated[
        RetrySafety,
        Meta(
            description="idempotent (after an unknown result the call is repeated), keyed (repeated with the same "
            "Idempotency-Key) or unsafe (a dead letter)"
        ),
    ]
    body: Annotated[Any, Meta(description="JSON body; without it, no body is sent")] = None

    @property
    def path_parameters(self) -> tuple[str, ...]:
        """Parameters of the path, in their order."""
        return tuple(dict.fromkeys(_names(self.path)))

    @property
    def body_parameters(self) -> tuple[str, ...]:
        """Parameters of the body alone, in their order."""
        names = (name for _, text in _texts(self.body, "") for name in _names(text))
        return tuple(dict.fromkeys(name for name in names if name not in self.path_parameters))

    def check(self, at: str) -> Iterator[ConfigError]:
        """Yield the mistakes; `at` is the operation's path in waybill.yaml."""
        for path, text in ((f"{at}.path", self.path), *_texts(self.body, f"{at}.body")):
            pieces = {found[0] for found in _PIECE.finditer(text)}
            if pieces & ({"{", "}"} if text is not self.path else {"{", "}", "{{", "}}"}):
                fix = "write a parameter as {name}, in lower-case letters and underscores"
                yield ConfigError(path, "has a brace that is not part of a parameter", fix)
            for name in RESERVED_PARAMETERS.intersection(_names(text)):
                yield ConfigError(path, f"{{{name}}} is reserved", "give the parameter another name")

    def check_values(self, names: Mapping[str, object]) -> str:
        """Return why values do not fit the parameters; empty if they do."""
        known = (*self.path_parameters, *self.body_parameters)
        missing = [name for name in known if name not in names]
        unknown = [str(name)[:64] for name in names if name not in known]
        listed = ", ".join(known) or "none"
        if missing:
            return f"the value of {missing[0]} is missing; the parameters are {listed}"
        return f"there is no parameter {unknown[0]}; the parameters are {listed}" if unknown else ""

    def build_body(self, values: Mapping[str, JsonValue]) -> JsonValue:
        """Return the body with the values of all parameters.

        Raises:
            PermanentError: `invalid_argument`: a list or an object would be inserted into a text.
        """
        return _fill(self.body, values)


def _fill(template: JsonValue, values: Mapping[str, JsonValue]) -> JsonValue:
    if isinstance(template, dict):
        members = cast("dict[str, Any]", template)
        return {name: _fill(member, values) for name, member in members.items()}
    if isinstance(template, list):
        return [_fill(item, values) for item in cast("list[Any]", template)]
    if not isinstance(template, str):
        return template
    pieces = list(_PIECE.finditer(template))
    if len(pieces) == 1 and pieces[0][1]:
        return values[pieces[0][1]]
    return "".join(format_argument(piece[1], values[piece[1]]) if piece[1] else _literal(piece[0]) for piece in pieces)


def format_argument(name: str, value: JsonValue) -> str:
    """Return a value as text: numbers and booleans as in JSON, null as an empty text.

    Raises:
        PermanentError: `invalid_argument`: the value is a list or an object.
    """
    if isinstance(value, dict | list):
        raise PermanentError("invalid_argument", f"{name} is a list or an object, and cannot be part of a text")
    if value is None or isinstance(value, str):
        return value or ""
    return msgspec.json.encode(value).decode()


def _literal(piece: str) -> str:
    return piece[0] if piece in {"{{", "}}"} else piece


def _names(text: str) -> list[str]:
    return [found[1] for found in _PIECE.finditer(text) if found[1]]


def _texts(value: JsonValue, at: str) -> Iterator[tuple[str, str]]:
    """Yield each text of a body after its path."""
    yield from ((path, leaf) for path, leaf in leaves(value, at) if isinstance(leaf, str))
