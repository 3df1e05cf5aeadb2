"""HTTP/1.1 server of the health port: GET and HEAD of fixed paths, one request for each connection.

Its clients are probes and Prometheus. Number of connections, size of a request and time for it are limited.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from http import HTTPStatus

import httptools
from msgspec import Struct

CONNECTIONS_MAX = 100
"""Connections at the same time. Further ones are closed at once."""
HEAD_BYTES_MAX = 16_384
"""Largest head of a request, without the empty line at its end."""
REQUEST_SECONDS_MAX = 10.0
"""Time from the connection to the end of the head of its request."""
RESPONSE_SECONDS_MAX = 30.0


class HealthPage(Struct, frozen=True):
    """Response of one path."""

    status: int
    content_type: str
    body: bytes


Handler = Callable[[str], Awaitable[HealthPage]]
"""Renders a page for a value of the header Accept."""


class _Request:
    """Parts of a request that matter. The callbacks `on_*` are those of httptools."""

    def __init__(self, head: bytes) -> None:
        """Parse a head.

        Raises:
            httptools.HttpParserError: The head is not valid.
            httptools.HttpParserInvalidURLError: The target is not valid.
        """
        self.accept = ""
        self._url = b""
        parser = httptools.HttpRequestParser(self)
        with contextlib.suppress(httptools.HttpParserUpgrade):  # the header Upgrade may be ignored
            parser.feed_data(head)
        self.method = parser.get_method()
        self.path = (httptools.parse_url(self._url).path or b"").decode("ascii", "replace")

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"accept":
            self.accept = value.decode("latin-1")


class HealthConnections:
    """Connections of the health port. Without a handler for its path a request gets 404."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def serve(self, sock: socket.socket) -> AsyncGenerator[int]:
        """Serve on a bound socket during the block, and yield its port. Open connections are closed at the end."""
        server = await asyncio.start_server(self._accept, sock=sock, limit=HEAD_BYTES_MAX)
        try:
            yield int(sock.getsockname()[1])
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= CONNECTIONS_MAX:
            writer.transport.abort()
            return
        task = asyncio.ensure_future(self._answer(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_SECONDS_MAX):
                request = await _read(reader)
            async with asyncio.timeout(RESPONSE_SECONDS_MAX):
                page = await self._page(request) if isinstance(request, _Request) else _error(request)
                is_head = isinstance(request, _Request) and request.method == b"HEAD"
                writer.write(_encode(page, is_head=is_head))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, asyncio.IncompleteReadError):  # also TimeoutError
            pass
        finally:
            writer.transport.abort()

    async def _page(self, request: _Request) -> HealthPage:
        handler = self._handlers.get(request.path)
        if handler is None:
            return _error(HTTPStatus.NOT_FOUND)
        if request.method not in {b"GET", b"HEAD"}:
            return _error(HTTPStatus.METHOD_NOT_ALLOWED)
        try:
            return await handler(request.accept)
        except Exception as error:  # noqa: BLE001 - logged, and the server goes on
            text = f"the page {request.path} of the health port failed"
            asyncio.get_running_loop().call_exception_handler({"message": text, "exception": error})
            return _error(HTTPStatus.INTERNAL_SERVER_ERROR)


async def _read(reader: asyncio.StreamReader) -> _Request | HTTPStatus:
    """Return a request, or the status for one that is not valid."""
    try:
        return _Request(await reader.readuntil(b"\r\n\r\n"))
    except asyncio.LimitOverrunError:
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    except httptools.HttpParserError:
        return HTTPStatus.BAD_REQUEST


def _error(status: HTTPStatus) -> HealthPage:
    return HealthPage(status, "text/plain; charset=utf-8", f"{status.value} {status.phrase}".encode())


def _encode(page: HealthPage, *, is_head: bool) -> bytes:
    lines = [
        f"HTTP/1.1 {page.status:d} {HTTPStatus(page.status).phrase}",
        f"Content-Type: {page.content_type}",
        f"Content-Length: {len(page.body)}",
        "Connection: close",
    ]
    if page.status == HTTPStatus.METHOD_NOT_ALLOWED:
        lines.append("Allow: GET, HEAD")
    head = "\r\n".join(lines).encode() + b"\r\n\r\n"
    return head if is_head else head + page.body
