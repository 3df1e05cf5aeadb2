"""What the admin API refuses, as problem+json: a stable `code`, and `errors` that point into what was sent.

`{"title": …, "status": 422, "code": "invalid", "detail": …, "errors": [{"pointer": "/when/all/1/field", "detail": "no
field 'statsu'", "fix": "did you mean status?"}]}`; pointers are RFC 6901, "" for the whole.
"""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, cast

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from msgspec import Struct

from service.errors import ConfigError, Held, PermanentError, Refusal, StoreUnavailable, TransientError, WaybillError
from service.ingress.answers import SECURITY_HEADERS
from service.ingress.problems import MEDIA_TYPE

_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_MISSING = re.compile(r"Missing required query parameter '(\w+)'")
_NAMES = {"wanted_state": "state"}
"""What a query calls a parameter whose name a route cannot take."""

_NAMED = re.compile(r"Object (contains unknown|missing required) field `([^`]*)`")
_CODES = {
    400: "malformed_payload",
    404: "not_found",
    405: "method_not_allowed",
    413: "payload_too_large",
    415: "unsupported_media_type",
}


class Fault(Struct, frozen=True, omit_defaults=True):
    """One mistake in what was sent, and how to mend it."""

    pointer: str
    detail: str
    fix: str = ""


class Invalid(Refusal):
    """422: what was sent is understood and wrong."""

    def __init__(self, faults: Sequence[Fault], detail: str = "What was sent has mistakes.") -> None:
        super().__init__(422, "invalid", detail)
        self.faults = tuple(faults)


def not_found(what: str) -> Refusal:
    """404 for a thing that is not there."""
    return Refusal(404, "not_found", f"There is no {what}.")


def wrong_id(due: str) -> Invalid:
    """422 for a body whose id is not that of the path."""
    return Invalid([Fault("/id", f"is not the id of the path, {due[:64]}", "an id stays; create another one instead")])


def invalid(error: ConfigError, begins: str = "", at: str = "") -> Invalid:
    """Turn a mistake into a refusal: its path without `begins` becomes a pointer below `at`."""
    return Invalid([Fault(at + pointer_of(error.path.removeprefix(begins)), error.reason, error.fix)])


def pointer_of(path: str) -> str:
    """Write a path such as `when.all[1].field` as a JSON pointer: `/when/all/1/field`."""
    steps = [found[1] or found[2] for found in _STEP.finditer(path)]
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)


def answer_refusal(_request: Request[Any, Any, Any], error: Refusal) -> Response[bytes]:
    """Answer what a controller refuses."""
    faults = error.faults if isinstance(error, Invalid) else ()
    return respond(error.status, error.code, error.detail, faults, error.headers)


def answer_mistake(_request: Request[Any, Any, Any], error: ConfigError) -> Response[bytes]:
    """Answer a mistake that no controller placed more exactly."""
    return respond(422, "invalid", error.reason, [Fault(pointer_of(error.path), error.reason, error.fix)])


def answer_http_error(_request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Answer what Litestar itself refuses: no JSON, another shape, a query that is no number."""
    if isinstance(error, ValidationException):
        extra = cast("list[dict[str, Any]]", error.extra if isinstance(error.extra, list) else [])
        faults = [_fault(found) for found in extra]
        faults += [Fault(f"?{name}", "is missing") for name in _MISSING.findall(error.detail)]
        return respond(422, "invalid", "What was sent is not of the shape that is due.", faults)
    code = _CODES.get(error.status_code, "rejected")
    return respond(error.status_code, code, error.detail, (), error.headers)


def answer_unreadable(_request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer a body that cannot be read at all: not UTF-8, or nested without end."""
    reason = "is nested too deeply" if isinstance(error, RecursionError) else "is not UTF-8"
    return respond(400, "malformed_payload", f"The JSON {reason}.")


def answer_trouble(_request: Request[Any, Any, Any], error: WaybillError) -> Response[bytes]:
    """Answer what the store or a platform does not do for us now: nobody's mistake, so a 5xx."""
    if isinstance(error, StoreUnavailable):
        return respond(503, error.kind, "The store does not answer.", (), _retry_after(error.retry_after_seconds))
    if isinstance(error, TransientError | PermanentError | Held):
        return respond(502, error.kind, str(error))
    return respond(503, error.kind, "The store cannot be used now.", (), _retry_after(5))


def respond(
    status: int, code: str, detail: str, faults: Sequence[Fault] = (), headers: Mapping[str, str] | None = None
) -> Response[bytes]:
    """Make the answer."""
    told: dict[str, Any] = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    told |= {"detail": detail, "code": code}
    if faults:
        told["errors"] = faults
    named = {**SECURITY_HEADERS, **(headers or {})}
    return Response(msgspec.json.encode(told), status_code=status, media_type=MEDIA_TYPE, headers=named)


def _fault(found: Mapping[str, Any]) -> Fault:
    key, message = str(found.get("key", "")), str(found.get("message", ""))
    if found.get("source") != "body":
        return Fault(f"?{_NAMES.get(key, key)}", message)
    if message == "'data'":  # Litestar's word for a body that is not there
        return Fault("", "the body is missing", "send JSON")
    pointer, named = pointer_of("" if key == "data" else key), _NAMED.fullmatch(message)
    if named is None:
        return Fault(pointer, message)
    pointer += "/" + named[2].replace("~", "~0").replace("/", "~1")  # to the key itself, not to what it stands in
    if named[1] == "missing required":
        return Fault(pointer, "is missing", "add it")
    return Fault(pointer, "unknown key", "remove it, or correct it by the description at /docs")


def _retry_after(seconds: int) -> dict[str, str]:
    return {"retry-after": str(seconds)}
