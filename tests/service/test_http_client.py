"""HTTP client against real servers with faults."""

import asyncio
import contextlib
import gzip
import re
import socket
import ssl
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from service.errors import LeaseLost, PermanentError, TransientError
from service.http_client import HttpClient, HttpResponse, TransportOptions
from service.lease import ActionLease, Lease, action_lease
from service.settings import Settings
from tests.certificates import write_server_certificate
from tests.open_file_limit import no_free_files
from tests.service.http_responses import UNREADABLE, server_of

CERTIFICATE = Path(__file__).parents[1] / "samples" / "tls" / "untrusted.pem"

Handler = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
"""Gets the request's head."""


@asynccontextmanager
async def serving(handle: Handler, tls: ssl.SSLContext | None = None) -> AsyncGenerator[str, None]:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not writer.is_closing():
                await handle(await reader.readuntil(b"\r\n\r\n"), writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def get(
    outbound: HttpClient, url: str, *, bytes_max: int = 1000, seconds: float = 5, guarded: bool = False
) -> HttpResponse:
    return await outbound.request(
        "GET", url, headers={}, body=None, seconds_max=seconds, bytes_max=bytes_max, guarded=guarded
    )


def answering(body: bytes, *headers: str, status: str = "200 OK") -> Handler:
    async def handle(_: bytes, writer: asyncio.StreamWriter) -> None:
        head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
        writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)

    return handle


async def test_closed_port_is_a_transient_connect_error(outbound: HttpClient, free_port: int) -> None:
    with pytest.raises(TransientError) as raised:
        await get(outbound, f"http://127.0.0.1:{free_port}/?secret=s3cret")
    assert raised.value.kind == "connect"
    assert "s3cret" not in str(raised.value)
    assert str(raised.value) == f"cannot connect to 127.0.0.1:{free_port}"


async def test_call_without_a_free_file_is_a_connect_error_and_so_was_not_sent(outbound: HttpClient) -> None:
    async with serving(answering(b"{}")) as url:
        with no_free_files(), pytest.raises(TransientError) as raised:
            await get(outbound, url)
        assert raised.value.kind == "connect"
        assert (await get(outbound, url)).status == 200


async def test_unknown_host_is_a_transient_connect_error(outbound: HttpClient) -> None:
    with pytest.raises(TransientError) as raised:
        await get(outbound, "http://nowhere.invalid/")
    assert raised.value.kind == "connect"


async def test_reset_connection_is_transient(outbound: HttpClient) -> None:
    async def reset(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with serving(reset) as url:
        with pytest.raises(TransientError) as raised:
            await get(outbound, url)
    assert raised.value.kind == "reset"


async def test_incomplete_response_is_transient(outbound: HttpClient) -> None:
    async def cut(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        writer.close()

    async with serving(cut) as url:
        with pytest.raises(TransientError) as raised:
            await get(outbound, url)
    assert raised.value.kind == "reset"


async def test_slow_response_is_a_timeout(outbound: HttpClient) -> None:
    async def drip(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(0.02)

    started = time.monotonic()
    async with serving(drip) as url:
        with pytest.raises(TransientError) as raised:
            await get(outbound, url, seconds=0.3)
    assert raised.value.kind == "timeout"
    assert time.monotonic() - started < 20  # all of the answer would take that


async def test_missing_response_is_a_timeout(outbound: HttpClient) -> None:
    async def silent(_: bytes, __: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async with serving(silent) as url:
        with pytest.raises(TransientError) as raised:
            await get(outbound, url, seconds=0.1)
    assert raised.value.kind == "timeout"


async def test_large_response_is_permanent(outbound: HttpClient) -> None:
    async with serving(answering(b"x" * 10_485_760)) as url:
        with pytest.raises(PermanentError) as raised:
            await get(outbound, url, bytes_max=1_048_576)
    assert raised.value.kind == "response_too_large"
    assert raised.value.http_status == 200


async def test_endless_response_is_stopped_at_the_limit(outbound: HttpClient) -> None:
    async def endless(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
            await writer.drain()

    async with serving(endless) as url:
        with pytest.raises(PermanentError) as raised:
            await get(outbound, url, bytes_max=100_000)
    assert raised.value.kind == "response_too_large"


async def test_limit_counts_decompressed_bytes(outbound: HttpClient) -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    async with serving(answering(bomb, "Content-Encoding: gzip")) as url:
        with pytest.raises(PermanentError) as raised:
            await get(outbound, url, bytes_max=len(bomb) + 1)
    assert raised.value.kind == "response_too_large"


async def test_response_of_exactly_the_limit_is_accepted(outbound: HttpClient) -> None:
    async with serving(answering(b"x" * 1000)) as url:
        assert (await get(outbound, url, bytes_max=1000)).body == b"x" * 1000
        with pytest.raises(PermanentError):
            await get(outbound, url, bytes_max=999)


async def test_https_to_a_server_without_tls_is_a_tls_error(outbound: HttpClient) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    with pytest.raises(TransientError) as raised:
        await get(outbound, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    server.close()
    assert raised.value.kind == "tls"


async def test_untrusted_certificate_is_a_tls_error(outbound: HttpClient) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    async with serving(answering(b""), tls=context) as url:
        with pytest.raises(TransientError) as raised:
            await get(outbound, url)
    assert raised.value.kind == "tls"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
async def test_response_with_wrong_encoding_is_a_protocol_error(outbound: HttpClient, coding: str) -> None:
    async def packed(_: bytes, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: 9\r\n\r\n"
        writer.write(head.encode() + b"notpacked")

    async with serving(packed) as url:
        with pytest.raises(TransientError, match="cannot be decompressed") as raised:
            await get(outbound, url)
    assert raised.value.kind == "protocol"


async def test_response_that_is_not_http_is_a_protocol_error(outbound: HttpClient) -> None:
    async def smtp(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n\r\n")

    async with serving(smtp) as url:
        with pytest.raises(TransientError) as raised:
            await get(outbound, url)
    assert raised.value.kind == "protocol"


@pytest.mark.parametrize("url", ["", "erp", "ftp://erp.example.com/", "http://", "http://[::1", "http://2130706433/"])
async def test_invalid_url_is_permanent(outbound: HttpClient, url: str) -> None:
    with pytest.raises(PermanentError) as raised:
        await get(outbound, url)
    assert raised.value.kind == "invalid_url"


async def test_header_injection_is_permanent(outbound: HttpClient) -> None:
    async with serving(answering(b"")) as url:
        with pytest.raises(PermanentError) as raised:
            await outbound.request(
                "GET", url, headers={"X-A": "1\r\nX-B: 2"}, body=None, seconds_max=5, bytes_max=10, guarded=False
            )
    assert raised.value.kind == "invalid_request"


async def test_redirect_is_not_followed(outbound: HttpClient) -> None:
    async with serving(answering(b"", "Location: http://127.0.0.1:1/", status="302 Found")) as url:
        answer = await get(outbound, url)
    assert (answer.status, answer.headers["location"]) == (302, "http://127.0.0.1:1/")


async def test_cookies_and_proxy_variables_are_ignored(outbound: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1/")
    heads: list[bytes] = []

    async def remember(head: bytes, writer: asyncio.StreamWriter) -> None:
        heads.append(head)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: session=1; Path=/\r\n\r\n")

    async with serving(remember) as url:
        await get(outbound, url)
        await get(outbound, url)
    assert len(heads) == 2
    assert b"cookie" not in heads[1].lower()


async def test_sequential_calls_reuse_the_connection(outbound: HttpClient) -> None:
    peers: set[object] = set()

    async def remember(_: bytes, writer: asyncio.StreamWriter) -> None:
        peers.add(writer.get_extra_info("peername"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with serving(remember) as url:
        for _ in range(5):
            assert (await get(outbound, url)).body == b"ok"
    assert len(peers) == 1


async def test_guarded_call_blocks_loopback_address_and_name(outbound: HttpClient) -> None:
    async with serving(answering(b"ours")) as url:
        for host in ("127.0.0.1", "localhost", "LOCALHOST", "[::ffff:127.0.0.1]"):
            with pytest.raises(PermanentError) as raised:
                await get(outbound, url.replace("127.0.0.1", host), guarded=True)
            assert raised.value.kind == "address_blocked"


async def test_guarded_call_does_not_reuse_unguarded_connections(outbound: HttpClient) -> None:
    async with serving(answering(b"ours")) as url:
        named = url.replace("127.0.0.1", "localhost")
        assert (await get(outbound, named)).body == b"ours"
        with pytest.raises(PermanentError) as raised:
            await get(outbound, named, guarded=True)
    assert raised.value.kind == "address_blocked"


@pytest.mark.parametrize("allowed", ["localhost", "127.0.0.1"])
async def test_guarded_call_reaches_allowed_hosts(allowed: str) -> None:
    async with serving(answering(b"ours")) as url, HttpClient(Settings(), frozenset({allowed})) as outbound:
        answer = await get(outbound, url.replace("127.0.0.1", allowed), guarded=True)
    assert answer.body == b"ours"


async def test_request_and_response_are_complete(outbound: HttpClient) -> None:
    async def echo(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 418 Teapot\r\nX-Seen: " + str(b"Idempotency-Key: k1" in head).encode())
        writer.write(b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with serving(echo) as url:
        answer = await outbound.request(
            "POST", url, headers={"Idempotency-Key": "k1"}, body=b"{}", seconds_max=5, bytes_max=10, guarded=False
        )
    assert (answer.status, answer.headers["x-seen"], answer.body) == (418, "True", b"")
    assert 0 < answer.duration_ms < 5000


async def test_cancelled_call_raises_cancelled_error(outbound: HttpClient) -> None:
    async def silent(_: bytes, __: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async with serving(silent) as url:
        call = asyncio.create_task(get(outbound, url))
        await asyncio.sleep(0.05)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


@pytest.fixture
def lease() -> Iterator[Lease]:
    """Return a valid lease of the running test."""
    lease = Lease(time.monotonic(), 3_600)
    token = action_lease.set(ActionLease(lease))
    yield lease
    action_lease.reset(token)


@pytest.mark.parametrize(
    ("method", "is_unsafe", "calls"), [("GET", False, 3), ("POST", False, 2), ("PUT", False, 3), ("PUT", True, 2)]
)
async def test_only_idempotent_calls_are_repeated_on_a_closed_connection(
    outbound: HttpClient, lease: Lease, method: str, *, is_unsafe: bool, calls: int
) -> None:
    seen: list[bytes] = []

    async def die_at_the_second(_: bytes, writer: asyncio.StreamWriter) -> None:
        seen.append(b"")
        if len(seen) > 1:
            writer.transport.abort()
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with serving(die_at_the_second) as url:
        await get(outbound, url)
        action_lease.set(ActionLease(lease, is_unsafe=is_unsafe))
        with pytest.raises(TransientError) as raised:
            await outbound.request(method, url, headers={}, body=None, seconds_max=5, bytes_max=10, guarded=False)
    assert (len(seen), raised.value.kind) == (calls, "reset")


@pytest.mark.parametrize("size", [0, 1, 1_048_576, 3_000_000])
async def test_bodies_of_all_sizes_are_sent_completely(outbound: HttpClient, size: int) -> None:
    async def measure(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(
            next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")).split()[1]
        )
        body = await reader.readexactly(length)
        answer = str(body.count(b"x")).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(measure, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    answer = await outbound.request(
        "POST", url, headers={}, body=b"x" * size, seconds_max=5, bytes_max=100, guarded=False
    )
    server.close()
    assert answer.body == str(size).encode()


async def post(outbound: HttpClient, url: str, *, body_needed: bool) -> HttpResponse:
    return await outbound.request(
        "POST", url, headers={}, body=b"{}", seconds_max=5, bytes_max=65_536, guarded=False, body_needed=body_needed
    )


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "422 No", "500 Error"])
@pytest.mark.parametrize("rest", UNREADABLE)
async def test_status_decides_if_the_body_is_not_needed(outbound: HttpClient, rest: str, status: str) -> None:
    async with server_of(UNREADABLE[rest](status)) as (url, requests):
        answer = await post(outbound, url, body_needed=False)
    assert answer.status == int(status[:3])
    assert len(requests) == 1


@pytest.mark.parametrize("status", ["422 No", "500 Error", "503 Error"])
@pytest.mark.parametrize("rest", UNREADABLE)
async def test_status_of_an_error_decides_if_the_body_is_needed(outbound: HttpClient, rest: str, status: str) -> None:
    async with server_of(UNREADABLE[rest](status)) as (url, _):
        assert (await post(outbound, url, body_needed=True)).status == int(status[:3])


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found"])
@pytest.mark.parametrize("rest", UNREADABLE)
async def test_unreadable_body_that_is_needed_is_an_error_with_the_status(
    outbound: HttpClient, rest: str, status: str
) -> None:
    async with server_of(UNREADABLE[rest](status)) as (url, _):
        with pytest.raises((TransientError, PermanentError)) as raised:
            await post(outbound, url, body_needed=True)
    assert raised.value.http_status == int(status[:3])


async def test_timeout_in_a_body_that_is_not_needed_is_no_error(outbound: HttpClient) -> None:
    async def stop(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()
        await asyncio.sleep(30)

    async with serving(stop) as url:
        answer = await outbound.request(
            "GET", url, headers={}, body=None, seconds_max=0.5, bytes_max=99, guarded=False, body_needed=False
        )
    assert (answer.status, answer.body) == (200, b"half")


async def test_status_after_an_interim_response_decides(outbound: HttpClient) -> None:
    response = b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\n{}"
    async with server_of(response) as (url, _):
        assert (await post(outbound, url, body_needed=False)).status == 200
        with pytest.raises(TransientError, match="cannot be decompressed") as raised:
            await post(outbound, url, body_needed=True)
    assert (raised.value.kind, raised.value.http_status) == ("protocol", 200)


async def test_status_is_unknown_if_the_parser_fails_after_an_interim_response(outbound: HttpClient) -> None:
    async with server_of(b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n220 mail.example.com\r\n\r\n") as (url, _):
        with pytest.raises(TransientError) as raised:
            await post(outbound, url, body_needed=False)
    assert (raised.value.kind, raised.value.http_status) == ("protocol", None)


async def test_status_of_an_earlier_response_is_not_used(outbound: HttpClient) -> None:
    responses = [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"220 mail.example.com ESMTP\r\n\r\n"]

    async def respond(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(responses.pop(0))

    async with serving(respond) as url:
        await get(outbound, url)
        with pytest.raises(TransientError) as raised:
            await get(outbound, url)
    assert (raised.value.kind, raised.value.http_status) == ("protocol", None)


async def test_response_with_large_and_many_headers_is_read(outbound: HttpClient) -> None:
    headers = [f"X-{number}: 1" for number in range(240)]
    async with serving(answering(b"{}", "X-Long: " + "x" * 32_000, *headers)) as url:
        answer = await get(outbound, url)
    assert (len(answer.headers["x-long"]), answer.headers["x-239"], answer.body) == (32_000, "1", b"{}")


@pytest.mark.parametrize("body", [None, b"{}", bytes(2_000_000)], ids=["no body", "body", "stream"])
async def test_request_under_an_expired_lease_is_not_sent(
    outbound: HttpClient, lease: Lease, body: bytes | None
) -> None:
    received: list[bytes] = []

    async def handle(head: bytes, writer: asyncio.StreamWriter) -> None:
        received.append(head)
        await answering(b"{}", "Connection: close")(head, writer)

    async def put(url: str) -> HttpResponse:
        return await outbound.request(
            "PUT", url, headers={}, body=body, seconds_max=5, bytes_max=1000, guarded=False, body_needed=False
        )

    async with serving(handle) as url:
        lease.expires_at = time.monotonic()
        with pytest.raises(LeaseLost, match="before the request was sent"):
            await put(url)
        lease.expires_at = time.monotonic() + 3_600
        assert (await put(url)).status == 200
    assert len(received) == 1


async def test_lease_is_checked_in_the_step_that_writes_head_and_body(
    lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    received: list[bytes] = []

    def resolve_and_expire(_: str, port: int, **__: Any) -> list[Any]:
        lease.expires_at = time.monotonic()
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    async def handle(head: bytes, writer: asyncio.StreamWriter) -> None:
        received.append(head)
        await answering(b"{}")(head, writer)

    monkeypatch.setattr("service.name_resolver.NameResolver.__init__.__defaults__", (resolve_and_expire,))
    async with serving(handle) as url, HttpClient(Settings()) as outbound:
        with pytest.raises(LeaseLost):
            await outbound.request(
                "PUT", url.replace("127.0.0.1", "erp.test"), headers={}, body=b"{}", seconds_max=5, bytes_max=1000,
                guarded=False, body_needed=False,
            )  # fmt: skip
        await asyncio.sleep(0.05)
    assert received == []


@pytest.mark.parametrize("loop", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_large_bodies_are_sent_over_tls(loop: Callable[[Coroutine[Any, Any, None]], None], tmp_path: Path) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*write_server_certificate(tmp_path))
    trusted = TransportOptions(tls=ssl.create_default_context(cafile=str(tmp_path / "ca.pem")))

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(int(re.findall(rb"(?i)content-length: (\d+)", head)[0]))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async def send() -> None:
        server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
        url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
        async with HttpClient(Settings()) as client:
            for size in (10, 900_000, 3_000_000, 200_000):
                answer = await client.request(
                    "POST", url, headers={}, body=bytes(size), seconds_max=30, bytes_max=10, guarded=False,
                    transport=trusted,
                )  # fmt: skip
                assert answer.status == 200
        server.close()

    loop(send())
