"""How long a connection may keep a port waiting: a reader that never reads, a head or a body that never comes."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Mapping

import aiohttp
import pytest

from service.ingestion.sources import Source
from service.ingress.app import build_app
from service.ingress.http.idle_timeouts import ConnectionTimeouts
from service.ingress.server import Listener, bind
from service.settings import Settings
from service.store import Store
from tests.service.ingress.conftest import Order, Serve, encode, signed
from tests.waiting import PATIENCE_SECONDS

BODY = encode(Order("1"))
HEAD = b"POST /webhooks/erp-orders HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
QUICK = ConnectionTimeouts(head_timeout_seconds=0.2, body_timeout_seconds=0.2, reader_timeout_seconds=0.2)


async def fill(peer: socket.socket, request: bytes, seconds: float = 10.0) -> float:
    """Ask again and again without reading one answer; give how many seconds passed until the server ended it."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                await loop.sock_sendall(peer, request)
                await asyncio.sleep(0.004)  # one by one: many in one segment would be cut off for that
    return loop.time() - began


async def test_who_never_reads_the_answers_holds_no_place_among_the_requests(
    make_settings: Callable[..., Settings], store: Store, sources: Mapping[str, Source], client: aiohttp.ClientSession
) -> None:
    limits = {"requests_in_flight_max": 2, "body_timeout_seconds": 0.3, "address_rejections_per_second_max": 0}
    settings = make_settings(**limits, quarantine_deliveries_max=0)
    request = HEAD + b"x-signature: 00\r\ncontent-length: 2\r\n\r\n{}"
    with bind("127.0.0.1", 0, "WAYBILL_PORT") as port, socket.socket() as first, socket.socket() as second:
        port.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)  # so that little need be sent to fill it
        listener = Listener(build_app(settings, sources, store), port, settings)
        await listener.start()
        for peer in (first, second):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
            peer.setblocking(False)  # noqa: FBT003 - the standard library takes it by position
            await asyncio.get_running_loop().sock_connect(peer, ("127.0.0.1", listener.port))
        assert max(await asyncio.gather(fill(first, request), fill(second, request))) < 8
        url = f"http://127.0.0.1:{listener.port}/webhooks/erp-orders"
        async with client.post(url, data=BODY, headers=signed(BODY)) as response:
            assert response.status == 202
        await listener.stop()


async def test_a_connection_between_two_requests_may_wait_longer_than_one_in_the_middle_of_a_head(
    make_settings: Callable[..., Settings], store: Store, serve: Serve
) -> None:
    url = await serve(make_settings(body_timeout_seconds=0.2), store)
    patient = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    hasty = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    asked = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n"
    for reader, writer in (patient, hasty):
        writer.write(asked)
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200 ")
    hasty[1].write(b"GET /healthz HTTP/1.1\r\n")
    assert await asyncio.wait_for(hasty[0].read(), PATIENCE_SECONDS) == b""
    patient[1].write(asked)
    assert (await asyncio.wait_for(patient[0].readuntil(b"}"), PATIENCE_SECONDS)).startswith(b"HTTP/1.1 200 ")
    for _, writer in (patient, hasty):
        writer.close()


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        (b"GET /healthz HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{", b"HTTP/1.1 200 "),
        (HEAD + b"content-length: 100\r\n\r\n{", b""),
        (HEAD + b"x-more", b""),
        (b"", b""),
    ],
)
async def test_a_port_waits_for_nothing_for_ever_whatever_its_handlers_do(
    settings: Settings, store: Store, sources: Mapping[str, Source], asked: bytes, answered: bytes
) -> None:
    with bind("127.0.0.1", 0, "WAYBILL_ADMIN_PORT") as port:
        listener = Listener(build_app(settings, sources, store), port, settings, QUICK)
        await listener.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(asked)
        async with asyncio.timeout(PATIENCE_SECONDS):
            answer = await reader.read()
        assert answer.startswith(answered) if answered else not answer
        writer.close()
        await listener.stop()
