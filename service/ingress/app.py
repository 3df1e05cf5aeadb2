"""Build the two Litestar apps: webhooks for senders, admin for operators."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from litestar import Litestar, Request, Response, Router, get
from litestar.datastructures import ResponseHeader, State
from litestar.exceptions import HTTPException
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.plugins import InitPlugin
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.template import TemplateConfig

from service.ingestion.event_store import EventStore
from service.ingestion.sources import Source
from service.ingress.admin.openapi import describe_api
from service.ingress.console.templates import template_config
from service.ingress.http.health import READINESS, Readiness, health_routes
from service.ingress.http.openapi import openapi_route
from service.ingress.http.problems import handle_delivery_crash, handle_http_error, handle_unexpected
from service.ingress.http.responses import SECURITY_HEADERS
from service.ingress.http.routing import WebhookMount, cache_routing
from service.ingress.webhooks import WebhookHandler
from service.metrics.page import MetricsPage
from service.settings import Settings
from service.throttles.throttles import name_circuits

WEBHOOKS_PATH = "/webhooks"


def build_app(
    settings: Settings,
    sources: Mapping[str, Source],
    store: EventStore,
    readiness: Readiness | None = None,
    plugins: Sequence[InitPlugin] = (),
) -> Litestar:
    """Build the app of the webhook port: webhooks and health. `readiness` is shared by both ports."""
    webhooks = WebhookHandler(settings, sources, store)
    # A plain ASGI handler, since Litestar's request and response objects double the cost of a delivery.
    # Mounted, since Litestar 2.25 answers 500 for ASGI handlers with path parameters.
    mount = WebhookMount(
        WEBHOOKS_PATH, is_mount=True, copy_scope=False, exception_handlers={Exception: handle_delivery_crash}
    )
    routes = [mount(webhooks.receive_webhook), *health_routes(readiness or Readiness(settings, store))]
    return _build(routes, plugins, handle_http=webhooks.handle_http_error, at_end=[webhooks.close])


def build_admin_app(
    settings: Settings,
    store: EventStore,
    readiness: Readiness | None = None,
    admin: Router | None = None,
    plugins: Sequence[InitPlugin] = (),
    *,
    console: Router | None = None,
) -> Litestar:
    """Build the app of the admin port: health, metrics, and if given, the admin API with its document, the console."""
    readiness = readiness or Readiness(settings, store)
    routes = [*health_routes(readiness), _metrics_route(settings, store), openapi_route()]
    routers = [router for router in (admin, console) if router is not None]
    return _build(
        [*routes, *routers],
        plugins,
        openapi=describe_api() if admin else None,
        state=State({READINESS: readiness}),
        templates=template_config() if console else None,
    )


def _metrics_route(settings: Settings, store: EventStore) -> HTTPRouteHandler:
    async def read_circuits() -> dict[tuple[str | None, str | None], float]:
        return name_circuits(await store.open_circuits())

    shards = range(settings.shards)
    page = MetricsPage("service", store.samples, settings.shard_events_max, shards, read_circuits)

    @get("/metrics")
    async def metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
        body, content_type = await page.render(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    return metrics


def _build(
    routes: Sequence[BaseRouteHandler | Router],
    plugins: Sequence[InitPlugin],
    handle_http: Callable[[Request[Any, Any, Any], HTTPException], Response[bytes]] = handle_http_error,
    at_end: Sequence[Callable[[], Awaitable[None]]] = (),
    *,
    openapi: OpenAPIConfig | None = None,
    state: State | None = None,
    templates: TemplateConfig[JinjaTemplateEngine] | None = None,
) -> Litestar:
    cache_routing()
    return Litestar(
        routes,
        state=state,
        template_config=templates,
        plugins=plugins,
        on_shutdown=list(at_end),
        debug=False,  # overrides LITESTAR_DEBUG, which would expose tracebacks
        openapi_config=openapi,
        logging_config=None,  # handle_unexpected logs; Litestar's logging would repeat it, or log nothing
        exception_handlers={HTTPException: handle_http, Exception: handle_unexpected},
        response_headers=[ResponseHeader(name=name, value=value) for name, value in SECURITY_HEADERS.items()],
    )
