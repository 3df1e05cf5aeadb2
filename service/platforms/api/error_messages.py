"""What a platform says is wrong, fit for a log line: one short text without secrets and without e-mail addresses. Pure.

The shapes are those of JSON:API (`errors[0].detail`), of Pexip Engage (`errors[0].message`) and of Laravel (`message`).
Open Food Network repeats the key it was given in its 401, so whatever was sent in a header is cut out of the text.
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
    """Give the platform's own words on an error, or nothing where it has none we can read."""
    try:
        said = _decoder.decode(body)
        text = _first(said.errors) or said.message or said.error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    return scrub_secrets(text, secrets)[:CHARACTERS_MAX] if isinstance(text, str) else ""


def scrub_secrets(text: str, secrets: Iterable[str]) -> str:
    """Take secrets, each part of a header value on its own, and e-mail addresses out of a text."""
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
