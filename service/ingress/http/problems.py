"""Problem responses (RFC 9457): `type`, `title`, `status`, `detail` and the stable `code`.

The type is always `about:blank`; the code identifies the problem.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from service.errors import Rejection, StoreUnavailable, WaybillError
from service.ingress.http.responses import SECURITY_HEADERS, AsgiResponse, make_response, reason_phrase
from service.log import get_logger

MEDIA_TYPE = "application/problem+json"

INTERNAL = Rejection(500, "internal", "Internal error. The delivery was not accepted. Send it again later.")

TRACE_ID = "trace_id"
"""Key of the trace id in the state of an ASGI scope, set for a delivery that crashed."""

_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed"}


def problem_bytes(status: int, code: str, detail: str) -> bytes:
    """Encode a problem as JSON."""
    title = reason_phrase(status)
    return msgspec.json.encode(
        {"type": "about:blank", "title": title, "status": status, "detail": detail, "code": code}
    )


def problem_schema(code: Mapping[str, Any], **more: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of a problem. `code` extends the schema of its code, `more` adds members."""
    text = {"type": "string"}
    members = {"type": {"const": "about:blank"}, "title": text, "status": {"type": "integer"}, "detail": text}
    properties = {**members, "code": {**text, **code}}
    return {"type": "object", "required": list(properties), "properties": {**properties, **more}}


def problem(rejection: Rejection, headers: Mapping[str, str] | None = None) -> AsgiResponse:
    """Build the response to a rejection, with its own headers and `headers`."""
    body = problem_bytes(rejection.status, rejection.code, rejection.detail)
    return make_response(rejection.status, MEDIA_TYPE, body, {**rejection.headers, **(headers or {})})


def store_unavailable(error: WaybillError, retry_after_seconds: int) -> Rejection:
    """Convert an error of the store to a 503, so that the sender retries."""
    code = error.kind if isinstance(error, StoreUnavailable) else StoreUnavailable.kind
    seconds = error.retry_after_seconds if isinstance(error, StoreUnavailable) else retry_after_seconds
    return retry_later(code, "The event cannot be stored durably at the moment.", seconds)


def retry_later(code: str, detail: str, retry_after_seconds: int) -> Rejection:
    """Build a 503 with Retry-After."""
    headers = {"retry-after": str(retry_after_seconds)}
    return Rejection(503, code, f"{detail} Retry after {retry_after_seconds} s.", headers)


def handle_http_error(_request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Respond to errors raised by Litestar: unknown path, wrong method, malformed Host."""
    return _respond(
        error.status_code, http_error_code(error), error.detail.removesuffix(".") + ".", error.headers or {}
    )


def http_error_code(error: HTTPException) -> str:
    """Return the stable code of an error raised by Litestar or a middleware."""
    return _CODES.get(error.status_code, "rejected")


def handle_unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Respond to an unhandled exception with 500, and log it with its traceback."""
    get_logger().error("request.crashed", exc_info=error, method=request.method)
    return _respond(INTERNAL.status, INTERNAL.code, INTERNAL.detail, {})


def handle_delivery_crash(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Respond to an unexpected exception during a delivery, in Waybill's code or in a middleware, and log it."""
    get_logger().error("delivery.crashed", trace_id=request.scope["state"].get(TRACE_ID), exc_info=error)
    return _respond(INTERNAL.status, INTERNAL.code, INTERNAL.detail, {})


def _respond(status: int, code: str, detail: str, headers: Mapping[str, str]) -> Response[bytes]:
    body = problem_bytes(status, code, detail)
    return Response(body, status_code=status, media_type=MEDIA_TYPE, headers={**SECURITY_HEADERS, **headers})
