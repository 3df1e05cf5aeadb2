"""Repair of JSON that some senders produce and RFC 8259 does not allow, after the raw bytes were verified.

A byte order mark is removed, as are NUL bytes at the end. Half of a surrogate pair becomes U+FFFD, a control character
inside a text its escape, and NaN and Infinity null. Everything else is left, so other mistakes are rejected.
"""

import re

BOM = b"\xef\xbb\xbf"
_SURROGATES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.", re.DOTALL
)
"""Two halves of a character, one half alone, any other escape."""
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|\bNaN\b|-?\bInfinity\b', re.DOTALL)
"""Texts, also one that does not end, so that the search takes linear time."""
_CONTROLS = re.compile(rb"[\x00-\x1f]")


def repair_surrogates(body: bytes) -> bytes:
    """Return a body without byte order mark and without half surrogate pairs; the same object if it has neither."""
    return _SURROGATES.sub(_whole_character, body.removeprefix(BOM))


def repair_json(body: bytes) -> bytes:
    """Return a body with all repairs of this module."""
    return _TOKENS.sub(_repair_token, body.removeprefix(BOM).rstrip(b"\0"))


def _repair_token(found: re.Match[bytes]) -> bytes:
    token = found[0]
    if token[:1] != b'"':
        return b"null"
    return _SURROGATES.sub(_whole_character, _CONTROLS.sub(_escape, token))


def _whole_character(found: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if found[1] else found[0]


def _escape(found: re.Match[bytes]) -> bytes:
    return rb"\u%04x" % found[0][0]
