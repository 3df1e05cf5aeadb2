"""Litestar's routing with less work per request, and at the start.

Litestar 2.25 repeats work for each request: it normalizes the path and checks the Host header by regular expressions,
and merges the exception handlers of a mount. Here each is done once. At the start it copies each router with all that
its handlers refer to, which takes a third of the time to build the admin app.
"""

from functools import lru_cache
from typing import Any, Self, cast

from litestar import Router
from litestar._asgi import asgi_router
from litestar._asgi.utils import is_valid_host
from litestar.handlers import ASGIRouteHandler
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


def cache_routing() -> None:
    """Cache the results of two pure functions that Litestar's router calls."""
    router: Any = asgi_router
    router.normalize_path = lru_cache(PATHS_MAX)(normalize_path)
    router.is_valid_host = lru_cache(HOSTS_MAX)(is_valid_host)
