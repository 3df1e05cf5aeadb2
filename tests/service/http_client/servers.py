"""HTTP servers of the tests of the client: one that follows the standard (h11), and one that sends any bytes."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import h11

from service.http_client import HttpClient, HttpResponse, TransportOptions

Respond = Callable[[h11.Request, bytes], Sequence[h11.Event]]
"""Gets a request and its body. Returns the events of the response."""
Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]
"""Serves one connection. The number counts connections from 0."""


class ConformingServer:
    """Server of the library h11, which raises an error for a request that is not valid HTTP/1.1."""

    def __init__(self, respond: Respond) -> None:
        self.respond = respond
        self.errors: list[Exception] = []
        self.connections = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        protocol = h11.Connection(h11.SERVER)
        try:
            while True:
                request, body = await _read_request(protocol, reader)
                if request is None:
                    break
                for event in self.respond(request, body):
                    writer.write(protocol.send(event) or b"")
                    await writer.drain()
                if protocol.our_state is not h11.DONE:
                    break
                protocol.start_next_cycle()
        except h11.RemoteProtocolError as error:
            self.errors.append(error)
        except OSError:
            pass
        finally:
            writer.close()


async def _read_request(protocol: h11.Connection, reader: asyncio.StreamReader) -> tuple[h11.Request | None, bytes]:
    request: h11.Request | None = None
    body = b""
    while True:
        event = protocol.next_event()
        if event is h11.NEED_DATA:
            protocol.receive_data(await reader.read(65_536))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += event.data
        else:
            return request if isinstance(event, h11.EndOfMessage) else None, body


@asynccontextmanager
async def conforming_server(respond: Respond, tls: ssl.SSLContext | None = None) -> AsyncGenerator[ConformingServer]:
    made = ConformingServer(respond)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=tls)
    made.url = f"{'https' if tls else 'http'}://localhost:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
    assert made.errors == []


@asynccontextmanager
async def byte_server(handle: Handle, tls: ssl.SSLContext | None = None) -> AsyncGenerator[str]:
    """Run `handle` for each connection, and yield the URL. Connections are closed at the end."""
    count = -1
    tasks: set[asyncio.Task[Any]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        number = count
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await handle(reader, writer, number)
                writer.close()
                await writer.wait_closed()
        finally:
            writer.transport.abort()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(connected(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"{'https' if tls else 'http'}://localhost:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # the transports close their sockets


async def read_head(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


async def call(client: HttpClient, url: str, method: str = "GET", **options: Any) -> HttpResponse:
    defaults: dict[str, Any] = {"headers": {}, "body": None, "seconds_max": 30, "bytes_max": 100_000, "guarded": False}
    return await client.request(method, url, **(defaults | options))


def trusting(authority: str) -> TransportOptions:
    """Return options that trust the authority in a file."""
    return TransportOptions(tls=ssl.create_default_context(cafile=authority))
