"""Pool of the HTTP client: limits, waiting calls, and idle connections."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from service.errors import TransientError
from service.exchange import Exchange
from service.http_client import HttpClient, TransportOptions
from service.http_client.connection import Connection
from service.http_client.pool import ConnectionPool, ConnectionRoute, Origin
from service.settings import Settings
from tests.service.http_client.servers import byte_server, call, read_head
from tests.waiting import until


class HeldServer:
    """Server that answers while `is_open`, and counts its connections and requests."""

    def __init__(self) -> None:
        self.is_open = asyncio.Event()
        self.connections: list[int] = []
        self.running = self.requests = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self.connections.append(number)
        self.running += 1
        try:
            while await read_head(reader):
                self.requests += 1
                await self.is_open.wait()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        finally:
            self.running -= 1


@asynccontextmanager
async def held_servers(count: int) -> AsyncGenerator[list[tuple[HeldServer, str]]]:
    made = [HeldServer() for _ in range(count)]
    async with byte_server(made[0].handle) as first, byte_server(made[-1].handle) as last:
        yield list(zip(made, (first, last), strict=False))


async def test_number_of_connections_to_one_origin_is_limited() -> None:
    async with held_servers(1) as [(held, url)], HttpClient(Settings(concurrency=2)) as client:
        calls = [asyncio.create_task(call(client, url)) for _ in range(9)]
        await until(lambda: held.requests == 4)
        with pytest.raises(TransientError, match="timed out") as raised:
            await call(client, url, seconds_max=0.05)
        assert (raised.value.kind, held.requests) == ("connect", 4)
        held.is_open.set()
        assert {(await each).status for each in calls} == {200}
        assert len(held.connections) == 4


async def test_origin_at_its_limit_does_not_delay_another_one() -> None:
    async with held_servers(2) as [(hanging, first), (healthy, last)], HttpClient(Settings(concurrency=2)) as client:
        healthy.is_open.set()
        calls = [asyncio.create_task(call(client, first)) for _ in range(9)]
        await until(lambda: hanging.requests == 4)
        for _ in range(5):
            assert (await call(client, last)).status == 200
        assert len(healthy.connections) == 1
        for each in calls:
            each.cancel()


@asynccontextmanager
async def pool_of(
    connections_max: int, origin_connections_max: int
) -> AsyncGenerator[tuple[ConnectionPool, Callable[[int], Origin]]]:
    """Yield a pool, and a function that returns the origin of a server for a number."""

    async def handle(reader: asyncio.StreamReader, _: asyncio.StreamWriter, __: int) -> None:
        await reader.read()

    async with byte_server(handle) as url:
        port = int(url.rpartition(":")[2])

        async def open_connection(origin: Origin, _: float) -> Connection:
            loop = asyncio.get_running_loop()
            return (await loop.create_connection(lambda: Connection(origin), "127.0.0.1", port))[1]

        pool = ConnectionPool(open_connection, connections_max, origin_connections_max)

        def origin(number: int) -> Origin:
            return pool.origin(ConnectionRoute("http", f"host{number}", 80, None, None, False))  # noqa: FBT003

        yield pool, origin
        await pool.close()


async def test_total_is_limited_and_the_oldest_idle_connection_is_closed() -> None:
    async with pool_of(3, 2) as (pool, origin):
        taken = [await pool.acquire(origin(number), 5) for number in range(3)]
        waiting = asyncio.create_task(pool.acquire(origin(3), 5))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        pool.release(origin(1), taken[1])  # origin 3 needs its place
        other = await waiting
        assert (taken[1].is_usable, pool.count) == (False, 3)
        pool.release(origin(0), taken[0])
        pool.release(origin(2), taken[2])
        assert await pool.acquire(origin(2), 5) is taken[2]
        fifth = await pool.acquire(origin(4), 5)
        assert (taken[0].is_usable, fifth.is_usable, other.is_usable, pool.count) == (False, True, True, 3)


async def test_released_connection_goes_to_the_first_waiting_call() -> None:
    async with pool_of(9, 1) as (pool, origin):
        connection = await pool.acquire(origin(0), 5)
        waiting = [asyncio.create_task(pool.acquire(origin(0), 5)) for _ in range(3)]
        await asyncio.sleep(0.01)
        waiting[0].cancel()
        await asyncio.sleep(0)
        pool.release(origin(0), connection)
        assert await waiting[1] is connection
        assert not waiting[2].done()
        connection.close()
        replaced = await waiting[2]
        assert replaced is not connection
        assert pool.count == 1


async def test_connection_of_a_call_that_is_cancelled_as_it_gets_it_is_passed_on() -> None:
    async with pool_of(9, 1) as (pool, origin):
        connection = await pool.acquire(origin(0), 5)
        waiting = [asyncio.create_task(pool.acquire(origin(0), 5)) for _ in range(2)]
        await asyncio.sleep(0.01)
        pool.release(origin(0), connection)
        waiting[0].cancel()
        assert await waiting[1] is connection
        other = asyncio.create_task(pool.acquire(origin(0), 5))
        last = asyncio.create_task(pool.acquire(origin(0), 5))
        await asyncio.sleep(0.01)
        connection.close()  # a free place goes to the first one
        other.cancel()
        assert (await last).is_usable
        assert pool.count == 1


async def test_place_of_a_failed_connection_is_free_again() -> None:
    tries = 0

    async def fail(_: Origin, __: float) -> Connection:
        nonlocal tries
        tries += 1
        await asyncio.sleep(0)
        raise ConnectionRefusedError

    pool = ConnectionPool(fail, 1, 1)
    origin = pool.origin(ConnectionRoute("http", "host", 80, None, None, False))  # noqa: FBT003
    found = await asyncio.gather(*(pool.acquire(origin, 5) for _ in range(5)), return_exceptions=True)
    assert [type(each) for each in found] == [ConnectionRefusedError] * 5
    assert (tries, pool.count) == (5, 0)
    await pool.close()


async def test_idle_connections_and_unused_origins_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.http_client.pool.SWEEP_SECONDS", 0.01)
    monkeypatch.setattr("service.http_client.connection.IDLE_SECONDS_MAX", 0.05)
    async with pool_of(9, 9) as (pool, origin):
        connection = await pool.acquire(origin(0), 5)
        kept = await pool.acquire(origin(1), 5)
        pool.release(origin(0), connection)
        await until(lambda: len(pool.origins) == 1)
        assert (connection.is_usable, kept.is_usable, pool.count) == (False, True, 1)


async def test_connections_of_different_routes_are_not_exchanged() -> None:
    async with held_servers(1) as [(held, url)], HttpClient(Settings(), {"localhost"}) as client:
        held.is_open.set()
        tls = TransportOptions(tls=None)
        every: list[dict[str, Any]] = [{}, {"guarded": True}, {}, {"guarded": True}, {"transport": tls}]
        for options in every:
            await call(client, url, **options)
        await call(client, url.replace("localhost", "127.0.0.1"))
        assert len(held.connections) == 3


async def test_close_ends_running_and_waiting_calls() -> None:
    async with held_servers(1) as [(held, url)]:
        client = HttpClient(Settings(concurrency=1))
        calls = [asyncio.create_task(call(client, url)) for _ in range(4)]
        await until(lambda: held.requests == 2)
        await client.close()
        kinds = [str(getattr(each, "kind", each)) for each in await asyncio.gather(*calls, return_exceptions=True)]
        assert sorted(kinds) == ["connect", "connect", "reset", "reset"]
        held.is_open.set()
        await until(lambda: held.running == 0)
        with pytest.raises(TransientError):
            await call(client, url)


async def test_deadline_holds_for_all_phases_together() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await read_head(reader)
        if number == 0:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            await read_head(reader)
            await asyncio.sleep(0.3)
            writer.close()
        await reader.read()

    async with byte_server(handle) as url, HttpClient(Settings()) as client:
        await call(client, url)
        started, exchange = time.monotonic(), Exchange()
        with pytest.raises(TransientError) as raised:
            await call(client, url, seconds_max=0.6, exchange=exchange)  # the repeat has what is left
        assert raised.value.kind == "timeout"
        assert 0.55 < time.monotonic() - started < 20
        assert exchange.duration_ms > 550


async def test_earlier_deadline_of_a_later_call_holds() -> None:
    async with held_servers(1) as [(held, url)], HttpClient(Settings()) as client:
        held.is_open.set()
        await call(client, url, seconds_max=60)
        held.is_open.clear()
        started = time.monotonic()
        with pytest.raises(TransientError, match="did not answer in time"):
            await call(client, url, seconds_max=0.05)
        assert time.monotonic() - started < 30
        assert len(held.connections) == 1
