"""Litestar in front of deliveries: its routing, middleware, hooks and exception handlers see each one."""

# The types of Litestar and pytest are incomplete.
# pyright: reportUnknownMemberType=false

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from litestar import Litestar, Request, Response
from litestar._asgi import asgi_router
from litestar.config.app import AppConfig
from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.exceptions import NotAuthorizedException
from litestar.middleware import ASGIMiddleware
from litestar.plugins import InitPlugin
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import ConfigError
from service.events import Delivery, Fact
from service.ingestion.sources import Source
from service.ingress.plugins import ENTRY_POINT_GROUP, load_plugins
from service.settings import Settings
from service.store import Store
from tests.packages import refresh_packages
from tests.service.ingress.conftest import Lines, Order, Serve, encode, signed

BODY = encode(Order("1"))


class TeapotError(Exception):
    """Exception with a handler in the plugin."""


class Observer(ASGIMiddleware, InitPlugin):
    """Plugin with a middleware, an exception handler and a hook.

    `reject` is raised before the handler runs. `status` replaces the status of responses.
    """

    scopes = (ScopeType.HTTP, ScopeType.ASGI)

    def __init__(self, reject: Exception | None = None, status: int | None = None) -> None:
        self.reject = reject
        self.status = status
        self.paths: list[bytes] = []
        self.statuses: list[int] = []
        self.bodies: list[bytes] = []
        self.crashes: list[str] = []

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        async def record_crash(error: Exception, _: Scope) -> None:
            self.crashes.append(type(error).__name__)

        app_config.middleware.append(self)
        app_config.after_exception.append(record_crash)
        app_config.exception_handlers[TeapotError] = handle_teapot
        return app_config

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        assert isinstance(scope["litestar_app"], Litestar)
        self.paths.append(scope["raw_path"])

        async def send_with_header(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableScopeHeaders.from_message(message)["x-observed"] = "yes"
                self.statuses.append(message["status"])
                message["status"] = self.status or message["status"]
            elif message["type"] == "http.response.body":
                self.bodies.append(message["body"])
            await send(message)

        if self.reject is not None:
            raise self.reject
        await next_app(scope, receive, send_with_header)


def handle_teapot(_request: Request[Any, Any, Any], error: TeapotError) -> Response[str]:
    return Response(str(error), status_code=418)


def raise_teapot(delivery: Delivery) -> tuple[Fact, ...]:
    raise TeapotError(f"{len(delivery.body)} bytes")


async def post(
    client: aiohttp.ClientSession, url: str, source: str = "erp-orders", **headers: str
) -> tuple[int, Mapping[str, str], bytes]:
    async with client.post(f"{url}/webhooks/{source}", data=BODY, headers=signed(BODY, **headers)) as response:
        return response.status, response.headers, await response.read()


async def test_middleware_sees_the_delivery_and_changes_the_response(
    settings: Settings, store: Store, serve: Serve, client: aiohttp.ClientSession
) -> None:
    observer = Observer()
    url = await serve(settings, store, plugins=[observer])
    answers = [await post(client, url), await post(client, url, x_signature="wrong")]
    assert [status for status, _, _ in answers] == observer.statuses == [202, 401]
    assert observer.paths == [b"/webhooks/erp-orders"] * 2
    assert observer.bodies == [body for _, _, body in answers]
    for _, headers, body in answers:
        assert (headers["x-observed"], headers["content-length"]) == ("yes", str(len(body)))
        assert headers["x-content-type-options"] == "nosniff"


async def test_litestar_routes_a_delivery_by_cached_functions(
    settings: Settings, store: Store, serve: Serve, client: aiohttp.ClientSession
) -> None:
    url = await serve(settings, store)
    before = [function.cache_info().hits for function in cached_functions()]
    for _ in range(2):
        assert (await post(client, url))[0] == 202
    assert all(function.cache_info().hits > hits for function, hits in zip(cached_functions(), before, strict=True))


def cached_functions() -> list[Any]:
    return [vars(asgi_router)[name] for name in ("normalize_path", "is_valid_host")]


async def test_exception_handler_and_hook_of_a_plugin_see_a_crash(
    *,
    settings: Settings,
    store: Store,
    sources: Mapping[str, Source],
    serve: Serve,
    client: aiohttp.ClientSession,
    lines: Lines,
) -> None:
    observer = Observer()
    broken = msgspec.structs.replace(sources["erp-orders"], parser=raise_teapot)
    url = await serve(settings, store, {"broken": broken}, plugins=[observer])
    status, headers, body = await post(client, url, "broken")
    assert (status, headers["x-observed"], body) == (418, "yes", b"%d bytes" % len(BODY))
    assert observer.crashes == ["TeapotError"]
    [line] = lines("delivery.received")
    assert (line["source_name"], line["reason"], line["quarantined"]) == ("erp-orders", "internal", True)
    assert line["http_status"] == 418


async def test_line_has_the_status_that_a_middleware_sends(
    settings: Settings, store: Store, serve: Serve, client: aiohttp.ClientSession, lines: Lines
) -> None:
    url = await serve(settings, store, plugins=[Observer(status=299), ReadingMiddleware()])
    answers = [await post(client, url), await post(client, url, x_signature="wrong")]
    assert [status for status, _, _ in answers] == [299, 299]
    assert [line["http_status"] for line in lines("delivery.received")] == [299, 299]


class ReadingMiddleware(Observer):
    """Plugin that reads the body first, so that the handler gets another `receive`."""

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        messages = [await receive()]

        async def receive_again() -> Any:
            return messages.pop() if messages else await receive()

        await super().handle(scope, receive_again, send, next_app)


@pytest.mark.parametrize(
    ("error", "answered", "event"),
    [(ZeroDivisionError("in a middleware"), (500, "internal"), "delivery.crashed"), (TeapotError("tea"), 418, None)],
)
async def test_exception_of_a_middleware_is_answered(
    *,
    error: Exception,
    answered: tuple[int, str] | int,
    event: str | None,
    settings: Settings,
    store: Store,
    serve: Serve,
    client: aiohttp.ClientSession,
    lines: Lines,
) -> None:
    url = await serve(settings, store, plugins=[Observer(error)])
    status, _, body = await post(client, url)
    code = (status, msgspec.json.decode(body)["code"]) if status == 500 else status
    assert code == answered
    assert [line["message"] for line in lines("delivery.crashed", "request.crashed")] == ([event] if event else [])


async def test_error_of_a_middleware_is_answered_and_logged(
    settings: Settings, store: Store, serve: Serve, client: aiohttp.ClientSession, lines: Lines
) -> None:
    url = await serve(settings, store, plugins=[Observer(NotAuthorizedException("no"))])
    status, _, body = await post(client, url)
    assert (status, msgspec.json.decode(body)["code"]) == (401, "rejected")
    [line] = lines("delivery.received")
    assert (line["http_status"], line["reason"]) == (401, "rejected")


PLUGINS = """
from litestar.plugins import InitPlugin

class Fine(InitPlugin):
    pass

def no_plugin():
    return 42
"""


@pytest.fixture
def install(packages: Path) -> Callable[[Sequence[str]], None]:
    """Return a function that installs a package with these entry points."""
    (packages / "plugin_package.py").write_text(PLUGINS)
    metadata = packages / "plugin_package-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin-package\nVersion: 1.0\n")

    def write(names: Sequence[str]) -> None:
        entries = "".join(f"{name} = plugin_package:{name}\n" for name in names)
        (metadata / "entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\n{entries}")
        refresh_packages()

    return write


def test_plugins_of_installed_packages_are_loaded(install: Callable[[Sequence[str]], None]) -> None:
    assert load_plugins() == []
    install(["Fine"])
    assert [type(plugin).__name__ for plugin in load_plugins()] == ["Fine"]


def test_entry_point_without_a_plugin_is_rejected(install: Callable[[Sequence[str]], None]) -> None:
    install(["no_plugin"])
    with pytest.raises(ConfigError, match="plugin_package:no_plugin is not a Litestar plugin"):
        load_plugins()
