"""Too many connections: the one that waits the longest is closed, first of clients above their share."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable

import aiohttp
import pytest

from service.metrics.families import CONNECTIONS_CLOSED
from service.settings import Settings
from service.store import Store
from tests.service.ingress.conftest import Lines, Order, Serve, Start, encode, signed
from tests.service.ingress.test_rejections import HeldStore
from tests.waiting import PATIENCE_SECONDS, until

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[str, str], Awaitable[Connection]]
PROBE = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n"
ATTACKER, SENDER = "127.0.0.1", "127.0.0.2"


@pytest.fixture
async def connect() -> AsyncGenerator[Connect]:
    """Return a function that connects from an address and makes one request."""
    writers: list[asyncio.StreamWriter] = []

    async def open_from(url: str, address: str) -> Connection:
        port = int(url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
        writers.append(writer)
        assert await is_served((reader, writer))
        return reader, writer

    yield open_from
    for writer in writers:
        writer.close()


async def is_served(connection: Connection) -> bool:
    """Make a request; return false if the connection is closed."""
    reader, writer = connection
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        writer.write(PROBE)
        async with asyncio.timeout(PATIENCE_SECONDS):
            return (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200 ")
    return False


@pytest.mark.slow
async def test_idle_connections_keep_nobody_out(
    *,
    make_settings: Callable[..., Settings],
    store: Store,
    serve: Serve,
    client: aiohttp.ClientSession,
    connect: Connect,
    lines: Lines,
) -> None:
    url = await serve(make_settings(connections_max=20), store)
    before = CONNECTIONS_CLOSED.values.get(("waiting",), 0)
    for _ in range(20):
        await connect(url, ATTACKER)
    for number in range(20):
        body = encode(Order(str(number)))
        headers = {**signed(body), "connection": "close"}
        async with client.post(f"{url}/webhooks/erp-orders", data=body, headers=headers) as response:
            assert response.status == 202
    closed = CONNECTIONS_CLOSED.values.get(("waiting",), 0) - before
    assert closed >= 1
    found: list[dict[str, object]] = []
    await until(lambda: bool(found.extend(lines("connections.exhausted")) or found))
    assert (found[0]["connections_max"], found[0]["connections_rejected"]) == (20, 0)


@pytest.mark.parametrize(("trusted", "stays"), [("", True), (ATTACKER, False)], ids=["client", "trusted proxy"])
async def test_client_above_its_share_is_closed_first(
    *,
    trusted: str,
    stays: bool,
    make_settings: Callable[..., Settings],
    store: Store,
    serve: Serve,
    connect: Connect,
) -> None:
    url = await serve(make_settings(connections_max=8, trusted_proxies=trusted), store)
    sender = await connect(url, SENDER)
    attacking = [await connect(url, ATTACKER) for _ in range(8)]
    assert await is_served(attacking[-1])
    if stays:
        assert not await is_served(attacking[0])
    assert await is_served(sender) is stays


async def test_connection_with_a_running_request_is_never_closed(
    make_settings: Callable[..., Settings], store: Store, serve: Serve, client: aiohttp.ClientSession, connect: Connect
) -> None:
    held, body = HeldStore(store), encode(Order("1"))
    url = await serve(make_settings(connections_max=1), held)
    delivery = asyncio.create_task(
        client.post(f"{url}/webhooks/erp-orders", data=body, headers=signed(body))  # type: ignore[arg-type]
    )
    await until(lambda: held.waiting == 1)
    with pytest.raises((AssertionError, OSError)):
        await connect(url, SENDER)
    held.release.set()
    async with await delivery as response:
        assert response.status == 202
    assert await is_served(await connect(url, SENDER))  # the idle connection of the delivery is closed


@pytest.mark.slow
async def test_connections_stay_within_the_limit_of_open_files(
    start: Start, valkey_url: str, client: aiohttp.ClientSession
) -> None:
    process = await start(redis_url=valkey_url, files=400, store_connections_max=4)
    limited = await process.line("connections.limited")
    assert (limited["connections_max"], limited["files_max"]) == ((400 - 256 - 4) // 2, 400)
    started = await process.line("process.started")
    with contextlib.ExitStack() as stack:
        for _ in range(400):
            stack.enter_context(socket.create_connection(("127.0.0.1", started["port"])))
        for port in (started["port"], started["admin_port"]):
            async with client.get(f"http://127.0.0.1:{port}/healthz") as response:
                assert response.status == 200
