"""Structured fields (RFC 8941), as far as HTTP message signatures need them: dictionaries of inner lists and bytes.

The parsed values keep their text. A signature covers the text of its parameters, so nothing is serialized again.
"""

import binascii
import re

FIELD_CHARACTERS_MAX = 8_192
MEMBERS_MAX = 8
COMPONENTS_MAX = 32

Parameters = dict[str, str]

_STRING = r'"(?:[ !#-\[\]-~]|\\["\\])*"'
_VALUE = rf"(?:{_STRING}|-?[0-9]{{1,15}}|:[A-Za-z0-9+/=]*:|\?[01]|[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*)"
_KEY = r"[a-z*][a-z0-9_.*-]*"
_PARAMETERS = rf"(?:; *{_KEY}(?:={_VALUE})?)*"
_ITEM = rf"(?:{_STRING}){_PARAMETERS}"
_INNER_LIST = rf"\( *(?:{_ITEM}(?: +{_ITEM})*)? *\)"
_MEMBER = re.compile(rf"({_KEY})=({_INNER_LIST}{_PARAMETERS}|{_VALUE}{_PARAMETERS})(?:[ \t]*,[ \t]*|\Z)")
_COMPONENT = re.compile(rf"({_STRING})({_PARAMETERS})")
_PARAMETER = re.compile(rf"; *({_KEY})(?:=({_VALUE}))?")
_LIST = re.compile(rf"({_INNER_LIST})({_PARAMETERS})")


def parse_dictionary(text: str) -> dict[str, str]:
    """Return the members of a dictionary as text.

    Raises:
        ValueError: The text is not a dictionary, is too long, or has a key twice. Parsers would select different ones.
    """
    members: dict[str, str] = {}
    text, at = text.strip(" \t"), 0
    while at < len(text):
        match = _MEMBER.match(text, at) if len(text) <= FIELD_CHARACTERS_MAX else None
        if match is None or match[1] in members or len(members) == MEMBERS_MAX:
            raise ValueError("not a dictionary")
        members[match[1]], at = match[2], match.end()
    return members


def parse_inner_list(text: str) -> tuple[list[tuple[str, Parameters]], Parameters]:
    """Return the strings of an inner list, each with its parameters, and the parameters of the list.

    Raises:
        ValueError: The text is not an inner list of at most 32 strings, or has a parameter twice.
    """
    match = _LIST.fullmatch(text)
    items = [] if match is None else _COMPONENT.findall(match[1])
    if match is None or len(items) > COMPONENTS_MAX:
        raise ValueError("not an inner list")
    return [(unquote(name), _parse_parameters(parameters)) for name, parameters in items], _parse_parameters(match[2])


def parse_bytes(text: str) -> bytes:
    """Return a byte sequence in canonical base64.

    Raises:
        ValueError: The text is not a byte sequence.
    """
    value = binascii.a2b_base64(text[1:-1], strict_mode=True)
    if text != f":{binascii.b2a_base64(value, newline=False).decode()}:":
        raise ValueError("not a byte sequence")
    return value


def unquote(text: str) -> str:
    """Return the content of a string; other values unchanged."""
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text[:1] == '"' else text


def _parse_parameters(text: str) -> Parameters:
    pairs = _PARAMETER.findall(text)
    parameters = dict(pairs)
    if len(parameters) != len(pairs):
        raise ValueError("a parameter occurs twice")
    return parameters
