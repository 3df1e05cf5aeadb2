"""Build the two Litestar apps: webhooks for senders, admin for operators."""

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
    """ASGI app of the webhook port. Routes deliveries without Litestar, which would add overhead to each."""

    def __init__(self, app: Litestar, webhooks: WebhookHandler) -> None:
        self.app = app
        """Litestar app with every route, including webhooks."""
        self._receive_webhook = webhooks.receive_webhook

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the webhook handler for requests under `WEBHOOKS_PATH`, as Litestar's mount would, else Litestar."""
        if scope["type"] == "http" and scope["path"].startswith(f"{WEBHOOKS_PATH}/"):
            scope["path"] = scope["path"][len(WEBHOOKS_PATH) :]
            await self._receive_webhook(cast("HTTPScope", scope), receive, send)
        else:
            await self.app(scope, receive, send)


def build_app(
    settings: Settings, sources: Mapping[str, Source], store: EventStore, readiness: Readiness | None = None
) -> WebhookApp:
    """Build the app of the webhook port: webhooks and health. `readiness` is shared by both ports."""
    webhooks = WebhookHandler(settings, sources, store)
    routes = [_webhook_route(webhooks), *health_routes(readiness or Readiness(settings, store))]
    return WebhookApp(_build(routes, at_end=[webhooks.close]), webhooks)


def build_admin_app(
    settings: Settings, store: EventStore, readiness: Readiness | None = None, admin: Router | None = None
) -> Litestar:
    """Build the app of the admin port: health, metrics and, if given, the admin API with its OpenAPI document."""
    health = health_routes(readiness or Readiness(settings, store))
    routes = [*health, _metrics_route(store), openapi_route()]
    if admin is None:
        return _build(routes)
    return _build([*routes, admin], openapi=describe_api())


def _webhook_route(webhooks: WebhookHandler) -> ASGIRouteHandler:
    # A plain ASGI handler, since Litestar's request and response objects double the cost of a delivery.
    # Mounted, since Litestar 2.25 answers 500 for ASGI handlers with path parameters.
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
        debug=False,  # overrides LITESTAR_DEBUG, which would expose tracebacks
        openapi_config=openapi,
        logging_config=None,  # handle_unexpected logs; Litestar's logging would repeat it, or log nothing
        exception_handlers={HTTPException: handle_http_error, Exception: handle_unexpected},
        response_headers=[ResponseHeader(name=name, value=value) for name, value in SECURITY_HEADERS.items()],
    )
