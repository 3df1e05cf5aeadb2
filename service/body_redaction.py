"""Redaction inside bodies, URLs and headers: JSON, forms, XML and lines of headers, also without their end. Pure.

Values are redacted by name and keep their place, so that the rest of a body stays readable. The name can be a value of
its own: see `service.named_value_redaction`.
"""

import re
from collections.abc import Collection, Mapping
from urllib.parse import quote, unquote_plus

import msgspec

from service.named_value_redaction import STRING, redact_named_values, redact_parts
from service.redaction import CONTAINER_NAMES, REDACTED, NameCheck

SECRET_CHARACTERS_MIN = 4
"""A shorter secret is part of too many words to be removed from text."""
BYTE_ORDER_MARK = "\ufeff"
NESTED_JSON_MAX = 3
"""Levels of JSON within text of JSON that are redacted."""

_COLON = re.compile(r"\s*:\s*")
_STRING_OR_BRACKET = re.compile(STRING.pattern + r"|[{}\[\]]", re.DOTALL)
_SCALAR = re.compile(r"[^,}\]\s]*")
_SHOWN_SCALARS = frozenset({"", "null", "true", "false"})
_PAIR = re.compile(
    r"""(?<![\w.:%\[\]-])(?P<name>[\w.:%\[\]-]{1,256})(?P<sign>[ \t]{0,3}=[ \t]{0,3})"""
    r"""(?P<value>"[^"]*"?|'[^']*'?|[^&;<>\s]*)"""
)
_LINE = re.compile(r"^(?P<name>[\w-]{1,256})(?P<sign>:[ \t]*)(?P<value>[^\r\n]+)", re.MULTILINE)
_QUOTED = re.compile(r"""(?P<name>'[\w.-]{1,256}')(?P<sign>\s{0,3}:\s{0,3})(?P<value>'[^'"\\]*(?:'|\Z))""")
"""A member of a Python dict. The value has no character that would end a string of JSON around it."""
_ELEMENT = re.compile(r"<(?P<whole>(?:[\w.-]{1,256}:)?(?P<name>[\w.-]{1,256}))(?:\s[^<>]*)?(?<!/)>")


def redact_text(text: str, is_redacted: NameCheck, depth: int = 0) -> str:
    """Return a body without the values of redacted names.

    Args:
        text: JSON, a form, XML or other text.
        is_redacted: The names.
        depth: The levels of JSON that contain the text.
    """
    if not is_redacted.may_occur(text):
        return text
    text = _QUOTED.sub(lambda found: _redact_pair(found, is_redacted), text)
    if text.lstrip().lstrip(BYTE_ORDER_MARK).lstrip()[:1] in {"{", "[", '"'}:
        return _redact_json(redact_named_values(text, is_redacted), is_redacted, depth)
    text = redact_parts(text, is_redacted, lambda part: redact_text(part, is_redacted, depth))
    redacted = _redact_elements(redact_pairs(text, is_redacted), is_redacted)
    return _LINE.sub(lambda found: _redact_pair(found, is_redacted), redacted)


def redact_pairs(text: str, is_redacted: NameCheck) -> str:
    """Return text without the values of `name=value` pairs: a form, the query of a URL, attributes of XML."""
    if not is_redacted.may_occur(text):
        return text
    return _PAIR.sub(lambda found: _redact_pair(found, is_redacted), text)


def redact_headers(headers: Mapping[str, str], is_redacted: NameCheck) -> dict[str, str]:
    """Return headers without the values of redacted names."""
    return {name: REDACTED if is_redacted[name] else value for name, value in headers.items()}


def remove_secrets(text: str, secrets: Collection[str]) -> str:
    """Return text without these secrets, also if they are percent-encoded or escaped as in JSON."""
    if not secrets:
        return text
    for secret in sorted(_variants(secrets), key=len, reverse=True):
        text = text.replace(secret, REDACTED)
    return text


def _variants(secrets: Collection[str]) -> set[str]:
    parts = {part for secret in secrets for part in (secret, *secret.split()) if len(part) >= SECRET_CHARACTERS_MIN}
    escaped = {msgspec.json.encode(part).decode()[1:-1] for part in parts}
    return parts | escaped | {quote(part, safe="") for part in parts}


def _redact_pair(found: re.Match[str], is_redacted: NameCheck) -> str:
    if not is_redacted[unquote_plus(found["name"].strip("'"))] or not found["value"].strip("\"'"):
        return found[0]
    mark = found["value"][0] if found["value"][0] in "\"'" else ""
    return f"{found['name']}{found['sign']}{mark}{REDACTED}{mark}"


def _redact_elements(text: str, is_redacted: NameCheck) -> str:
    """Redact the whole content of elements of XML: text, CDATA and inner elements."""
    parts: list[str] = []
    at = 0
    while found := _ELEMENT.search(text, at):
        parts.append(text[at : found.end()])
        at = found.end()
        if is_redacted[found["name"]]:
            is_body = found["name"].lower() in CONTAINER_NAMES  # that of HTML or SOAP: its elements are read
            end = text.find("<" if is_body else f"</{found['whole']}", at)
            end = len(text) if end < 0 else end
            parts.append(REDACTED if text[at:end].strip() else text[at:end])
            at = end
    parts.append(text[at:])
    return "".join(parts)


def _redact_json(text: str, is_redacted: NameCheck, depth: int) -> str:
    parts: list[str] = []
    at = 0
    while found := STRING.search(text, at):
        parts.append(text[at : found.start()])
        colon = _COLON.match(text, found.end())
        if colon is None:
            parts.append(_redact_string(found, is_redacted, depth))
            at = found.end()
            continue
        parts.append(text[found.start() : colon.end()])
        at = colon.end()
        name = _unescape(found)
        is_container = text[at : at + 1] in {"{", "["}
        if is_redacted[name] or (name in is_redacted.text_names and not is_container):
            end = _end_of_value(text, at)
            is_shown = text[at:end] in _SHOWN_SCALARS or text[at:end] == '""'
            parts.append(text[at:end] if is_shown else f'"{REDACTED}"')
            at = end
    parts.append(text[at:])
    return "".join(parts)


def _end_of_value(text: str, at: int) -> int:
    """Return the end of the JSON value that begins at `at`, or of the text if the value is incomplete."""
    if text[at : at + 1] == '"':
        found = STRING.match(text, at)
        return found.end() if found else len(text)
    if text[at : at + 1] not in {"{", "["}:
        scalar = _SCALAR.match(text, at)
        return scalar.end() if scalar else len(text)
    level = 0
    for found in _STRING_OR_BRACKET.finditer(text, at):
        level += {"{": 1, "[": 1, "}": -1, "]": -1}.get(found[0], 0)
        if level == 0:
            return found.end()
    return len(text)


def _redact_string(found: re.Match[str], is_redacted: NameCheck, depth: int) -> str:
    """Redact JSON that is the value of a string of JSON."""
    if depth >= NESTED_JSON_MAX or not found[1].startswith(("{", "[")) or found[2] != '"':
        return found[0]
    return msgspec.json.encode(redact_text(_unescape(found), is_redacted, depth + 1)).decode()


def _unescape(found: re.Match[str]) -> str:
    if "\\" not in found[1]:
        return found[1]
    try:
        return msgspec.json.decode(f'"{found[1]}"'.encode(), type=str)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return found[1]
