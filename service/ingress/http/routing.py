"""Litestar's routing with less work per request, and at the start.

Litestar 2.25 repeats work for each request: it normalizes the path and checks the Host header by regular expressions,
merges the exception handlers of a mount, and copies a scope that no one reads. Here each is done once or not at all.
At the start it copies each router with all that its handlers refer to, which takes a third of the time to build the
admin app.
"""

from collections.abc import Awaitable
from functools import lru_cache
from typing import Any, Self, cast

from litestar import Router
from litestar._asgi import asgi_router
from litestar._asgi.utils import is_valid_host
from litestar.handlers import ASGIRouteHandler
from litestar.routes import ASGIRoute
from litestar.types import Receive, Scope, Send
from litestar.utils import normalize_path

PATHS_MAX = 1_024
"""Cached paths, as many as Litestar caches routes. `service.ingress.http.connection_limits` limits their length."""

HOSTS_MAX = 16
"""Cached Host headers, whose length is limited by the read buffer only."""


class UncopiedRouter(Router):
    """Router of one app, which registers it without a copy."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return the router itself."""
        return self


class WebhookMount(ASGIRouteHandler):
    """Mount of a plain ASGI handler."""

    _merged: dict[int | type[Exception], Any] | None = None

    def resolve_exception_handlers(self) -> dict[int | type[Exception], Any]:
        """Return the exception handlers of the app and the mount."""
        if self._merged is None:
            self._merged = dict(cast("Any", super()).resolve_exception_handlers())
        return self._merged


def _handle(route: ASGIRoute, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
    """Call the handler of a route as `ASGIRoute.handle` does, which copies the scope first."""
    handler: Any = route.route_handler
    if handler.copy_scope is not False or handler.resolve_guards():
        return _handle_with_copy(route, scope, receive, send)
    return handler.fn(scope=scope, receive=receive, send=send)


_handle_with_copy = ASGIRoute.handle


def cache_routing() -> None:
    """Cache the results of two pure functions that Litestar's router calls, and copy no scope needlessly."""
    router: Any = asgi_router
    route: Any = ASGIRoute
    route.handle = _handle
    router.normalize_path = lru_cache(PATHS_MAX)(normalize_path)
    router.is_valid_host = lru_cache(HOSTS_MAX)(is_valid_host)
