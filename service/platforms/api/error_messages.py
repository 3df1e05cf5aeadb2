"""Error messages of a platform or a target, shortened for a log line, without secrets and e-mail addresses. Pure.

Supported shapes of JSON: `errors` (JSON:API, Pexip Engage), `message` (Laravel), `error`, `detail` and `title`
(RFC 9457), each as text, an object or a list. Validation errors follow: those of Open Food Network
(`meta.validation_errors`) and of Laravel (`errors` by field). Other bodies are text, or HTML without its tags.
Open Food Network repeats the key in its 401, so every value of a sent header is removed from the text.
"""

import html
import re
from collections.abc import Iterable
from typing import Any, TypeVar, cast

import msgspec
from msgspec import Struct

from service.body_redaction import redact_pairs
from service.redaction import IS_SECRET

T = TypeVar("T")

CHARACTERS_MAX = 200
SECRET_CHARACTERS_MIN = 4

MESSAGE_FIELDS = ("detail", "message", "msg", "title", "error")
"""Fields of an object that describe an error, best first."""
TEXT_BYTES_MAX = 4_096
"""Bytes of text or HTML in which a message is searched."""
MESSAGE_DEPTH_MAX = 4

_CONTROL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*)|[\x00-\x1f\x7f-\x9f]")
_TITLE = re.compile(r"<title[^<>]*>([^<]+)</title", re.IGNORECASE)
_UNSEEN = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^<>]*>?")
_EMAIL = re.compile(r"[^\s@<>\"']{1,64}@[^\s@<>\"']{1,255}")


class _Problem(Struct):
    source: Any = None


class _ErrorBody(Struct):
    errors: Any = None
    message: Any = None
    error: Any = None
    detail: Any = None
    title: Any = None
    meta: Any = None


class _Source(Struct):
    parameter: str | None = None


class _Meta(Struct):
    validation_errors: list[str] = []


_decoder = msgspec.json.Decoder(_ErrorBody)


def error_message(body: bytes, secrets: Iterable[str]) -> str:
    """Return the sender's own error message with its validation errors, empty if there is no readable one."""
    text = _json_message(body) if body.lstrip()[:1] in {b"{", b"[", b'"'} else _text_message(body)
    plain = " ".join(_CONTROL.sub(" ", text[:TEXT_BYTES_MAX]).split())
    return scrub_secrets(redact_pairs(plain, IS_SECRET), secrets)[:CHARACTERS_MAX]


def _json_message(body: bytes) -> str:
    answer = _decode(body)
    fields: tuple[Any, ...] = (answer.errors, answer.message, answer.error, answer.detail, answer.title)
    text = next((found for field in fields if (found := _message_of(field))), "")
    details = "; ".join(_validation_errors(answer))
    return f"{text} {details}" if text and details else text or details


def _message_of(value: Any, depth: int = 0) -> str:  # noqa: ANN401 - decoded JSON
    """Return the message in text, in an object with one of the `MESSAGE_FIELDS`, or in the first item of a list."""
    if isinstance(value, str):
        return value
    parts: list[Any] = []
    if isinstance(value, list):
        parts = cast("list[Any]", value)[:1]
    elif isinstance(value, dict):
        parts = [cast("dict[str, Any]", value).get(name) for name in MESSAGE_FIELDS]
    if depth == MESSAGE_DEPTH_MAX:
        return ""
    return next((found for part in parts if (found := _message_of(part, depth + 1))), "")


def _text_message(body: bytes) -> str:
    text = body[:TEXT_BYTES_MAX].decode(errors="replace")
    if "\0" in text:  # binary
        return ""
    title = _TITLE.search(text)
    return html.unescape(title[1] if title else _TAG.sub(" ", _UNSEEN.sub(" ", text)))


def names_parameter(body: bytes) -> bool:
    """Return whether an error of JSON:API names the query parameter that caused it: the caller made the error."""
    return _convert(_first(_decode(body).errors).source, _Source, _Source()).parameter is not None


def _validation_errors(answer: _ErrorBody) -> list[str]:
    """List the texts of `meta.validation_errors` (Open Food Network), or of `errors` by field (Laravel)."""
    by_field = _convert(answer.errors, dict[str, list[str]], {})
    return _convert(answer.meta, _Meta, _Meta()).validation_errors or [
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


def _decode(body: bytes) -> _ErrorBody:
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _ErrorBody()


def _first(errors: object) -> _Problem:
    return next(iter(_convert(errors, list[_Problem], [])), _Problem())
