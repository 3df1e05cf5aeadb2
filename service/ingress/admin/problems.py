"""Errors of the admin API as problem+json: a stable `code`, and `errors` that point into the request.

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
from service.management.platform_operations import INVALID_CALL_CODES

_PATH_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_MISSING = re.compile(r"Missing required query parameter '(\w+)'")
_NAMES = {"event_state": "state"}
"""Query parameters by the name of the parameter in the code, where the names differ."""

_NAMED = re.compile(r"Object (contains unknown|missing required) field `([^`]*)`")
_CODES = {
    400: "malformed_payload",
    404: "not_found",
    405: "method_not_allowed",
    413: "payload_too_large",
    415: "unsupported_media_type",
}


class FieldError(Struct, frozen=True, omit_defaults=True):
    """Error in a request: a JSON pointer, the error, and the fix."""

    pointer: str
    detail: str
    fix: str = ""


class ValidationProblem(Rejection):
    """422 `invalid`: The request has errors in its fields."""

    def __init__(self, faults: Sequence[FieldError], detail: str = "The request is not valid.") -> None:
        super().__init__(422, "invalid", detail)
        self.faults = tuple(faults)


def not_found(item: str) -> Rejection:
    """Return a 404 `not_found`; `item` starts with a noun."""
    return Rejection(404, "not_found", f"{item[:1].upper()}{item[1:]} not found.")


def id_mismatch(expected: str) -> ValidationProblem:
    """Return a 422 for a body whose id differs from the id in the path."""
    fix = f"send the id {expected[:64]}; an id cannot change"
    return ValidationProblem([FieldError("/id", "differs from the id in the path", fix)])


def invalid(error: ConfigError, prefix: str = "", at: str = "") -> ValidationProblem:
    """Return a 422 for all mistakes of an error. Their paths without `prefix` become pointers below `at`."""
    return ValidationProblem(
        [FieldError(at + pointer_of(each.path.removeprefix(prefix)), each.reason, each.fix) for each in error.mistakes]
    )


def body_problem(error: msgspec.ValidationError) -> ValidationProblem:
    """Return a 422 for a body that does not match its type."""
    message, _, path = str(error).partition(" - at `$")
    fault = _fault({"source": "body", "key": path.removeprefix(".").removesuffix("`"), "message": message})
    return ValidationProblem([fault], "The request does not match the schema.")


def pointer_of(path: str) -> str:
    """Return the JSON pointer of a path: `/when/all/1/field` for `when.all[1].field`."""
    steps = [found[1] or found[2] for found in _PATH_STEP.finditer(path)]
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)


def handle_rejection(_request: Request[Any, Any, Any], error: Rejection) -> Response[bytes]:
    """Return the response of a rejection."""
    faults = error.faults if isinstance(error, ValidationProblem) else ()
    return respond(error.status, error.code, error.detail, faults, error.headers)


def handle_config_error(_request: Request[Any, Any, Any], error: ConfigError) -> Response[bytes]:
    """Return the response of a ConfigError that no controller handled."""
    faults = [FieldError(pointer_of(each.path), each.reason, each.fix) for each in error.mistakes]
    return respond(422, "invalid", error.reason, faults)


def handle_admin_http_error(_request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Return the response of an error of Litestar, such as a body or a query that is not valid."""
    if isinstance(error, ValidationException):
        extra = cast("list[dict[str, Any]]", error.extra if isinstance(error.extra, list) else [])
        faults = [_fault(found) for found in extra]
        faults += [FieldError(f"?{name}", "is missing") for name in _MISSING.findall(error.detail)]
        return respond(422, "invalid", "The request does not match the schema.", faults)
    code = _CODES.get(error.status_code, "rejected")
    return respond(error.status_code, code, error.detail, (), error.headers)


def handle_malformed(_request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Return the response of a body that is not UTF-8 or nested too deeply."""
    reason = "is nested too deeply" if isinstance(error, RecursionError) else "is not UTF-8"
    return respond(400, "malformed_payload", f"The JSON {reason}.")


def handle_store_error(_request: Request[Any, Any, Any], error: WaybillError) -> Response[bytes]:
    """Return the 5xx response of an error of the store or of a platform."""
    if isinstance(error, StoreUnavailable):
        return respond(503, error.kind, "The store does not answer.", (), _retry_after(error.retry_after_seconds))
    if isinstance(error, PermanentError) and error.kind in INVALID_CALL_CODES:
        return respond(422, "invalid", str(error))
    if isinstance(error, TransientError | PermanentError | Deferred):
        return respond(502, error.kind, str(error))
    return respond(503, error.kind, "The store cannot be used now.", (), _retry_after(5))


def respond(
    status: int, code: str, detail: str, faults: Sequence[FieldError] = (), headers: Mapping[str, str] | None = None
) -> Response[bytes]:
    """Build a problem response."""
    problem: dict[str, Any] = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    problem |= {"detail": detail, "code": code}
    if faults:
        problem["errors"] = faults
    all_headers = {**SECURITY_HEADERS, **(headers or {})}
    return Response(msgspec.json.encode(problem), status_code=status, media_type=MEDIA_TYPE, headers=all_headers)


def _fault(found: Mapping[str, Any]) -> FieldError:
    key, message = str(found.get("key", "")), str(found.get("message", ""))
    if found.get("source") != "body":
        return FieldError(f"?{_NAMES.get(key, key)}", message)
    if message == "'data'":  # Litestar's message for a missing body
        return FieldError("", "the body is missing", "send JSON")
    pointer, named = pointer_of("" if key == "data" else key), _NAMED.fullmatch(message)
    if named is None:
        return FieldError(pointer, message)
    pointer += "/" + named[2].replace("~", "~0").replace("/", "~1")  # points to the key, not to its object
    if named[1] == "missing required":
        return FieldError(pointer, "is missing", "add it")
    return FieldError(pointer, "unknown key", "remove or correct it; see /docs")


def _retry_after(seconds: int) -> dict[str, str]:
    return {"retry-after": str(seconds)}
