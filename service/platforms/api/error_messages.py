"""Error messages of a platform, shortened for a log line, without secrets and without e-mail addresses. Pure.

Supported shapes: JSON:API (`errors[0].detail`), Pexip Engage (`errors[0].message`) and Laravel (`message`). Validation
errors follow: those of Open Food Network (`meta.validation_errors`) and of Laravel (`errors` by field). Open Food
Network repeats the key in its 401, so every value of a sent header is removed from the text.
"""

import re
from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

T = TypeVar("T")

CHARACTERS_MAX = 200
SECRET_CHARACTERS_MIN = 4

_EMAIL = re.compile(r"[^\s@<>\"']{1,64}@[^\s@<>\"']{1,255}")


class _Problem(Struct):
    detail: Any = None
    message: Any = None
    source: Any = None


class _Complaint(Struct):
    errors: Any = None
    message: Any = None
    error: Any = None
    meta: Any = None


class _Source(Struct):
    parameter: str | None = None


class _Meta(Struct):
    validation_errors: list[str] = []


_decoder = msgspec.json.Decoder(_Complaint)


def error_message(body: bytes, secrets: Iterable[str]) -> str:
    """Return the platform's own error message with its validation errors, empty if there is no readable one."""
    complaint = _decode(body)
    problem = _first(complaint.errors)
    text = problem.detail or problem.message or complaint.message or complaint.error
    if not isinstance(text, str):
        return ""
    details = "; ".join(_validation_errors(complaint))
    return scrub_secrets(f"{text} {details}" if details else text, secrets)[:CHARACTERS_MAX]


def names_parameter(body: bytes) -> bool:
    """Return whether an error of JSON:API names the query parameter that caused it: the caller made the error."""
    return _convert(_first(_decode(body).errors).source, _Source, _Source()).parameter is not None


def _validation_errors(complaint: _Complaint) -> list[str]:
    """List the texts of `meta.validation_errors` (Open Food Network), or of `errors` by field (Laravel)."""
    by_field = _convert(complaint.errors, dict[str, list[str]], {})
    return _convert(complaint.meta, _Meta, _Meta()).validation_errors or [
        text for texts in by_field.values() for text in texts
    ]


def _convert(value: object, shape: type[T], default: T) -> T:
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError:
        return default


def scrub_secrets(text: str, secrets: Iterable[str]) -> str:
    """Return a text without secrets, each part of a header value on its own, and without e-mail addresses."""
    parts = {part for secret in secrets for part in (secret, *secret.split())}
    for part in sorted(parts, key=len, reverse=True):
        if len(part) >= SECRET_CHARACTERS_MIN:
            text = text.replace(part, "***")
    return _EMAIL.sub("***", text)


def _decode(body: bytes) -> _Complaint:
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _Complaint()


def _first(errors: object) -> _Problem:
    return next(iter(_convert(errors, list[_Problem], [])), _Problem())
