"""Responses whose head has a status and whose rest cannot be read, for tests of the client and of actions."""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

UNREADABLE: dict[str, Callable[[str], bytes]] = {
    "large body": lambda status: head(status, "Content-Length: 100000") + b"x" * 100_000,
    "unknown encoding": lambda status: head(status, "Content-Encoding: br", "Content-Length: 2") + b"\x0b\x00",
    "label gzip on plain text": lambda status: head(status, "Content-Encoding: gzip", "Content-Length: 2") + b"{}",
    "cut body": lambda status: head(status, "Content-Length: 100") + b"half",
    "cut chunks": lambda status: head(status, "Transfer-Encoding: chunked") + b"5\r\nha",
    "chunk without size": lambda status: head(status, "Transfer-Encoding: chunked") + b"nosize\r\n",
    "two lengths": lambda status: head(status, "Content-Length: 2", "Content-Length: 2") + b"{}",
    "two framings": lambda status: (
        head(status, "Content-Length: 2", "Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\n\r\n"
    ),
    "bytes after the body": lambda status: head(status, "Content-Length: 2") + b"{}and more",
    "header of 40,000 bytes": lambda status: head(status, "X-Long: " + "x" * 40_000, "Content-Length: 2") + b"{}",
    "300 headers": lambda status: head(status, *[f"X-{n}: 1" for n in range(300)], "Content-Length: 2") + b"{}",
}
"""Builders of a response, each for the status that it gets, such as `200 OK`."""


def head(status: str, *headers: str) -> bytes:
    """Return the head of a response on a connection that is not reused."""
    return "\r\n".join([f"HTTP/1.1 {status}", "Connection: close", *headers]).encode() + b"\r\n\r\n"


@asynccontextmanager
async def server_of(response: bytes) -> AsyncGenerator[tuple[str, list[bytes]], None]:
    """Run a server that sends `response` to each request and closes. Yields its URL and the heads of the requests."""
    requests: list[bytes] = []

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        if found := re.search(rb"(?i)content-length: ([0-9]+)", requests[-1]):
            await reader.readexactly(int(found[1]))
        writer.write(response)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(respond, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", requests
    finally:
        server.close()
