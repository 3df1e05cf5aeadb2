"""Call a script: one round trip on a connection of our own, repeated on a fresh one where that is safe and in time.

Scripts go as EVALSHA packed by hiredis, and as EVAL where the server does not know them (restart, failover). Idle
connections are kept in a plain list: redis-py's pool reads each socket before lending it, which costs more than a call.
A connection the server has dropped meanwhile shows at the first use, and the call, which may be repeated, is.
"""

# redis-py 5.3.1 and hiredis ship types with holes; what is unknown comes in through this module and `connection` alone.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, cast

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, NoScriptError, OutOfMemoryError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.errors import StoreFull, StoreUnavailable
from service.metrics.families import STORE_ERRORS, STORE_SECONDS
from service.settings import Settings
from service.store.connection.connection import StoreReply, build_pool, close_pool, run_command
from service.store.scripts import Script

Argument = str | bytes | int | float

REPEAT_PAUSE_SECONDS = 0.05
WAITAOF_TIMEOUT_MS = 2_000
TICK = "#!lua flags=allow-oom\nredis.call('SET', ARGV[1], redis.call('TIME')[1])"
"""WAITAOF waits for what its own connection wrote. A call that is repeated on another one finds everything written and
writes nothing, and promises no less than the first: this write makes it wait for all that was written before."""


class Client:
    """AbstractConnections to the one server, and the calls on them."""

    def __init__(self, settings: Settings) -> None:
        self.pool = build_pool(settings)
        self._heads: tuple[str, str] = (settings.key_prefix, settings.queue)
        self._replicas = 1 if settings.durability == "replica" else 0
        tick = _pack(("EVAL", TICK, 0, f"{settings.key_prefix}tick"))
        self._proof = tick + _pack(("WAITAOF", 1, self._replicas, WAITAOF_TIMEOUT_MS))
        self._idle: list[AbstractConnection] = []
        self._connection_slots = asyncio.Semaphore(settings.store_connections_max)
        self._timeout_seconds = settings.store_timeout_seconds
        self._retry_after_seconds = settings.retry_after_seconds
        self._address = "WAYBILL_REDIS_SENTINEL" if settings.redis_sentinel else "WAYBILL_REDIS_URL"

    async def call(self, script: Script, arguments: Sequence[Argument], *, seconds_max: float) -> StoreReply:
        """Run `script` with prefix, queue and `arguments`, repeating it until it answers or `seconds_max` are over.

        Raises:
            StoreUnavailable: no answer in time, or the server refuses to write (demoted, disk full, loading).
            StoreFull: the server is at its memory limit; nothing was written.
            StoreNotDurable: the server does not keep the promised durability.
        """
        deadline = time.monotonic() + seconds_max
        while True:
            began = time.monotonic()
            try:
                answer = await self._exchange(partial(self._run, script=script, arguments=arguments))
            except StoreFull as error:
                # Not repeated: time frees no memory, and the sender comes again by itself.
                STORE_ERRORS.inc((script.name, error.kind))
                raise
            except StoreUnavailable as error:
                STORE_ERRORS.inc((script.name, error.kind))
                if time.monotonic() + REPEAT_PAUSE_SECONDS >= deadline:
                    raise
                await asyncio.sleep(REPEAT_PAUSE_SECONDS)
                continue
            STORE_SECONDS.observe((script.name,), time.monotonic() - began)
            return answer

    async def command(self, *command: Argument) -> StoreReply:
        """Run one plain command, once.

        Raises:
            StoreUnavailable, StoreFull, StoreUnsafe: as `call`.
        """

        async def talk(connection: AbstractConnection) -> StoreReply:
            return await run_command(connection, *command)

        return await self._exchange(talk)

    async def wait_for(self, key: str, seconds_max: float) -> bool:
        """Block on the list `key` for at most `seconds_max`; True if a token came.

        Raises:
            StoreUnavailable: the connection broke.
        """

        async def block(connection: AbstractConnection) -> bool:
            await connection.send_command("BLPOP", key, f"{seconds_max:.3f}")
            return await connection.read_response() is not None

        return await self._exchange(block, seconds_max + self._timeout_seconds)

    async def close(self) -> None:
        """Close every connection that is not in use, arq's among them."""
        await self._close_idle()
        await close_pool(self.pool)

    async def _exchange(
        self, talk: Callable[[AbstractConnection], Awaitable[Any]], seconds_max: float | None = None
    ) -> StoreReply:
        async with self._connection_slots:
            connection = None
            try:
                async with asyncio.timeout(seconds_max or self._timeout_seconds):
                    connection = self._idle.pop() if self._idle else self._make_connection()
                    # Returns at once where it is connected; a fresh one is held to the promised durability on its way.
                    await connection.connect()
                    answer = await talk(connection)
            except (RedisError, OSError, TimeoutError) as error:
                await self._drop(connection, error)
                raise self._named(error) from error
            except BaseException:
                # Cancelled half-way: the answer may still come, and would be read as the next call's.
                await self._drop(connection, None)
                raise
            self._idle.append(connection)
            return answer

    def _make_connection(self) -> AbstractConnection:
        connection = self.pool.make_connection()
        # redis-py would send under asyncio.wait_for, which on Python 3.11 swallows most cancellations.
        connection.socket_timeout = None
        return connection

    async def _drop(self, connection: AbstractConnection | None, error: BaseException | None) -> None:
        if connection is not None:
            await connection.disconnect()
        if isinstance(error, ReadOnlyError) or (error is not None and not isinstance(error, ResponseError)):
            # What broke one connection broke the others, or they lead to a server that was demoted.
            await self._close_idle()

    async def _close_idle(self) -> None:
        while self._idle:
            await self._idle.pop().disconnect()

    def _named(self, error: Exception) -> StoreUnavailable:
        if isinstance(error, OutOfMemoryError):
            return StoreFull(f"the store is at its memory limit: {error}", self._retry_after_seconds)
        reason = f"{type(error).__name__}: {error}"
        if isinstance(error, TimeoutError) and not str(error):
            seconds = f"{self._timeout_seconds:g} s (WAYBILL_STORE_TIMEOUT_SECONDS)"
            reason = f"no answer within {seconds}: the server hangs or is busy"
        if isinstance(error, RedisConnectionError | RedisTimeoutError | InvalidResponse):
            reason = f"{reason.rstrip('.')}; {self._address} says where the store is"
        return StoreUnavailable(reason, self._retry_after_seconds)

    async def _run(self, connection: AbstractConnection, script: Script, arguments: Sequence[Argument]) -> StoreReply:
        try:
            return await self._send(connection, script, ("EVALSHA", script.sha, 0, *self._heads, *arguments))
        except NoScriptError:
            # A restart or a failover has emptied the server's cache of scripts.
            return await self._send(connection, script, ("EVAL", script.source, 0, *self._heads, *arguments))

    async def _send(self, connection: AbstractConnection, script: Script, command: tuple[Argument, ...]) -> StoreReply:
        packed = _pack(command)
        # What writes nothing has nothing to wait for on a replica.
        if not self._replicas or script.is_reader:
            await connection.send_packed_command(packed)
            return await connection.read_response()
        await connection.send_packed_command(packed + self._proof)
        answer, _, reached = [await _read(connection) for _ in range(3)]
        for error in (answer, reached):
            if isinstance(error, ResponseError):
                raise error
        local, copies = cast("list[int]", reached)
        if local < 1 or copies < self._replicas:
            raise StoreUnavailable(
                f"{copies} replicas have it on disk, {self._replicas} needed", self._retry_after_seconds
            )
        return answer


async def _read(connection: AbstractConnection) -> StoreReply:
    """Read one answer of several; an error is given, not raised, so that none is left behind for the next call."""
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


def _pack(command: tuple[Argument, ...]) -> bytes:
    return cast("bytes", hiredis.pack_command(command))  # pyright: ignore[reportArgumentType] - its stub says one item
