"""Idle timeouts: clients that do not read, and incomplete heads and bodies."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Mapping

import aiohttp
import pytest

from service.ingestion.sources import Source
from service.ingress.app import build_app
from service.ingress.http.idle_timeouts import ConnectionTimeouts
from service.ingress.server import Listener
from service.listening_socket import bind
from service.settings import Settings
from service.store import Store
from tests.service.ingress.conftest import Order, Serve, encode, signed
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.slow

BODY = encode(Order("1"))
HEAD = b"POST /webhooks/erp-orders HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
QUICK = ConnectionTimeouts(head_timeout_seconds=0.2, body_timeout_seconds=0.2, reader_timeout_seconds=0.2)


async def fill(peer: socket.socket, sent: bytes, seconds: float = 10.0) -> float:
    """Send requests without reading responses; return the seconds until the server closed the connection."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                await loop.sock_sendall(peer, sent)
                await asyncio.sleep(0.004)  # one by one: pipelined requests would be aborted
    return loop.time() - began


async def test_client_that_does_not_read_is_disconnected(
    make_settings: Callable[..., Settings], store: Store, sources: Mapping[str, Source], client: aiohttp.ClientSession
) -> None:
    limits = {"requests_in_flight_max": 2, "body_timeout_seconds": 0.3, "address_rejections_per_second_max": 0}
    settings = make_settings(**limits, quarantine_deliveries_max=0)
    sent = HEAD + b"x-signature: 00\r\ncontent-length: 2\r\n\r\n{}"
    with bind("127.0.0.1", 0, "WAYBILL_PORT") as port, socket.socket() as first, socket.socket() as second:
        port.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)  # small, to fill it quickly
        listener = Listener(build_app(settings, sources, store), port, settings)
        await listener.start()
        for peer in (first, second):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
            peer.setblocking(False)  # noqa: FBT003 - the standard library has no name for it
            await asyncio.get_running_loop().sock_connect(peer, ("127.0.0.1", listener.port))
        assert max(await asyncio.gather(fill(first, sent), fill(second, sent))) < 8
        url = f"http://127.0.0.1:{listener.port}/webhooks/erp-orders"
        async with client.post(url, data=BODY, headers=signed(BODY)) as response:
            assert response.status == 202
        await listener.stop()


async def test_keep_alive_timeout_is_longer_than_the_head_timeout(
    make_settings: Callable[..., Settings], store: Store, serve: Serve
) -> None:
    url = await serve(make_settings(body_timeout_seconds=0.2), store)
    idle = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    incomplete = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    sent = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n"
    for reader, writer in (idle, incomplete):
        writer.write(sent)
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200 ")
    incomplete[1].write(b"GET /healthz HTTP/1.1\r\n")
    assert await asyncio.wait_for(incomplete[0].read(), PATIENCE_SECONDS) == b""
    idle[1].write(sent)
    assert (await asyncio.wait_for(idle[0].readuntil(b"}"), PATIENCE_SECONDS)).startswith(b"HTTP/1.1 200 ")
    for _, writer in (idle, incomplete):
        writer.close()


STATES = [
    (b"GET /healthz HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{", b"HTTP/1.1 200 "),
    (HEAD + b"content-length: 100\r\n\r\n{", b""),
    (HEAD + b"x-more", b""),
    (b"", b""),
]
"""Bytes that a connection sends before it is idle, and the start of the answer."""


async def test_idle_connections_are_closed_in_every_state(
    settings: Settings, store: Store, sources: Mapping[str, Source]
) -> None:
    async def answer(sent: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(sent)
        async with asyncio.timeout(PATIENCE_SECONDS):
            received = await reader.read()
        writer.close()
        return received

    with bind("127.0.0.1", 0, "WAYBILL_ADMIN_PORT") as port:
        listener = Listener(build_app(settings, sources, store), port, settings, QUICK)
        await listener.start()
        answers = await asyncio.gather(*(answer(sent) for sent, _ in STATES))
        await listener.stop()
    for received, (_, expected) in zip(answers, STATES, strict=True):
        assert received.startswith(expected) if expected else not received
