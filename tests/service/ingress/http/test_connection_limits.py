"""Connection limits: endless heads and trailers, pipelined requests, and invalid HTTP."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from service.ingress.http.connection_limits import PATH_BYTES_MAX
from service.settings import Settings
from service.store import Store
from tests.service.ingress.conftest import Lines, Order, Serve, encode, signed
from tests.service.ingress.test_rejections import HeldStore
from tests.waiting import PATIENCE_SECONDS, until

BODY = encode(Order("1"))
Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


@asynccontextmanager
async def connected(url: str) -> AsyncGenerator[tuple[Reader, Writer]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    yield reader, writer
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def send_many(writer: Writer, chunk: bytes, count: int) -> int:
    """Send until done or disconnected; return the number of bytes sent."""
    sent = 0
    with contextlib.suppress(OSError):
        for _ in range(count):
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(0)
            sent += len(chunk)
    return sent


def head(body_size: int | None = None, **more: str) -> bytes:
    length = {"transfer-encoding": "chunked"} if body_size is None else {"content-length": str(body_size)}
    named = {"host": "localhost", **length, **signed(BODY), **more}
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"POST /webhooks/erp-orders HTTP/1.1\r\n{lines}\r\n".encode()


async def test_endless_head_is_aborted(settings: Settings, store: Store, serve: Serve) -> None:
    url = await serve(settings, store)
    async with connected(url) as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: a\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)
        sent = await send_many(writer, b"x-more: " + b"a" * 1_000 + b"\r\n", 5_000)
        answer = b""
        with contextlib.suppress(OSError):
            answer = await reader.read()
    assert sent < 4_000_000
    assert answer.startswith(b"HTTP/1.1 431 ") or not answer  # a reset may discard the response


async def test_oversized_head_is_answered_431_and_logged(
    make_settings: Callable[..., Settings], store: Store, serve: Serve, lines: Lines
) -> None:
    url = await serve(make_settings(header_bytes_max=2_000), store)
    async with connected(url) as (reader, writer):
        writer.write(head(len(BODY), x_padding="a" * 2_000) + BODY)
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b'"code":"headers_too_large"' in answer
    assert [line["reason"] for line in lines("delivery.received")] == ["headers_too_large"]


async def test_long_path_has_no_route(settings: Settings, store: Store, serve: Serve, lines: Lines) -> None:
    """Litestar caches the routes of 1,024 paths, so their length is limited."""
    url = await serve(settings, store)
    for size, code in ((PATH_BYTES_MAX, b"unknown_source"), (PATH_BYTES_MAX + 1, b"not_found")):
        async with connected(url) as (reader, writer):
            path = b"/webhooks/".ljust(size, b"a")
            writer.write(b"POST %b HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 0\r\n\r\n" % path)
            answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert b'"code":"%b"' % code in answer
        [line] = lines("delivery.received")
        assert (line["http_status"], line["reason"]) == (404, code.decode())


async def test_long_query_is_answered_431(make_settings: Callable[..., Settings], store: Store, serve: Serve) -> None:
    url = await serve(make_settings(header_bytes_max=2_000), store)
    async with connected(url) as (reader, writer):
        writer.write(head(len(BODY)).replace(b"/erp-orders", b"/erp-orders?" + b"q" * 2_000) + BODY)
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 431 ")


async def test_endless_header_is_answered_431(
    make_settings: Callable[..., Settings], store: Store, serve: Serve
) -> None:
    url = await serve(make_settings(header_bytes_max=2_000), store)
    async with connected(url) as (reader, writer):
        for chunk in (b"POST / HTTP/1.1\r\n", b"x-more: " + b"a" * 1_500, b"a" * 1_500):
            writer.write(chunk)
            await asyncio.sleep(0.05)
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert b"x-content-type-options: nosniff" in answer
    assert b"server:" not in answer.lower()


async def test_too_many_headers_are_rejected(
    make_settings: Callable[..., Settings], store: Store, serve: Serve, client: aiohttp.ClientSession
) -> None:
    url = await serve(make_settings(header_fields_max=20), store)
    for extra, status in ((5, 202), (30, 431)):
        headers = signed(BODY) | {f"x-{number}": "1" for number in range(extra)}
        async with client.post(f"{url}/webhooks/erp-orders", data=BODY, headers=headers) as response:
            assert response.status == status


async def test_endless_trailers_are_aborted(
    make_settings: Callable[..., Settings], store: Store, serve: Serve, lines: Lines
) -> None:
    url = await serve(make_settings(body_timeout_seconds=30), store)
    for trailer in (b"x-more: a\r\n" * 200, b"a" * 2_000):
        async with connected(url) as (_, writer):
            writer.write(head() + b"%x\r\n%b\r\n0\r\nx-first: " % (len(BODY), BODY))
            await writer.drain()
            assert await send_many(writer, trailer, 5_000) < 5_000_000
    await asyncio.sleep(0.05)
    assert {line["reason"] for line in lines("delivery.received")} <= {"disconnected", "headers_too_large"}


async def test_too_many_pipelined_requests_are_aborted(settings: Settings, store: Store, serve: Serve) -> None:
    url = await serve(settings, store)
    async with connected(url) as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n" * 1_000)
        answers = b""
        with contextlib.suppress(OSError):
            answers = await reader.read()
    assert answers.count(b"HTTP/1.1 200") < 100


async def test_pipelined_requests_are_answered_in_order(settings: Settings, store: Store, serve: Serve) -> None:
    url = await serve(settings, store)
    async with connected(url) as (reader, writer):
        writer.write((head(len(BODY)) + BODY) * 5)
        for _ in range(5):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 202 ")
            await reader.readuntil(b"}")


async def test_invalid_http_is_answered_with_a_problem(settings: Settings, store: Store, serve: Serve) -> None:
    url = await serve(settings, store)
    async with connected(url) as (reader, writer):
        writer.write(b"HELO there\r\n\r\n")
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"application/problem+json" in answer
    assert b'"code":"bad_request"' in answer


async def test_rejected_body_is_read_up_to_a_limit(
    make_settings: Callable[..., Settings], store: Store, serve: Serve
) -> None:
    url = await serve(make_settings(body_bytes_max=1_000), store)
    async with connected(url) as (reader, writer):
        writer.write(head())
        assert await send_many(writer, b"400\r\n" + b"a" * 1_024 + b"\r\n", 1_000) > 1_000_000
        assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")


async def test_rejected_body_above_the_limit_is_aborted(
    make_settings: Callable[..., Settings], store: Store, serve: Serve
) -> None:
    url = await serve(make_settings(body_bytes_max=1_000), store)
    async with connected(url) as (_, writer):
        writer.write(head())
        assert await send_many(writer, b"4000\r\n" + b"a" * 16_384 + b"\r\n", 3_000) < 30_000_000


async def test_invalid_http_and_upgrades_log_nothing(
    settings: Settings, store: Store, serve: Serve, capfd: pytest.CaptureFixture[str]
) -> None:
    url = await serve(settings, store)
    for request in (
        b"HELO there\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
    ):
        async with connected(url) as (reader, writer):
            writer.write(request)
            assert (await reader.readline()).startswith(b"HTTP/1.1 ")
    assert "library.logged" not in capfd.readouterr().out


async def test_offered_upgrade_to_http_2_is_ignored(settings: Settings, store: Store, serve: Serve) -> None:
    url = await serve(settings, store)
    offer = {
        "connection": "Upgrade, HTTP2-Settings",
        "upgrade": "h2c",
        "http2-settings": "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
    }
    async with connected(url) as (reader, writer):
        for _ in range(2):
            writer.write(head(len(BODY), **offer) + BODY)
            answer = await asyncio.wait_for(reader.readuntil(b"}"), PATIENCE_SECONDS)
            assert answer.startswith(b"HTTP/1.1 202 ")


@pytest.mark.parametrize(
    "headers",
    [
        b"content-length: 4\r\ntransfer-encoding: chunked\r\n",
        b"content-length: 4\r\ncontent-length: 5\r\n",
        b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
        b"transfer-encoding : chunked\r\n",
        b"content-length: +4\r\n",
        b"x-a: b\n\rx-c: d\r\n",
    ],
)
async def test_ambiguous_request_framing_is_rejected(
    settings: Settings, store: Store, serve: Serve, headers: bytes
) -> None:
    url = await serve(settings, store)
    async with connected(url) as (reader, writer):
        writer.write(b"POST /webhooks/erp-orders HTTP/1.1\r\nhost: a\r\n" + headers + b"\r\n0\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1


async def lines_of(lines: Lines, *names: str) -> list[dict[str, Any]]:
    """Wait for the line of a delivery; return it with all other lines of these names."""
    found: list[dict[str, Any]] = []
    await until(
        lambda: found.extend(lines("delivery.received", *names)) or any("http_status" in line for line in found)
    )
    return found


async def test_pipelining_client_that_is_cut_off_leaves_one_line(
    settings: Settings, store: Store, serve: Serve, lines: Lines
) -> None:
    held = HeldStore(store)
    url = await serve(settings, held)
    async with connected(url) as (reader, writer):
        writer.write(head(len(BODY)) + BODY + b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n" * 39)
        with contextlib.suppress(OSError):
            assert await reader.read() == b""
    held.release.set()
    [line] = await lines_of(lines, "delivery.crashed", "library.logged")
    assert (line["message"], line["delivery_status"], line["http_status"]) == ("delivery.received", "queued", 499)


@pytest.mark.parametrize("trailing", [b"{", b"\0", b"GET\r\n\r\n", b"POST / HTTP/9.9\r\n\r\n"])
async def test_invalid_http_behind_a_delivery_is_answered_after_it(
    settings: Settings, store: Store, serve: Serve, lines: Lines, trailing: bytes
) -> None:
    held = HeldStore(store)
    url = await serve(settings, held)
    async with connected(url) as (reader, writer):
        writer.write(head(len(BODY)) + BODY + trailing)
        await until(lambda: held.waiting == 1)
        held.release.set()
        answer = await reader.read()
    first, _, second = answer.partition(b"}")
    assert (first.startswith(b"HTTP/1.1 202 "), second.startswith(b"HTTP/1.1 400 ")) == (True, True)
    [line] = await lines_of(lines, "delivery.crashed", "library.logged")
    assert (line["delivery_status"], line["http_status"]) == ("queued", 202)


@pytest.mark.parametrize("before", [0, 1])
async def test_body_that_is_not_valid_http_is_answered_and_logged_400(
    settings: Settings, store: Store, serve: Serve, lines: Lines, before: int
) -> None:
    url = await serve(settings, store)
    async with connected(url) as (reader, writer):
        writer.write((head(len(BODY)) + BODY) * before + head() + b"5\r\n{")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(b"no chunk size\r\n")
        answer = await reader.read()
    assert (answer.count(b"HTTP/1.1 202 "), answer.count(b"HTTP/1.1 400 ")) == (before, 1)
    statuses: list[int] = []
    await until(
        lambda: statuses.extend(line["http_status"] for line in lines("delivery.received")) or len(statuses) > before
    )
    assert statuses == [202] * before + [400]


async def test_sender_that_closes_its_side_is_logged_as_disconnected(
    settings: Settings, store: Store, serve: Serve, lines: Lines
) -> None:
    held = HeldStore(store)
    url = await serve(settings, held)
    async with connected(url) as (reader, writer):
        writer.write(head(len(BODY)) + BODY)
        await until(lambda: held.waiting == 1)
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), PATIENCE_SECONDS) == b""
        held.release.set()
        [line] = await lines_of(lines, "delivery.crashed", "library.logged")
    assert (line["delivery_status"], line["http_status"]) == ("queued", 499)
