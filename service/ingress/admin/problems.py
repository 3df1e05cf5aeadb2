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

from service.errors import (
    ConfigError,
    Deferred,
    PermanentError,
    Rejection,
    StoreUnavailable,
    TransientError,
    WaybillError,
)
from service.ingress.http.problems import MEDIA_TYPE
from service.ingress.http.responses import SECURITY_HEADERS

_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_MISSING = re.compile(r"Missing required query parameter '(\w+)'")
_NAMES = {"event_state": "state"}
"""What a query calls a parameter whose name a route cannot take."""

_NAMED = re.compile(r"Object (contains unknown|missing required) field `([^`]*)`")
_CODES = {
    400: "malformed_payload",
    404: "not_found",
    405: "method_not_allowed",
    413: "payload_too_large",
    415: "unsupported_media_type",
}


class FieldError(Struct, frozen=True, omit_defaults=True):
    """One mistake in what was sent, and how to mend it."""

    pointer: str
    detail: str
    fix: str = ""


class ValidationProblem(Rejection):
    """422: what was sent is understood and wrong."""

    def __init__(self, faults: Sequence[FieldError], detail: str = "What was sent has mistakes.") -> None:
        super().__init__(422, "invalid", detail)
        self.faults = tuple(faults)


def not_found(what: str) -> Rejection:
    """404 for a thing that is not there."""
    return Rejection(404, "not_found", f"There is no {what}.")


def id_mismatch(due: str) -> ValidationProblem:
    """422 for a body whose id is not that of the path."""
    return ValidationProblem(
        [FieldError("/id", f"is not the id of the path, {due[:64]}", "an id stays; create another one instead")]
    )


def invalid(error: ConfigError, begins: str = "", at: str = "") -> ValidationProblem:
    """Turn a mistake into a refusal: its path without `begins` becomes a pointer below `at`."""
    return ValidationProblem([FieldError(at + pointer_of(error.path.removeprefix(begins)), error.reason, error.fix)])


def pointer_of(path: str) -> str:
    """Write a path such as `when.all[1].field` as a JSON pointer: `/when/all/1/field`."""
    steps = [found[1] or found[2] for found in _STEP.finditer(path)]
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)


def handle_rejection(_request: Request[Any, Any, Any], error: Rejection) -> Response[bytes]:
    """Answer what a controller refuses."""
    faults = error.faults if isinstance(error, ValidationProblem) else ()
    return respond(error.status, error.code, error.detail, faults, error.headers)


def handle_config_error(_request: Request[Any, Any, Any], error: ConfigError) -> Response[bytes]:
    """Answer a mistake that no controller placed more exactly."""
    return respond(422, "invalid", error.reason, [FieldError(pointer_of(error.path), error.reason, error.fix)])


def handle_admin_http_error(_request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Answer what Litestar itself refuses: no JSON, another shape, a query that is no number."""
    if isinstance(error, ValidationException):
        extra = cast("list[dict[str, Any]]", error.extra if isinstance(error.extra, list) else [])
        faults = [_fault(found) for found in extra]
        faults += [FieldError(f"?{name}", "is missing") for name in _MISSING.findall(error.detail)]
        return respond(422, "invalid", "What was sent is not of the shape that is due.", faults)
    code = _CODES.get(error.status_code, "rejected")
    return respond(error.status_code, code, error.detail, (), error.headers)


def handle_malformed(_request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer a body that cannot be read at all: not UTF-8, or nested without end."""
    reason = "is nested too deeply" if isinstance(error, RecursionError) else "is not UTF-8"
    return respond(400, "malformed_payload", f"The JSON {reason}.")


def handle_store_error(_request: Request[Any, Any, Any], error: WaybillError) -> Response[bytes]:
    """Answer what the store or a platform does not do for us now: nobody's mistake, so a 5xx."""
    if isinstance(error, StoreUnavailable):
        return respond(503, error.kind, "The store does not answer.", (), _retry_after(error.retry_after_seconds))
    if isinstance(error, TransientError | PermanentError | Deferred):
        return respond(502, error.kind, str(error))
    return respond(503, error.kind, "The store cannot be used now.", (), _retry_after(5))


def respond(
    status: int, code: str, detail: str, faults: Sequence[FieldError] = (), headers: Mapping[str, str] | None = None
) -> Response[bytes]:
    """Make the answer."""
    problem: dict[str, Any] = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    problem |= {"detail": detail, "code": code}
    if faults:
        problem["errors"] = faults
    named = {**SECURITY_HEADERS, **(headers or {})}
    return Response(msgspec.json.encode(problem), status_code=status, media_type=MEDIA_TYPE, headers=named)


def _fault(found: Mapping[str, Any]) -> FieldError:
    key, message = str(found.get("key", "")), str(found.get("message", ""))
    if found.get("source") != "body":
        return FieldError(f"?{_NAMES.get(key, key)}", message)
    if message == "'data'":  # Litestar's word for a body that is not there
        return FieldError("", "the body is missing", "send JSON")
    pointer, named = pointer_of("" if key == "data" else key), _NAMED.fullmatch(message)
    if named is None:
        return FieldError(pointer, message)
    pointer += "/" + named[2].replace("~", "~0").replace("/", "~1")  # to the key itself, not to what it stands in
    if named[1] == "missing required":
        return FieldError(pointer, "is missing", "add it")
    return FieldError(pointer, "unknown key", "remove it, or correct it by the description at /docs")


def _retry_after(seconds: int) -> dict[str, str]:
    return {"retry-after": str(seconds)}
