"""Refusals as problem+json (RFC 9457): `type`, `title`, `status`, `detail` and our stable `code`.

The type is `about:blank`: what a sender needs beyond the HTTP status is the code, and that is stable by itself.
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

INTERNAL = Rejection(500, "internal", "Waybill failed on this; the delivery was not taken in. Send it again later.")

_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed"}


def problem_bytes(status: int, code: str, detail: str) -> bytes:
    """Encode one problem."""
    title = reason_phrase(status)
    return msgspec.json.encode(
        {"type": "about:blank", "title": title, "status": status, "detail": detail, "code": code}
    )


def problem_schema(code: Mapping[str, Any], **more: Mapping[str, Any]) -> dict[str, Any]:
    """Give the JSON Schema of a problem whose `code` is such, and which may have `more` members."""
    text = {"type": "string"}
    members = {"type": {"const": "about:blank"}, "title": text, "status": {"type": "integer"}, "detail": text}
    properties = {**members, "code": {**text, **code}}
    return {"type": "object", "required": list(properties), "properties": {**properties, **more}}


def problem(refusal: Rejection, headers: Mapping[str, str] | None = None) -> AsgiResponse:
    """Make the answer of a refusal, with its own headers and `headers`."""
    body = problem_bytes(refusal.status, refusal.code, refusal.detail)
    return make_response(refusal.status, MEDIA_TYPE, body, {**refusal.headers, **(headers or {})})


def store_unavailable(error: WaybillError, retry_after_seconds: int) -> Rejection:
    """Turn what keeps the store from accepting into a 503: our fault, so the sender keeps its event and comes again."""
    code = error.kind if isinstance(error, StoreUnavailable) else StoreUnavailable.kind
    seconds = error.retry_after_seconds if isinstance(error, StoreUnavailable) else retry_after_seconds
    return retry_later(code, "The event cannot be kept safely right now.", seconds)


def retry_later(code: str, detail: str, retry_after_seconds: int) -> Rejection:
    """Make a 503 that says when to come again."""
    return Rejection(503, code, f"{detail} Send it again later.", {"retry-after": str(retry_after_seconds)})


def handle_http_error(_request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Answer what Litestar itself refuses: unknown paths, wrong methods, a malformed Host."""
    code = _CODES.get(error.status_code, "rejected")
    return _respond(error.status_code, code, error.detail, error.headers or {})


def handle_unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer whatever nobody caught, and log it once with its traceback."""
    get_logger().error("request.crashed", exc_info=error, method=request.method)
    return _respond(INTERNAL.status, INTERNAL.code, INTERNAL.detail, {})


def _respond(status: int, code: str, detail: str, headers: Mapping[str, str]) -> Response[bytes]:
    body = problem_bytes(status, code, detail)
    return Response(body, status_code=status, media_type=MEDIA_TYPE, headers={**SECURITY_HEADERS, **headers})
