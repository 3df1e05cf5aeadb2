"""Responses of the console: pages, redirects and error pages."""

from typing import Any
from urllib.parse import quote

from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.response import Template

from service.errors import ConfigError, Rejection, StoreUnavailable, WaybillError
from service.ingress.console.session import Session
from service.ingress.console.templates import context_of
from service.ingress.http.responses import SECURITY_HEADERS
from service.log import get_logger

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
PAGE_HEADERS: dict[str, str] = {
    **SECURITY_HEADERS,
    "content-security-policy": POLICY,
    # With no-referrer, browsers send `Origin: null` with forms.
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
}

Page = Template | Response[bytes]


def render_page(request: Request[Any, Any, Any], template: str, *, status: int = 200, **variables: object) -> Template:
    """Render a template for the session of the request."""
    session: Session | None = request.auth if "auth" in request.scope else None
    context = context_of({"session": session, "path": request.url.path, "is_partial": is_partial(request), **variables})
    return Template(f"{template}.html", context=context, status_code=status, headers=PAGE_HEADERS)


def redirect(request: Request[Any, Any, Any], path: str) -> Response[bytes]:
    """Redirect to a page of the console, also from a request of htmx."""
    if is_partial(request):
        return Response(b"", status_code=200, media_type="text/plain", headers=PAGE_HEADERS | {"hx-redirect": path})
    return Response(b"", status_code=303, media_type="text/plain", headers=PAGE_HEADERS | {"location": path})


def is_partial(request: Request[Any, Any, Any]) -> bool:
    """Return whether htmx requests a part of a page."""
    return request.headers.get("hx-request") == "true"


def safe_path(text: str) -> str:
    """Return a path of this server: the text, or / if the text leads elsewhere."""
    is_local = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable()
    return text if is_local else "/"


def handle_login_required(request: Request[Any, Any, Any], _error: Exception) -> Response[bytes]:
    """Redirect to the login, and then back to a page that was requested."""
    url = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    target = url if request.method == "GET" and not is_partial(request) else "/"
    return redirect(request, "/login" if target == "/" else f"/login?next={quote(target)}")


def handle_page_rejection(request: Request[Any, Any, Any], error: Rejection) -> Template:
    """Return the error page of a rejection."""
    return error_page(request, error.status, error.code, error.detail)


def handle_page_error(request: Request[Any, Any, Any], error: WaybillError) -> Template:
    """Return the error page of another error: of the store, of a platform, or of the configuration."""
    if isinstance(error, StoreUnavailable):
        return error_page(request, 503, error.kind, "The store does not answer. Check the store and reload the page.")
    return error_page(request, 422 if isinstance(error, ConfigError) else 502, error.kind, str(error))


def handle_page_http_error(request: Request[Any, Any, Any], error: HTTPException) -> Template:
    """Return the error page of an error of Litestar, such as a body that is too large."""
    return error_page(request, error.status_code, "rejected", error.detail)


def handle_page_crash(request: Request[Any, Any, Any], error: Exception) -> Template:
    """Return the error page of an unexpected exception, and log it with its traceback."""
    get_logger().error("request.crashed", exc_info=error, method=request.method)
    return error_page(request, 500, "internal", "Internal error. The log line request.crashed has the details.")


def error_page(request: Request[Any, Any, Any], status: int, code: str, detail: str) -> Template:
    """Render an error page, or for htmx the message alone."""
    return render_page(request, "error", status=status, code=code, detail=detail, http_status=status)
