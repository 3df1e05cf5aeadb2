"""TLS, client certificates and proxies of the HTTP client, on both event loops."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import h11
import pytest
import uvloop

from service.egress import ProxyRoute
from service.errors import TransientError
from service.exchange import Exchange
from service.http_client import HttpClient, TransportOptions
from service.http_url import parse_http_url
from service.settings import Settings
from tests.certificates import write_server_certificate
from tests.service.http_client.servers import byte_server, call, conforming_server, read_head

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    return request.param


@pytest.fixture
def server_tls(tmp_path: Path) -> ssl.SSLContext:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*write_server_certificate(tmp_path))
    return tls


@pytest.fixture
def client_tls(server_tls: ssl.SSLContext, tmp_path: Path) -> ssl.SSLContext:
    _ = server_tls
    return ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))


def respond(_: h11.Request, body: bytes) -> list[h11.Event]:
    head = h11.Response(status_code=200, headers=[("Content-Length", str(len(body)))])
    return [head, h11.Data(data=body), h11.EndOfMessage()]


def test_connections_with_tls_are_reused(run: Run, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    async def main() -> None:
        async with conforming_server(respond, server_tls) as server, HttpClient(Settings()) as client:
            for size in (0, 10, 70_000, 2_000_000, 10):
                exchange = Exchange()
                answer = await call(
                    client, server.url, "POST", body=b"x" * size, transport=TransportOptions(tls=client_tls),
                    exchange=exchange, bytes_max=10_000_000,
                )  # fmt: skip
                assert answer.body == b"x" * size
                assert exchange.connection.tls is not None
                assert exchange.connection.tls.version == "TLSv1.3"
            assert server.connections == 1
            concurrent = [
                call(client, server.url, "POST", body=b"%d" % n, transport=TransportOptions(tls=client_tls))
                for n in range(30)
            ]
            assert [answer.body for answer in await asyncio.gather(*concurrent)] == [b"%d" % n for n in range(30)]

    run(main())


def test_certificate_for_another_host_is_a_tls_error(
    run: Run, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async def main() -> None:
        async with conforming_server(respond, server_tls) as server, HttpClient(Settings()) as client:
            with pytest.raises(TransientError) as raised:
                await call(
                    client, server.url.replace("localhost", "127.0.0.1"), transport=TransportOptions(tls=client_tls)
                )
            assert raised.value.kind == "tls"
            with pytest.raises(TransientError) as raised:
                await call(client, server.url)
            assert raised.value.kind == "tls"

    run(main())


def test_client_certificate_is_sent(
    run: Run, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext, tmp_path: Path
) -> None:
    server_tls.load_verify_locations(tmp_path / "ca.pem")
    server_tls.verify_mode = ssl.CERT_REQUIRED
    presenting = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    presenting.load_cert_chain(tmp_path / "leaf.pem", tmp_path / "leaf.key")

    async def main() -> None:
        async with conforming_server(respond, server_tls) as server, HttpClient(Settings()) as client:
            assert (await call(client, server.url, transport=TransportOptions(tls=presenting))).status == 200
            with pytest.raises(TransientError) as raised:
                await call(client, server.url, transport=TransportOptions(tls=client_tls))
            assert raised.value.kind in {"tls", "reset"}  # TLS 1.3 checks the client after its handshake

    run(main())


def test_handshake_that_hangs_ends_at_the_connect_timeout(run: Run) -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter, __: int) -> None:
        await reader.read()

    async def main() -> None:
        async with byte_server(silent) as url, HttpClient(Settings()) as client:
            with pytest.raises(TransientError, match="timed out") as raised:
                await call(client, url.replace("http", "https"), transport=TransportOptions(0.1))
            assert raised.value.kind == "connect"

    run(main())


@pytest.mark.parametrize("is_clean", [True, False])
def test_close_in_the_body_is_a_reset_with_tls_too(
    run: Run, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext, *, is_clean: bool
) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()
        if not is_clean:
            writer.transport.abort()

    async def main() -> None:
        async with byte_server(cut, server_tls) as url, HttpClient(Settings()) as client:
            with pytest.raises(TransientError) as raised:
                await call(client, url, transport=TransportOptions(tls=client_tls))
            assert raised.value.kind == "reset"

    run(main())


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter, bytes], Awaitable[None]]


@asynccontextmanager
async def proxy_of(answer: Answer) -> AsyncGenerator[TransportOptions]:
    """Run a proxy, and yield options that use it."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        await answer(reader, writer, await read_head(reader))

    async with byte_server(handle) as url:
        route = ProxyRoute(parse_http_url(url.replace("://", "://user:s3cret@")), "destinations.erp.proxy")
        yield TransportOptions(0.5, proxy=route)


async def _tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
    port = int(head.split(b" ")[1].rpartition(b":")[2])
    target_reader, target_writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"HTTP/1.1 200 OK\r\nX-Proxy: 1\r\n\r\n")

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            target.write(data)
        target.close()

    try:
        await asyncio.gather(copy(reader, target_writer), copy(target_reader, writer))
    finally:
        target_writer.transport.abort()


def test_tunnel_is_reused_and_the_target_gets_no_credentials_of_the_proxy(
    run: Run, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    heads: list[h11.Request] = []

    def remember(request: h11.Request, body: bytes) -> list[h11.Event]:
        heads.append(request)
        return respond(request, body)

    async def main() -> None:
        async with (
            conforming_server(remember, server_tls) as server,
            proxy_of(_tunnel) as options,
            HttpClient(Settings()) as client,
        ):
            secured = TransportOptions(5, client_tls, options.proxy)
            for size in (10, 300_000, 10):
                answer = await call(client, server.url, "POST", body=b"x" * size, transport=secured, bytes_max=300_000)
                assert answer.body == b"x" * size
            assert server.connections == 1

    run(main())
    assert [request.target for request in heads] == [b"/", b"/", b"/"]
    assert b"proxy-authorization" not in {name for request in heads for name, _ in request.headers}


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (b"HTTP/1.1 407 Authenticate\r\nContent-Length: 0\r\n\r\n", "status 407 to CONNECT"),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", "status 302 to CONNECT"),
        (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "cannot connect"),
        (b"220 mail.example.com\r\n\r\n", "status 0 to CONNECT"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 40_000, "cannot connect"),
        (b"HTTP/1.1 200 OK\r\n", "cannot connect"),
        (b"", "cannot connect"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "cannot connect"),
    ],
)
def test_proxy_without_a_tunnel_is_a_connect_error(run: Run, response: bytes, reason: str) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter, __: bytes) -> None:
        writer.write(response)
        await writer.drain()

    async def main() -> None:
        async with proxy_of(answer) as options, HttpClient(Settings()) as client:
            with pytest.raises(TransientError, match=reason) as raised:
                await call(client, "https://erp.invalid/", transport=options)
            assert raised.value.kind == "connect"
            assert "s3cret" not in str(raised.value)

    run(main())


def test_proxy_that_hangs_ends_at_the_deadline(run: Run) -> None:
    async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter, __: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read()

    async def main() -> None:
        async with proxy_of(hang) as options, HttpClient(Settings()) as client:
            with pytest.raises(TransientError, match="timed out") as raised:
                await call(client, "https://erp.invalid/", transport=options, seconds_max=0.1)
            assert raised.value.kind == "connect"

    run(main())
