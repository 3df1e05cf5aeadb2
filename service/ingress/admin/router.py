"""Router of the admin API: all controllers under /api/v1. A new controller is added to `CONTROLLERS`."""

from collections.abc import Mapping
from typing import Any

from litestar import Controller, Request, Router
from litestar.di import Provide
from litestar.exceptions import HTTPException

from service.errors import ConfigError, Rejection, WaybillError
from service.ingress.admin.auth import TokenAuth
from service.ingress.admin.auth_log import AuthFailureLog
from service.ingress.admin.conditions import RuleConditions
from service.ingress.admin.dead_letters import DeadLetters
from service.ingress.admin.destinations import ConfiguredDestinations
from service.ingress.admin.dry_runs import DryRuns
from service.ingress.admin.erasure import Erasure
from service.ingress.admin.events import Events, event_filter
from service.ingress.admin.live import Live
from service.ingress.admin.problems import (
    handle_admin_http_error,
    handle_config_error,
    handle_malformed,
    handle_store_error,
)
from service.ingress.admin.quarantine import QuarantinedDeliveries
from service.ingress.admin.request_checks import check_request_body, check_request_query
from service.ingress.admin.rule_actions import RuleActions
from service.ingress.admin.rule_changes import rule_edit
from service.ingress.admin.rule_types import RuleTypes
from service.ingress.admin.rulebook import RulebookVersions
from service.ingress.admin.rules import Rules
from service.ingress.admin.status import Circuits, PlatformAccounts, Sources, SystemStatus
from service.ingress.http.routing import UncopiedRouter
from service.management.audit_log import Actor
from service.management.installation import Installation
from service.management.operations import AdminOperations
from service.management.platform_operations import PlatformOperations

PATH = "/api/v1"

BODY_BYTES_MAX = 8 * 1024 * 1024
"""Limit of a request body, large enough for a whole rulebook."""

CONTROLLERS: tuple[type[Controller], ...] = (
    RuleTypes,
    Rules,
    RuleConditions,
    RuleActions,
    RulebookVersions,
    DryRuns,
    Events,
    Live,
    DeadLetters,
    QuarantinedDeliveries,
    Sources,
    PlatformAccounts,
    Circuits,
    ConfiguredDestinations,
    SystemStatus,
    Erasure,
)

_HANDLERS: dict[int | type[Exception], Any] = {
    ConfigError: handle_config_error,
    WaybillError: handle_store_error,
    HTTPException: handle_admin_http_error,
    RecursionError: handle_malformed,
    UnicodeDecodeError: handle_malformed,
}


def admin_router(installation: Installation, environ: Mapping[str, str]) -> Router:
    """Build the admin API of an installation; `environ` holds the digests of the tokens.

    Raises:
        ConfigError: The digest of a token is missing or not valid.
    """

    def operations_of(request: Request[Actor, Any, Any]) -> AdminOperations:
        return AdminOperations(installation, request.user)

    def accounts_of(request: Request[Actor, Any, Any]) -> PlatformOperations:
        return PlatformOperations(installation, request.user)

    tokens = TokenAuth(lambda: installation.config().admin, environ)
    return UncopiedRouter(
        PATH,
        route_handlers=CONTROLLERS,
        guards=[tokens.authorize, check_request_query],
        before_request=check_request_body,
        dependencies={
            "operations": Provide(operations_of, sync_to_thread=False),
            "accounts": Provide(accounts_of, sync_to_thread=False),
            "edit": Provide(rule_edit, sync_to_thread=False),
            "event_filter": Provide(event_filter, sync_to_thread=False),
        },
        exception_handlers={**_HANDLERS, Rejection: AuthFailureLog().handle},
        request_max_body_size=BODY_BYTES_MAX,
        security=[{"bearer": []}],
    )
