"""Fixtures: servers of one test, each in a directory that survives a restart."""

import socket
from collections.abc import Callable, Iterator

import pytest

from service.dev.embedded_valkey import EmbeddedValkey, start_valkey
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
    def find(count: int) -> list[int]:
        probes = [socket.socket() for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        ports = [int(probe.getsockname()[1]) for probe in probes]
        for probe in probes:
            probe.close()
        return ports

    return find
