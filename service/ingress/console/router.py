"""Router of the console: its pages, sessions and error pages. A new controller is added to `CONTROLLERS`."""

from collections.abc import Awaitable, Mapping
from typing import Any, cast

from litestar import Controller, Request, Router
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.handlers import BaseRouteHandler
from litestar.response import Template

from service.errors import Rejection, WaybillError
from service.ingress.admin.auth import TokenAuth, check_route_role
from service.ingress.admin.auth_log import AuthFailureLog
from service.ingress.console.assets import get_asset
from service.ingress.console.dead_letters import DeadLetterPages
from service.ingress.console.destinations import DestinationPages
from service.ingress.console.events import EventPages
from service.ingress.console.forms import read_form
from service.ingress.console.installation import AuditPages, PlatformPages, SettingPages
from service.ingress.console.login import LoginPages
from service.ingress.console.overview import OverviewPages
from service.ingress.console.pages import (
    handle_login_required,
    handle_page_crash,
    handle_page_error,
    handle_page_http_error,
    handle_page_rejection,
)
from service.ingress.console.quarantine import QuarantinePages
from service.ingress.console.rule_editor import RuleEditor
from service.ingress.console.rules import HistoryPages, RulePages
from service.ingress.console.session import SAFE_METHODS, Connection, LoginRequired, Session, Sessions, check_origin
from service.ingress.console.sources import SourcePages
from service.ingress.http.routing import UncopiedRouter
from service.management.audit_log import Actor
from service.management.installation import Installation
from service.management.operations import AdminOperations
from service.management.platform_operations import PlatformOperations

FORM_BYTES_MAX = 512 * 1024

CONTROLLERS: tuple[type[Controller], ...] = (
    LoginPages,
    OverviewPages,
    EventPages,
    DeadLetterPages,
    QuarantinePages,
    RuleEditor,
    RulePages,
    HistoryPages,
    SourcePages,
    PlatformPages,
    DestinationPages,
    AuditPages,
    SettingPages,
)


def console_router(installation: Installation, environ: Mapping[str, str]) -> Router:
    """Build the console of an installation; `environ` holds the digests of the tokens.

    Raises:
        ConfigError: The digest of a token is missing or not valid.
    """
    tokens = TokenAuth(lambda: installation.config().admin, environ)

    def load_session_key() -> Awaitable[bytes]:
        return installation.stores[0].session_key.load()

    sessions = Sessions(tokens, load_session_key, AuthFailureLog())

    async def authorize(connection: Connection, handler: BaseRouteHandler) -> None:
        if cast("Any", connection.scope)["method"] not in SAFE_METHODS:
            check_origin(connection)
        if handler.opt.get("public"):
            return
        session = await sessions.load(connection)
        connection.scope["user"], connection.scope["auth"] = session.actor, session
        check_route_role(session.actor, handler)

    def handle_rejection(request: Request[Any, Any, Any], rejection: Rejection) -> Template:
        sessions.denials.record(request, rejection)
        return handle_page_rejection(request, rejection)

    def operations_of(request: Request[Actor, Session, Any]) -> AdminOperations:
        return AdminOperations(installation, request.user)

    def accounts_of(request: Request[Actor, Session, Any]) -> PlatformOperations:
        return PlatformOperations(installation, request.user)

    return UncopiedRouter(
        "/",
        route_handlers=[get_asset, *CONTROLLERS],
        guards=[authorize],
        dependencies={
            "operations": Provide(operations_of, sync_to_thread=False),
            "accounts": Provide(accounts_of, sync_to_thread=False),
            "sessions": Provide(lambda: sessions, sync_to_thread=False),
            "form": Provide(read_form),
        },
        exception_handlers={
            LoginRequired: handle_login_required,
            Rejection: handle_rejection,
            WaybillError: handle_page_error,
            HTTPException: handle_page_http_error,
            Exception: handle_page_crash,
        },
        request_max_body_size=FORM_BYTES_MAX,
        include_in_schema=False,
    )
