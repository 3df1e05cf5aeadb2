"""The two Litestar apps, joined from the parts: the senders' and the operators'."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import cast

from litestar import Litestar, Response, Router, get
from litestar.datastructures import ResponseHeader
from litestar.exceptions import HTTPException
from litestar.handlers import ASGIRouteHandler, BaseRouteHandler, HTTPRouteHandler, asgi
from litestar.openapi import OpenAPIConfig
from litestar.types import Receive, Scope, Send
from litestar.types.asgi_types import HTTPScope

from service.ingestion.event_store import EventStore
from service.ingestion.sources import Source
from service.ingress.admin.openapi import describe_api
from service.ingress.http.health import Readiness, health_routes
from service.ingress.http.openapi import openapi_route
from service.ingress.http.problems import handle_http_error, handle_unexpected
from service.ingress.http.responses import SECURITY_HEADERS
from service.ingress.webhooks import WebhookHandler
from service.metrics.page import CONTENT_TYPE, MetricsPage
from service.settings import Settings

WEBHOOKS_PATH = "/webhooks"


class WebhookApp:
    """The senders' app as it is served: Litestar, and in front of it what it would find out anew for each delivery."""

    def __init__(self, app: Litestar, webhooks: WebhookHandler) -> None:
        self.app = app
        """Which has every route, that of the webhooks too."""
        self._receive_webhook = webhooks.receive_webhook

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request under `WEBHOOKS_PATH` to its handler, as Litestar's mount would, all others to Litestar."""
        if scope["type"] == "http" and scope["path"].startswith(f"{WEBHOOKS_PATH}/"):
            scope["path"] = scope["path"][len(WEBHOOKS_PATH) :]
            await self._receive_webhook(cast("HTTPScope", scope), receive, send)
        else:
            await self.app(scope, receive, send)


def build_app(
    settings: Settings, sources: Mapping[str, Source], store: EventStore, readiness: Readiness | None = None
) -> WebhookApp:
    """Make the senders' app: webhooks and health. `readiness` is given where both ports share one."""
    webhooks = WebhookHandler(settings, sources, store)
    routes = [_webhook_route(webhooks), *health_routes(readiness or Readiness(settings, store))]
    return WebhookApp(_build(routes, at_end=[webhooks.close]), webhooks)


def build_admin_app(
    settings: Settings, store: EventStore, readiness: Readiness | None = None, admin: Router | None = None
) -> Litestar:
    """Make the operators' app: health, metrics and, where it is given, the admin API with its description."""
    health = health_routes(readiness or Readiness(settings, store))
    routes = [*health, _metrics_route(store), openapi_route()]
    if admin is None:
        return _build(routes)
    return _build([*routes, admin], openapi=describe_api())


def _webhook_route(webhooks: WebhookHandler) -> ASGIRouteHandler:
    # A plain ASGI handler, since Litestar's request and response objects cost as much again as the whole delivery.
    # Mounted, since Litestar 2.25 answers 500 to ASGI handlers with path parameters: it looks those up by method.
    @asgi(WEBHOOKS_PATH, is_mount=True, copy_scope=False)
    async def receive_webhook(scope: Scope, receive: Receive, send: Send) -> None:
        await webhooks.receive_webhook(cast("HTTPScope", scope), receive, send)

    return receive_webhook


def _metrics_route(store: EventStore) -> HTTPRouteHandler:
    page = MetricsPage("service", store.sample)

    @get("/metrics")
    async def metrics() -> Response[bytes]:
        return Response(await page.render(), media_type=CONTENT_TYPE)

    return metrics


def _build(
    routes: Sequence[BaseRouteHandler | Router],
    at_end: Sequence[Callable[[], Awaitable[None]]] = (),
    openapi: OpenAPIConfig | None = None,
) -> Litestar:
    return Litestar(
        routes,
        on_shutdown=list(at_end),
        debug=False,  # else LITESTAR_DEBUG in the environment would show tracebacks to strangers
        openapi_config=openapi,
        logging_config=None,  # answer_unexpected logs once; Litestar's own would repeat it, or log nothing
        exception_handlers={HTTPException: handle_http_error, Exception: handle_unexpected},
        response_headers=[ResponseHeader(name=name, value=value) for name, value in SECURITY_HEADERS.items()],
    )
