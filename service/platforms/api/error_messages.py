"""Error messages of a platform, shortened for a log line, without secrets and without e-mail addresses. Pure.

Supported shapes: JSON:API (`errors[0].detail`), Pexip Engage (`errors[0].message`) and Laravel (`message`). Open Food
Network repeats the key in its 401, so every value of a sent header is removed from the text.
"""

import re
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

CHARACTERS_MAX = 200
SECRET_CHARACTERS_MIN = 4

_EMAIL = re.compile(r"[^\s@<>\"']{1,64}@[^\s@<>\"']{1,255}")


class _Problem(Struct):
    detail: Any = None
    message: Any = None


class _Complaint(Struct):
    errors: Any = None
    message: Any = None
    error: Any = None


_decoder = msgspec.json.Decoder(_Complaint)


def error_message(body: bytes, secrets: Iterable[str]) -> str:
    """Return the platform's own error message, empty if there is no readable one."""
    try:
        said = _decoder.decode(body)
        text = _first(said.errors) or said.message or said.error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    return scrub_secrets(text, secrets)[:CHARACTERS_MAX] if isinstance(text, str) else ""


def scrub_secrets(text: str, secrets: Iterable[str]) -> str:
    """Return a text without secrets, each part of a header value on its own, and without e-mail addresses."""
    parts = {part for secret in secrets for part in (secret, *secret.split())}
    for part in sorted(parts, key=len, reverse=True):
        if len(part) >= SECRET_CHARACTERS_MIN:
            text = text.replace(part, "***")
    return _EMAIL.sub("***", text)


def _first(errors: object) -> object:
    try:
        problem = msgspec.convert(errors, list[_Problem])[0]
    except (msgspec.ValidationError, IndexError):
        return None
    return problem.detail or problem.message
