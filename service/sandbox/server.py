"""HTTP server of the sandbox in the event loop of the caller.

Uses the protocol of uvicorn without its server: the server replaces signal handlers and stops with a delay.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

import uvicorn
from msgspec import Struct
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from service.mock.platform import TOKEN
from service.sandbox.app import Sandbox
from service.sandbox.platforms import base_path

RESET_LINGER = struct.pack("ii", 1, 0)
"""SO_LINGER on with zero seconds: closing sends RST instead of FIN."""


class SandboxHandle(Struct, frozen=True):
    """A running sandbox: URL without trailing slash, state, and access token."""

    url: str
    sandbox: Sandbox
    token: str = TOKEN

    def base_url(self, platform: str) -> str:
        """Return the `base_url` of a platform kind."""
        return self.url + base_path(platform)


@asynccontextmanager
async def running_sandbox(host: str = "127.0.0.1", port: int = 0) -> AsyncGenerator[SandboxHandle, None]:
    """Run a sandbox until the context exits. Port 0 selects a free port.

    Raises:
        OSError: The address cannot be bound.
    """
    state = ServerState()
    sandbox = Sandbox(lambda client: _reset(state, client))
    config = uvicorn.Config(cast("Any", sandbox), log_config=None, access_log=False, lifespan="off", ws="none")
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: HttpToolsProtocol(config, state, {}), host, port)
    bound: tuple[str, int] = server.sockets[0].getsockname()[:2]
    name = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
    try:
        yield SandboxHandle(f"http://{name}:{bound[1]}", sandbox)
    finally:
        server.close()
        await _end(state)


async def _end(state: ServerState) -> None:
    for connection in tuple(state.connections):
        connection.transport.abort()
    tasks = tuple(state.tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)  # the connections process the abort


def _reset(state: ServerState, client: tuple[str, int] | None) -> None:
    for connection in tuple(state.connections):
        if isinstance(connection, HttpToolsProtocol) and connection.client == client:
            line: socket.socket = connection.transport.get_extra_info("socket")
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_LINGER)
            connection.transport.abort()
