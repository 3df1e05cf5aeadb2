"""Fixtures: a real server for the session, emptied for each test, and a store on it."""

import gc
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import redis
import structlog

from service.dev.embedded_valkey import EmbeddedValkey, start_valkey
from service.settings import PREFIX, Settings, load_settings
from service.store import Store, open_store
from tests.examples import register_profiles
from tests.free_ports import find_free_ports
from tests.packages import refresh_packages, unload_modules
from tests.server_folder import server_folder

PATIENT = dict.fromkeys(
    ("store_timeout_seconds", "store_connect_timeout_seconds", "ingest_timeout_seconds", "fetch_timeout_seconds"), 60
)
"""Timeouts that a stall of a busy machine does not reach."""

TEST_SERVER = "WAYBILL_TEST_SERVER"
"""Variable with the path of another server binary, such as Debian's redis-server."""

register_profiles()

pytest_plugins = ["tests.slow_marks"]


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Keep the garbage collector from scanning all modules and tests again and again."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests that start no server of another binary: they would repeat what they do without it."""
    if TEST_SERVER not in os.environ:
        return
    others = {item for item in items if "server_binary" not in getattr(item, "fixturenames", ())}
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in others]


@pytest.fixture(scope="session", autouse=True)
def no_installation_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep tests away from settings in the user's shell, and from a `waybill dev` that runs on this machine."""
    for name in list(os.environ):
        if name.startswith(PREFIX) and name != TEST_SERVER:
            del os.environ[name]
    os.environ["XDG_RUNTIME_DIR"] = str(tmp_path_factory.mktemp("runtime"))


@pytest.fixture(scope="session", autouse=True)
def plain_tracebacks() -> None:
    """Log exceptions without rich, which takes half a second for each."""
    structlog.configure([structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)])


@pytest.fixture(scope="session")
def server_binary() -> str | None:
    # Taken out of the environment, where a process that a test starts would refuse it as no setting.
    return os.environ.pop(TEST_SERVER, None) or None


@pytest.fixture(scope="session")
def session_valkey(server_binary: str | None) -> Iterator[EmbeddedValkey]:
    with server_folder() as folder:
        server = start_valkey(folder, server=server_binary)
        yield server
        server.stop()


@pytest.fixture
def valkey_url(session_valkey: EmbeddedValkey) -> str:
    with redis.Redis(unix_socket_path=session_valkey.url.removeprefix("unix://")) as client:
        client.execute_command("FLUSHALL")  # pyright: ignore[reportUnknownMemberType] - redis-py types it with a hole
    return session_valkey.url


@pytest.fixture
def own_valkey(server_binary: str | None) -> Iterator[Callable[..., EmbeddedValkey]]:
    """Start servers that a test may kill: `own_valkey("--maxmemory", "10mb")`; the same directory on a second call."""
    servers: list[EmbeddedValkey] = []
    with server_folder() as folder:

        def start(*options: str) -> EmbeddedValkey:
            server = start_valkey(folder, *options, server=server_binary)
            servers.append(server)
            return server

        yield start
        for server in servers:
            server.kill()


@pytest.fixture
def make_settings(valkey_url: str) -> Callable[..., Settings]:
    """Build settings for the test's server: `make_settings(lease_seconds=1)`."""

    def make(**values: object) -> Settings:
        environ = {f"WAYBILL_{name.upper()}": str(value) for name, value in (PATIENT | values).items()}
        return load_settings({"WAYBILL_REDIS_URL": valkey_url, "WAYBILL_HOST": "127.0.0.1"} | environ)

    return make


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings()


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    opened = await open_store(settings)
    yield opened
    await opened.close()


@pytest.fixture
def free_port() -> int:
    return find_free_ports(1)[0]


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder on the path for packages with entry points. It is read again after `refresh_packages`."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    refresh_packages()
    yield tmp_path
    unload_modules(tmp_path)
    refresh_packages()
