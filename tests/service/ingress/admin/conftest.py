"""Admin API on a real port and a real store, with a token of each role."""

import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from litestar import Litestar
from msgspec import Struct

from service.actions import load_actions
from service.config import AdminConfig, AdminToken, Config, Role
from service.config.loading import OutboundConfig
from service.ingress.admin import admin_router
from service.ingress.app import build_admin_app
from service.ingress.server import Listener
from service.listening_socket import bind
from service.log import configure
from service.management.installation import Installation
from service.records import RECORDS
from service.secrets import SecretRef
from service.settings import Settings
from service.store import Shards, Store

from .shared_app import SharedApp

TOKENS: dict[Role, str] = {"viewer": "look-1", "operator": "act-2", "admin": "all-3"}
ENVIRON = {role.upper(): hashlib.sha256(token.encode()).hexdigest() for role, token in TOKENS.items()}
ADMIN = AdminConfig(
    tokens=tuple(AdminToken(name=f"ann-{role}", role=role, sha256=SecretRef(env=role.upper())) for role in TOKENS)
)
CONFIG = Config(
    path=Path("waybill.yaml"),
    record_types=RECORDS,
    platforms={},
    records={},
    sources={},
    rules=(),
    outbound=OutboundConfig(),
    admin=ADMIN,
    warnings=(),
)

Lines = Callable[[str], list[dict[str, Any]]]


class Answer(Struct):
    status: int
    headers: dict[str, str]
    body: Any

    @property
    def etag(self) -> str:
        return self.headers["etag"]


class Api(Struct):
    """Client of the admin API with the token of a role."""

    url: str
    session: aiohttp.ClientSession

    async def __call__(
        self, method: str, path: str, body: Any = None, role: Role | None = "admin", **headers: str
    ) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if role is not None:
            named["authorization"] = f"Bearer {TOKENS[role]}"
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        named |= {"content-type": "application/json"} if data is not None else {}
        async with self.session.request(method, self.url + path, data=data, headers=named) as answer:
            raw = await answer.read()
            found = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(answer.status, found, json.loads(raw) if raw else None)


@pytest.fixture(autouse=True)
def log_as_json() -> None:
    configure("service")


@pytest.fixture
def lines(capfd: pytest.CaptureFixture[str]) -> Lines:
    def read(name: str) -> list[dict[str, Any]]:
        written = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
        return [line for line in written if line["message"] == name]

    return read


ServeAdmin = Callable[..., Awaitable[Api]]


def installation_of(
    open_store: Callable[[], Store | Shards],
    config: Config = CONFIG,
    platforms: Mapping[str, Any] = {},
    sources: Mapping[str, Any] = {},
) -> Installation:
    def open_shards() -> Shards:
        opened = open_store()
        return opened if isinstance(opened, Shards) else Shards([opened])

    return Installation(
        open_store=open_shards,
        config=lambda: config,
        platforms=lambda: platforms,
        sources=lambda: sources,
        actions=load_actions,
        records=lambda: config.record_types,
    )


async def serve_app(app: Litestar, stack: AsyncExitStack, settings: Settings) -> str:
    """Serve an admin app until the end of the stack, and return its URL."""
    listener = Listener(app, stack.enter_context(bind("127.0.0.1", 0, "WAYBILL_ADMIN_PORT")), settings)
    await listener.start()
    stack.push_async_callback(listener.stop)
    return f"http://127.0.0.1:{listener.port}"


@pytest.fixture
async def serve_admin(settings: Settings, store: Store) -> AsyncIterator[ServeAdmin]:
    """Serve the admin API of an installation: `api = await serve_admin(platforms={"pack": …})`."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())

        async def start(**parts: Any) -> Api:
            router = admin_router(installation_of(lambda: store, **parts), ENVIRON)
            return Api(await serve_app(build_admin_app(settings, store, admin=router), stack, settings), session)

        yield start


SHARED_APP = SharedApp(ENVIRON, console=False)


@pytest.fixture
async def share_admin(settings: Settings, store: Store) -> AsyncIterator[ServeAdmin]:
    """Serve one installation, like `serve_admin`, with the app that many tests share."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())

        async def start(**parts: Any) -> Api:
            installation = installation_of(lambda: store, **parts)
            app = stack.enter_context(SHARED_APP.serving(installation, store, settings))
            return Api(await serve_app(app, stack, settings), session)

        yield start


@pytest.fixture
async def api(share_admin: ServeAdmin) -> Api:
    return await share_admin()


@pytest.fixture
async def own_api(serve_admin: ServeAdmin) -> Api:
    """Serve an installation with an app of its own."""
    return await serve_admin()
