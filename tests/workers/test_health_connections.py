"""Server of the health port: limits, and requests that are not valid."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from tests.waiting import until
from workers import health_connections
from workers.health_connections import CONNECTIONS_MAX, HEAD_BYTES_MAX, HealthConnections, HealthPage

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def page(accept: str) -> HealthPage:
    return HealthPage(200, "text/plain", f"page {accept}".encode())


async def broken(_: str) -> HealthPage:
    raise ZeroDivisionError


@asynccontextmanager
async def serving() -> AsyncGenerator[int]:
    sock = socket.create_server(("127.0.0.1", 0))
    async with HealthConnections({"/page": page, "/broken": broken}).serve(sock) as port:
        yield port


async def ask(port: int, request: bytes) -> bytes:
    """Send bytes, and return all bytes of the response."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("request_line", "status", "body"),
    [
        ("GET /page HTTP/1.1", "200 OK", b"page a/b"),
        ("GET /page?verbose=1 HTTP/1.0", "200 OK", b"page a/b"),
        ("HEAD /page HTTP/1.1", "200 OK", b""),
        ("GET /other HTTP/1.1", "404 Not Found", b"404 Not Found"),
        ("GET http://host/page HTTP/1.1", "200 OK", b"page a/b"),
        ("POST /page HTTP/1.1", "405 Method Not Allowed", b"405 Method Not Allowed"),
        ("GE@T /page HTTP/1.1", "400 Bad Request", b"400 Bad Request"),
        ("\x16\x03\x01 /page HTTP/1.1", "400 Bad Request", b"400 Bad Request"),
        ("GET // HTTP/1.1", "404 Not Found", b"404 Not Found"),
    ],
)
async def test_each_request_gets_its_status(request_line: str, status: str, body: bytes) -> None:
    async with serving() as port:
        answer = await ask(port, f"{request_line}\r\nHost: a\r\nAccept: a/b\r\n\r\n".encode())
    head, _, content = answer.partition(b"\r\n\r\n")
    assert head.splitlines()[0].decode() == f"HTTP/1.1 {status}"
    assert b"\r\nConnection: close" in head
    assert (b"\r\nAllow: GET, HEAD" in head) == status.startswith("405")
    assert content == body


async def test_head_of_a_request_is_limited() -> None:
    start = b"GET /page HTTP/1.1\r\nX: "
    async with serving() as port:
        longest = start + b"x" * (HEAD_BYTES_MAX - len(start)) + b"\r\n\r\n"
        assert b"200 OK" in await ask(port, longest)
        assert b"431 Request Header" in await ask(port, longest.replace(b"X", b"XX", 1))
        assert b"431 Request Header" in await ask(port, b"x" * (HEAD_BYTES_MAX + 4))


async def test_number_of_connections_is_limited() -> None:
    async with serving() as port:
        held: list[Streams] = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS_MAX)]
        assert await ask(port, b"GET /page HTTP/1.1\r\n\r\n") == b""
        held[0][1].close()
        request = b"GET /page HTTP/1.1\r\n\r\n"

        async def answers() -> bool:
            return b"200 OK" in await ask(port, request)

        await until(answers)
        for _, writer in held:
            writer.close()


async def test_slow_request_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_connections, "REQUEST_SECONDS_MAX", 0.05)
    async with serving() as port:
        assert await ask(port, b"GET /page HTTP/1.1\r\n") == b""
        assert b"200 OK" in await ask(port, b"GET /page HTTP/1.1\r\n\r\n")


async def test_failed_page_is_a_500_and_the_server_goes_on() -> None:
    async with serving() as port:
        assert b"500 Internal Server Error" in await ask(port, b"GET /broken HTTP/1.1\r\n\r\n")
        assert b"200 OK" in await ask(port, b"GET /page HTTP/1.1\r\n\r\n")


async def test_open_connections_are_closed_at_the_end() -> None:
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.sleep(0.01)
    await until(reader.at_eof)
    writer.close()
