"""HTTP client against servers that break the standard, or close the connection at any byte."""

import asyncio
import gzip
from collections.abc import Callable

import pytest

from service.errors import PermanentError, TransientError
from service.http_client import HttpClient
from service.http_client.connection import (
    HEAD_BYTES_MAX,
    HEADER_BYTES_MAX,
    HEADERS_MAX,
    INTERIM_RESPONSES_MAX,
    UNPARSED_BYTES_MAX,
)
from service.http_client.decompression import MEMBERS_MAX, zstd
from tests.service.http_client.servers import byte_server, call, read_head

OK = b"HTTP/1.1 200 OK\r\n"
NEXT = OK + b"Content-Length: 4\r\n\r\nnext"


async def responses(
    client: HttpClient, first: bytes, *, rounds: int = 2, close: bool = False
) -> tuple[list[bytes], list[int]]:
    """Make calls whose first one gets `first`, and whose further ones get `next`. Return bodies and connections."""
    numbers: list[int] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        while await read_head(reader):
            numbers.append(number)
            writer.write(first if len(numbers) == 1 else NEXT)
            await writer.drain()
            if close and len(numbers) == 1:
                return

    async with byte_server(handle) as url:
        bodies = [(await call(client, url)).body for _ in range(rounds)]
    return bodies, numbers


@pytest.mark.parametrize(
    ("first", "body"),
    [
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}", b"{}"),
        (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n{}", b"{}"),
        (b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\n{}", b"{}"),
        (OK + b"X-Long: a\r\n b\r\n\tc\r\nContent-Length: 2\r\n\r\n{}", b"{}"),
        (OK + b"X: \xff\xfe\r\nContent-Length: 2\r\n\r\n{}", b"{}"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2  \r\n{}\r\n0\r\n\r\n", b"{}"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n02;a=b\r\n{}\r\n000\r\n\r\n", b"{}"),
        (b"HTTP/1.1 103 Hints\r\nContent-Length: 0\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\n{}", b"{}"),
        (OK + b"Content-Length: 2\r\n\r\n{}\r\n", b"{}"),
    ],
)  # fmt: skip
async def test_tolerated_forms_are_read_and_leave_the_connection_open(
    outbound: HttpClient, first: bytes, body: bytes
) -> None:
    assert await responses(outbound, first) == ([body, b"next"], [0, 0])


@pytest.mark.parametrize(
    "first",
    [
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        OK + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}",
        OK + b"Content-Length: 2\r\nKeep-Alive: timeout=1\r\n\r\n{}",
    ],
)
async def test_connection_that_must_not_be_reused_is_closed(outbound: HttpClient, first: bytes) -> None:
    assert await responses(outbound, first) == ([b"{}", b"next"], [0, 1])


@pytest.mark.parametrize("header", [b"Content-Length: 2", b"Transfer-Encoding: chunked"])
async def test_connection_is_not_reused_after_204_that_announces_a_body(outbound: HttpClient, header: bytes) -> None:
    response = b"HTTP/1.1 204 No Content\r\n" + header + b"\r\n\r\n"
    assert await responses(outbound, response) == ([b"", b"next"], [0, 1])


@pytest.mark.parametrize(
    "first",
    [
        OK + b"\r\n{}",
        OK + b"Transfer-Encoding: gzip\r\n\r\n{}",
        OK + b"Transfer-Encoding: xchunked\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n{}",
    ],
)
async def test_body_until_the_end_of_the_connection_is_read(outbound: HttpClient, first: bytes) -> None:
    assert await responses(outbound, first, close=True) == ([b"{}", b"next"], [0, 1])


@pytest.mark.parametrize(
    "first",
    [
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"220 mail.example.com ESMTP\r\n\r\n",
        b"HTTP/1.1 099 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 2000 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nbytes",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/3 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
)
async def test_bytes_without_a_usable_status_are_a_protocol_error(outbound: HttpClient, first: bytes) -> None:
    with pytest.raises(TransientError) as raised:
        await responses(outbound, first)
    assert (raised.value.kind, raised.value.http_status) == ("protocol", None)


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: -1\r\n\r\n",
        b"Content-Length: +2\r\n\r\n{}",
        b"Content-Length: 2, 2\r\n\r\n{}",
        b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"Content-Length: 99999999999999999999999\r\n\r\n{}",
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\n",
        b"No colon\r\n\r\n",
        b"Content-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother",
        b"Content-Length: 2\r\n\r\n{}more",
        b"Content-Length: 2\r\n\r\n{}H",
        b"X: " + b"x" * HEADER_BYTES_MAX + b"\r\nContent-Length: 0\r\n\r\n",
        b"x" * (HEADER_BYTES_MAX + 1) + b": 1\r\nContent-Length: 0\r\n\r\n",
        b"X: 1\r\n" * HEADERS_MAX + b"Content-Length: 0\r\n\r\n",
        (b"X: " + b"x" * 30_000 + b"\r\n") * 5 + b"Content-Length: 0\r\n\r\n",
        b"X: " + b"x" * (UNPARSED_BYTES_MAX + 300_000),
        b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"x" * (UNPARSED_BYTES_MAX + 300_000),
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: 1\r\n" * HEADERS_MAX + b"\r\n",
    ],
)
async def test_rest_that_cannot_be_parsed_is_a_protocol_error_with_the_status(
    outbound: HttpClient, rest: bytes
) -> None:
    with pytest.raises(TransientError) as raised:
        await responses(outbound, OK + rest)
    assert (raised.value.kind, raised.value.http_status) == ("protocol", 200)


async def test_head_at_its_limits_is_read(outbound: HttpClient) -> None:
    longest = b"X: " + b"x" * (HEADER_BYTES_MAX - 1) + b"\r\n"
    most = b"Y: 1\r\n" * (HEADERS_MAX - 2)
    assert (await responses(outbound, OK + longest + most + b"Content-Length: 2\r\n\r\n{}"))[0] == [b"{}", b"next"]
    size = HEAD_BYTES_MAX - len("Content-Length2")
    parts = b"".join(
        b"X: " + b"x" * (part - 1) + b"\r\n" for part in (HEADER_BYTES_MAX,) * 3 + (size % HEADER_BYTES_MAX,)
    )
    assert (await responses(outbound, OK + parts + b"Content-Length: 2\r\n\r\n{}"))[0] == [b"{}", b"next"]
    with pytest.raises(TransientError):
        await responses(outbound, OK + b"X:\r\n" + parts + b"Content-Length: 2\r\n\r\n{}")


async def test_number_of_interim_responses_is_limited(outbound: HttpClient) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    final = OK + b"Content-Length: 2\r\n\r\n{}"
    assert (await responses(outbound, interim * INTERIM_RESPONSES_MAX + final))[0] == [b"{}", b"next"]
    with pytest.raises(TransientError) as raised:
        await responses(outbound, interim * (INTERIM_RESPONSES_MAX + 1) + final)
    assert raised.value.kind == "protocol"


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (b"gzip", gzip.compress(b"x" * 1000, mtime=0)[:-5]),
        (b"gzip", gzip.compress(b"{}", mtime=0) + b"more"),
        (b"zstd", zstd.compress(b"x" * 1000)[:-5]),
        (b"zstd", b"\x28\xb5\x2f\xfd\x00\xe0" + b"\x00" * 20),  # a window of 256 GiB
        (b"deflate", b"\x78"),
        (b"br", b"\x0b\x00"),
    ],
)
async def test_body_that_cannot_be_decompressed_is_a_protocol_error(
    outbound: HttpClient, encoding: bytes, body: bytes
) -> None:
    with pytest.raises(TransientError, match="cannot be decompressed") as raised:
        await responses(
            outbound, OK + b"Content-Encoding: %b\r\nContent-Length: %d\r\n\r\n%b" % (encoding, len(body), body)
        )
    assert (raised.value.kind, raised.value.http_status) == ("protocol", 200)


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("zstd", zstd.compress)])
async def test_number_of_members_is_limited(
    outbound: HttpClient, encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    head = OK + f"Content-Encoding: {encoding}\r\n".encode()
    full = compress(b"") * (MEMBERS_MAX - 1) + compress(b"{}")
    assert (await responses(outbound, head + b"Content-Length: %d\r\n\r\n%b" % (len(full), full)))[0][0] == b"{}"
    with pytest.raises(TransientError, match="cannot be decompressed"):
        await responses(outbound, head + b"\r\n" + compress(b"") * (MEMBERS_MAX + 1))


RESPONSE = (
    b"HTTP/1.1 103 Hints\r\n\r\n" + OK + b"X: 1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwhat\r\n0\r\nY: 1\r\n\r\n"
)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_connection_that_breaks_at_any_byte_is_an_error(outbound: HttpClient, method: str) -> None:
    requests = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        nonlocal requests
        await read_head(reader)
        requests += 1
        writer.write(RESPONSE[:number])
        await writer.drain()
        if number % 2:
            writer.transport.abort()

    async with byte_server(handle) as url:
        for size in range(len(RESPONSE)):
            with pytest.raises(TransientError) as raised:
                await call(outbound, url, method)
            assert raised.value.kind == "reset"
            status_line = RESPONSE.index(b"200 OK") + len("200 O")
            if size % 2 == 0:  # a reset may overtake bytes
                assert raised.value.http_status == (200 if size >= status_line else None)
        assert (await call(outbound, url, method)).body == b"what"
    assert requests == len(RESPONSE) + 1


async def test_response_in_single_bytes_is_read(outbound: HttpClient) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        while await read_head(reader):
            for byte in RESPONSE:
                writer.write(bytes([byte]))
                await asyncio.sleep(0)

    async with byte_server(handle) as url:
        for _ in range(3):
            assert (await call(outbound, url)).body == b"what"


@pytest.mark.parametrize("status", ["408 Request Timeout", "503 Unavailable"])
async def test_bytes_on_an_idle_connection_are_no_response(outbound: HttpClient, status: str) -> None:
    """A server may end an idle connection by 408 just before the next request."""
    connections: list[int] = []
    written = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        connections.append(number)
        await read_head(reader)
        writer.write(NEXT)
        if number == 0:
            await asyncio.sleep(0.01)
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
            written.set()
        await reader.read()

    async with byte_server(handle) as url:
        assert (await call(outbound, url, "POST")).body == b"next"
        await written.wait()
        assert (await call(outbound, url, "POST")).body == b"next"
    assert connections == [0, 1]


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("POST", 408)])
async def test_408_to_a_reused_connection_is_repeated_if_the_method_is_idempotent(
    outbound: HttpClient, method: str, status: int
) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await read_head(reader)
        writer.write(NEXT)
        await read_head(reader)
        if number == 0:
            writer.write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    async with byte_server(handle) as url:
        await call(outbound, url, method)
        assert (await call(outbound, url, method)).status == status


async def test_connection_is_not_reused_if_the_server_answers_before_it_read_the_request(outbound: HttpClient) -> None:
    connections: list[int] = []
    answered = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        connections.append(number)
        await read_head(reader)
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        await answered.wait()

    async with byte_server(handle) as url:
        assert (await call(outbound, url, "POST", body=bytes(50_000_000))).status == 413
        assert (await call(outbound, url, "POST", body=b"")).status == 413
        answered.set()
    assert connections == [0, 1]


async def test_bomb_is_stopped_at_the_limit(outbound: HttpClient) -> None:
    for encoding, bomb in (("gzip", gzip.compress(bytes(50_000_000))), ("zstd", zstd.compress(bytes(50_000_000)))):
        head = f"Content-Encoding: {encoding}\r\nContent-Length: {len(bomb)}\r\n\r\n"
        with pytest.raises(PermanentError) as raised:
            await responses(outbound, OK + head.encode() + bomb)
        assert raised.value.kind == "response_too_large"
