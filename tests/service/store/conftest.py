"""Fixtures: servers of one test, each in a directory that survives a restart."""

from collections.abc import Callable, Iterator

import pytest

from service.dev.embedded_valkey import EmbeddedValkey, start_valkey
from tests.free_ports import find_free_ports
from tests.server_folder import server_folder

StartServer = Callable[..., EmbeddedValkey]


@pytest.fixture
def start_server(server_binary: str | None) -> Iterator[StartServer]:
    """Return a function: `start_server("primary", "--port", "7000")`. `server=` selects another binary."""
    servers: list[EmbeddedValkey] = []
    with server_folder() as folder:

        def start(name: str, *options: str, server: str | None = server_binary) -> EmbeddedValkey:
            started = start_valkey(folder / name, *options, server=server)
            servers.append(started)
            return started

        yield start
        for server in servers:
            server.kill()


@pytest.fixture
def free_ports() -> Callable[[int], list[int]]:
    return find_free_ports
