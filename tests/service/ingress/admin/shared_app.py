"""Admin apps that serve the installation of the test under way, since to build one takes 0.2 s of processor time.

A test of state that an app keeps, such as the rate of its log lines, builds its own.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

from litestar import Litestar

from service.ingestion.event_store import EventStore
from service.ingress.admin import admin_router
from service.ingress.app import build_admin_app
from service.ingress.console import console_router
from service.ingress.http.health import Readiness
from service.management.installation import Installation
from service.settings import Settings


class SharedApp:
    """An admin app, and the installation that it serves now."""

    def __init__(self, environ: Mapping[str, str], *, console: bool) -> None:
        self._environ = environ
        self._has_console = console
        self._installation: Installation | None = None
        self._store: EventStore | None = None
        self._app: Litestar | None = None
        self._readiness: Readiness | None = None

    @contextmanager
    def serving(self, installation: Installation, store: EventStore, settings: Settings) -> Generator[Litestar]:
        """Return the app, which serves the installation until the end of the context."""
        assert self._installation is None, "the app serves another installation; build an app of its own"
        self._installation, self._store = installation, store
        try:
            yield self._build(settings)
        finally:
            self._installation = self._store = None

    def _build(self, settings: Settings) -> Litestar:
        store = cast("EventStore", _StoreOfTest(self))
        if self._app is None or self._readiness is None:
            names = set(Installation.__struct_fields__) - {"is_configured"}
            parts: dict[str, Any] = {name: partial(self._call, name) for name in names}
            served = Installation(**parts)
            console = console_router(served, self._environ) if self._has_console else None
            self._readiness = Readiness(settings, store)
            admin = admin_router(served, self._environ)
            self._app = build_admin_app(settings, store, self._readiness, admin, console=console)
        vars(self._readiness).update(vars(Readiness(settings, store)))  # without results of earlier tests
        return self._app

    def _call(self, name: str) -> Any:
        return getattr(self._installation, name)()

    def call_store(self, name: str, *arguments: Any) -> Any:
        """Call the store of the test."""
        return getattr(self._store, name)(*arguments)


class _StoreOfTest:
    def __init__(self, shared: SharedApp) -> None:
        self._shared = shared

    def __getattr__(self, name: str) -> Any:
        return partial(self._shared.call_store, name)
