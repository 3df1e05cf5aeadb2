"""/login and /logout: a token is exchanged for a session."""

from typing import Annotated, Any

from litestar import Controller, Request, get, post
from litestar.di import NamedDependency
from litestar.params import QueryParameter, SkipValidation

from service.errors import Rejection
from service.ingress.console.forms import Form, read_fields
from service.ingress.console.pages import Page, redirect, render_page, safe_path
from service.ingress.console.session import Sessions, is_https, session_cookie

SessionStore = NamedDependency[SkipValidation[Sessions]]
UNKNOWN = "This token is not known. Tokens are listed in admin.tokens of waybill.yaml."


class LoginPages(Controller):
    """Log in and out."""

    @get("/login", public=True)
    async def show_login(
        self, request: Request[Any, Any, Any], sessions: SessionStore, next: Annotated[str, QueryParameter()] = "/"
    ) -> Page:
        """Show the login."""
        return _login_page(request, sessions, next)

    @post("/login", public=True)
    async def log_in(self, request: Request[Any, Any, Any], sessions: SessionStore) -> Page:
        """Start a session."""
        fields = dict(await read_fields(request))
        cookie = await sessions.log_in(fields.get("token", ""), secure=is_https(request))
        target = safe_path(fields.get("next", "/"))
        if cookie is None:
            sessions.denials.record(request, Rejection(401, "unauthenticated", UNKNOWN))
            return _login_page(request, sessions, target, UNKNOWN)
        response = redirect(request, target)
        response.set_cookie(cookie)
        return response

    @post("/logout", role="viewer")
    async def log_out(self, request: Request[Any, Any, Any], form: Form) -> Page:
        """End the session of this browser."""
        del form  # its token was checked
        response = redirect(request, "/login")
        response.set_cookie(session_cookie("", 0, secure=is_https(request)))
        return response


def _login_page(request: Request[Any, Any, Any], sessions: Sessions, target: str, error: str = "") -> Page:
    errors = {"token": error} if error else {}
    status = 401 if error else 200
    return render_page(
        request, "login", status=status, target=safe_path(target), errors=errors, is_possible=sessions.is_possible
    )
