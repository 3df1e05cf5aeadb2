"""Redaction of values whose name is a value itself: pairs of JSON, and the parts of a multipart form. Pure.

`{"name": "Authorization", "value": "…"}` and `Content-Disposition: form-data; name="password"` are such names. The
text may be incomplete.
"""

import re
from collections.abc import Callable, Iterable

from msgspec import Struct

from service.redaction import REDACTED, NameCheck

NAME_MEMBERS = frozenset({"name", "key", "field", "header", "parameter"})
VALUE_MEMBERS = frozenset({"value", "values"})
"""Members of a pair, in any case."""

STRING = re.compile(r'"((?:[^"\\]|\\.)*)("|\\?\Z)', re.DOTALL)
"""String of JSON, also without its end."""
_VALUE_MEMBER = re.compile(r'"values?"\s*:', re.IGNORECASE)
_STRING_OR_BRACKET = re.compile(STRING.pattern + r"|[{}\[\]]", re.DOTALL)
_COLON = re.compile(r"\s*:\s*")
_SCALAR = re.compile(r"[^,}\]\s]*")
_SHOWN = frozenset({"", "null", "true", "false", '""'})
_BOUNDARY = re.compile(r"^--[^\r\n]{1,72}(?=\r?\n[\w-]{1,100}:)", re.MULTILINE)
_END_OF_HEAD = re.compile(r"\r?\n\r?\n")
_FIELD_NAME = re.compile(r""";\s*name\*?=(?:"((?:[^"\\]|\\.)*)"?|([^\s;"]+))""", re.IGNORECASE)


class _Level(Struct):
    """Object or list of JSON. `value_from` is its start if it is the value of a pair."""

    is_redacted: bool = False
    value_from: int = -1
    values: list[tuple[int, int]] = []


def redact_named_values(text: str, is_redacted: NameCheck) -> str:
    """Return JSON without the values of pairs with a redacted name, in any order of their members."""
    if not _VALUE_MEMBER.search(text):
        return text
    parts: list[str] = []
    at = 0
    for start, end in sorted(_values_of_pairs(text, is_redacted)):
        if start >= at and text[start:end] not in _SHOWN:
            parts += (text[at:start], f'"{REDACTED}"')
            at = end
    return "".join((*parts, text[at:]))


def _values_of_pairs(text: str, is_redacted: NameCheck) -> Iterable[tuple[int, int]]:
    levels, found_values, value_from = [_Level()], list[tuple[int, int]](), -1
    at = 0
    while found := _STRING_OR_BRACKET.search(text, at):
        at = found.end()
        if found[0] in {"{", "["}:
            levels.append(_Level(value_from=found.start() if found.start() == value_from else -1))
        elif found[0] in {"}", "]"}:
            if len(levels) > 1:  # more than were opened, in damaged text
                _close(levels, at, found_values)
        elif colon := _COLON.match(text, at):
            at, member = colon.end(), found[1].lower()
            if member in NAME_MEMBERS and (name := STRING.match(text, at)):
                levels[-1].is_redacted |= is_redacted[name[1]]
                at = name.end()
            elif member in VALUE_MEMBERS:
                value_from = at
                if text[at : at + 1] not in {"{", "["}:
                    scalar = STRING.match(text, at) or _SCALAR.match(text, at)
                    at = scalar.end() if scalar else at
                    levels[-1].values.append((value_from, at))
    while levels:  # of incomplete text
        _close(levels, len(text), found_values)
    return found_values


def _close(levels: list[_Level], end: int, found_values: list[tuple[int, int]]) -> None:
    level = levels.pop()
    if level.is_redacted:
        found_values += level.values
    if not levels:
        return
    if level.value_from >= 0:
        levels[-1].values.append((level.value_from, end))


def redact_parts(text: str, is_redacted: NameCheck, redact_content: Callable[[str], str]) -> str:
    """Return a multipart form without the parts of redacted names. `redact_content` redacts inside the other parts.

    Text of another kind is returned as it is.
    """
    boundary = _BOUNDARY.search(text)
    if boundary is None:
        return text
    first, *parts = text.split(boundary[0])
    return boundary[0].join((first, *(_redact_part(part, is_redacted, redact_content) for part in parts)))


def _redact_part(part: str, is_redacted: NameCheck, redact_content: Callable[[str], str]) -> str:
    end_of_head = _END_OF_HEAD.search(part)
    if end_of_head is None:
        return part
    head, content = part[: end_of_head.end()], part[end_of_head.end() :]
    body = content.rstrip("\r\n")
    name = _FIELD_NAME.search(head)
    has_redacted_name = name is not None and is_redacted[name[1] or name[2] or ""]
    shown = REDACTED if has_redacted_name and body else redact_content(body)
    return head + shown + content[len(body) :]
