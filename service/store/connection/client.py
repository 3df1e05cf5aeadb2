"""Store client: runs scripts and commands in one round trip, and repeats scripts after connection errors.

A script is repeated if it did not run or its reply was lost, not if one of its commands failed. A command that finds a
key of another type is repeated after the key was set aside (`damage`).

Scripts are sent as EVALSHA, and as EVAL if the server does not know them (restart, failover). hiredis encodes them.
Idle connections are in a list, because redis-py's pool reads each socket before use, which takes longer than a call.
A connection that the server closed fails on its next use; the call is repeated on a new one.
"""

# redis-py 5.3.1 and hiredis have incomplete types. Only this module and `connection` use them.
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

from service.errors import StoreFull, StoreNotDurable, StoreScriptFailed, StoreUnavailable
from service.metrics.families import STORE_ERRORS, STORE_SECONDS
from service.settings import Durability, Settings
from service.store.connection.connection import StoreReply, build_pool, close_pool, require_durability, run_command
from service.store.connection.damage import DamageLog, foreign_key_problem, is_damage
from service.store.connection.installation import InstallationCheck
from service.store.scripts import COMMAND, DAMAGED_KEYS, INSTALLATION, Script

Argument = str | bytes | int | float

RETRY_INTERVAL_SECONDS = 0.05
DURABILITY_CHECK_SECONDS = 10.0
"""Longest time between the last durability check and a call. Settings of a server can change at run time."""
WAITAOF_TIMEOUT_MS = 2_000
TICK = "#!lua flags=allow-oom\nredis.call('SET', KEYS[1], redis.call('TIME')[1])"
"""A write before WAITAOF, which waits for writes of its own connection only. A repeated call on another connection may
find everything written and write nothing. With this write it waits for all earlier writes too."""


class Client:
    """Connections to one server, and calls on them.

    With `check_installation`, the store is used only while it has the installation record of the first connection.
    Commands of operators do without, so that a store can be inspected before its data are accepted.
    """

    def __init__(self, settings: Settings, *, check_installation: bool = False) -> None:
        self._installation = InstallationCheck(settings)
        self.pool = build_pool(settings, self._check_installation if check_installation else None)
        # The declared key, which tells a cluster the slot of the call, then the prefix and the queue.
        self._first_arguments = (1, settings.key_prefix, settings.key_prefix, settings.queue)
        self._durability: Durability = settings.durability
        self._replicas = 1 if settings.durability == "replica" else 0
        tick = _pack(("EVAL", TICK, 1, f"{settings.key_prefix}tick"))
        self._wait_aof = tick + _pack(("WAITAOF", 1, self._replicas, WAITAOF_TIMEOUT_MS))
        self._idle: list[AbstractConnection] = []
        # Each new connection is checked, so the first repeated check is due later.
        self._check_due = time.monotonic() + DURABILITY_CHECK_SECONDS
        self._connection_slots = asyncio.Semaphore(settings.store_connections_max)
        self._timeout_seconds = settings.store_timeout_seconds
        self._retry_after_seconds = settings.retry_after_seconds
        self._damage_log = DamageLog()
        self._address = "WAYBILL_REDIS_SENTINEL" if settings.redis_sentinel else "WAYBILL_REDIS_URL"

    async def call(self, script: Script, arguments: Sequence[Argument], *, seconds_max: float) -> StoreReply:
        """Run `script` with prefix, queue and `arguments`. Repeat it until it succeeds or `seconds_max` have passed.

        Returns:
            The reply of the script.

        Raises:
            StoreUnavailable: No reply in time, or the server rejects writes (demoted, disk full, loading).
            StoreScriptFailed: A command of the script failed; earlier commands are not undone. Not repeated.
            StoreFull: The server is at its memory limit; nothing was written.
            StoreNotDurable: The server does not meet WAYBILL_DURABILITY, or the store was lost.
        """
        deadline = time.monotonic() + seconds_max
        while True:
            started = time.monotonic()
            try:
                reply = await self._exchange(partial(self._run, script=script, arguments=arguments))
            except (StoreFull, StoreNotDurable, StoreScriptFailed) as error:
                # Not repeated: the caller must know at once, and a sender retries by itself.
                STORE_ERRORS.inc((script.name, error.kind))
                raise
            except StoreUnavailable as error:
                STORE_ERRORS.inc((script.name, error.kind))
                if time.monotonic() + RETRY_INTERVAL_SECONDS >= deadline:
                    raise
                await asyncio.sleep(RETRY_INTERVAL_SECONDS)
                continue
            STORE_SECONDS.observe((script.name,), time.monotonic() - started)
            return reply

    async def command(self, *command: Argument) -> StoreReply:
        """Run one command. Does not repeat it.

        Returns:
            The reply of the server.

        Raises:
            StoreUnavailable: No reply in time, or the server rejects writes.
            StoreFull: The server is at its memory limit; nothing was written.
            StoreNotDurable: The server does not meet WAYBILL_DURABILITY.
        """

        async def send(connection: AbstractConnection) -> StoreReply:
            try:
                return await run_command(connection, *command)
            except ResponseError as error:
                if not is_damage(error):
                    raise
                return await self._repair(connection, COMMAND, command)

        return await self._exchange(send)

    async def wait_for(self, key: str, seconds_max: float) -> bool:
        """Block on the list `key` for at most `seconds_max`.

        Returns:
            True if the list had a token.

        Raises:
            StoreUnavailable: The connection failed.
        """

        async def block(connection: AbstractConnection) -> bool:
            try:
                return await run_command(connection, "BLPOP", key, f"{seconds_max:.3f}") is not None
            except ResponseError as error:
                if not is_damage(error):
                    raise
                return bool(await self._repair(connection, COMMAND, ("LLEN", key)))

        return await self._exchange(block, seconds_max + self._timeout_seconds)

    async def close(self) -> None:
        """Close all idle connections, including those of arq."""
        await self._close_idle()
        await close_pool(self.pool)

    async def _exchange(
        self, send: Callable[[AbstractConnection], Awaitable[Any]], seconds_max: float | None = None
    ) -> StoreReply:
        async with self._connection_slots:
            connection = None
            try:
                async with asyncio.timeout(seconds_max or self._timeout_seconds):
                    connection = self._idle.pop() if self._idle else self._make_connection()
                    # Returns at once if connected. A new connection is checked for durability first.
                    await connection.connect()
                    await self._repeat_durability_check(connection)
                    reply = await send(connection)
            except (RedisError, OSError, TimeoutError) as error:
                await self._drop(connection, error)
                raise self._classify(error) from error
            except StoreNotDurable:
                await self._drop(connection, None)
                # Every call checks, until one check succeeds. Connections in use are checked before their next call.
                self._check_due = time.monotonic()
                await self._close_idle()
                raise
            except BaseException:
                # Cancelled: a late reply would be read as the reply to the next call.
                await self._drop(connection, None)
                raise
            self._idle.append(connection)
            return reply

    async def _repeat_durability_check(self, connection: AbstractConnection) -> None:
        now = time.monotonic()
        # With `declared`, the server may deny CONFIG, and its operator states the loss window.
        if now < self._check_due or self._durability == "declared":
            return
        # Set before the reply arrives, so that only one of many concurrent callers checks.
        self._check_due = now + DURABILITY_CHECK_SECONDS
        try:
            await require_durability(connection, self._durability)
        except BaseException:
            self._check_due = now
            raise

    def _make_connection(self) -> AbstractConnection:
        connection = self.pool.make_connection()
        # With a timeout redis-py sends under asyncio.wait_for, which on Python 3.11 can swallow cancellations.
        connection.socket_timeout = None
        return connection

    async def _drop(self, connection: AbstractConnection | None, error: BaseException | None) -> None:
        if connection is not None:
            await connection.disconnect()
        if isinstance(error, ReadOnlyError) or (error is not None and not isinstance(error, ResponseError)):
            # The other connections are broken too, or lead to a server that was demoted.
            await self._close_idle()

    async def _close_idle(self) -> None:
        while self._idle:
            await self._idle.pop().disconnect()

    def _classify(self, error: Exception) -> StoreUnavailable:
        if isinstance(error, OutOfMemoryError):
            return StoreFull(f"the store is at its memory limit, raise maxmemory: {error}", self._retry_after_seconds)
        reason = f"{type(error).__name__}: {error}"
        if isinstance(error, TimeoutError) and not str(error):
            seconds = f"{self._timeout_seconds:g} s (WAYBILL_STORE_TIMEOUT_SECONDS)"
            reason = f"the store did not answer within {seconds}: the server hangs or is overloaded"
        foreign = foreign_key_problem(str(error))
        if foreign:
            return StoreScriptFailed(foreign, self._retry_after_seconds)
        # The server adds the line of a running script to its error.
        if isinstance(error, ResponseError) and "on @user_script:" in str(error):
            reason = f"{reason.rstrip('.')}; check the permissions of the store's user and the types of its keys"
            return StoreScriptFailed(reason, self._retry_after_seconds)
        if isinstance(error, RedisConnectionError | RedisTimeoutError | InvalidResponse):
            reason = f"{reason.rstrip('.')}; check {self._address} and that the store is running"
        return StoreUnavailable(reason, self._retry_after_seconds)

    async def _check_installation(self, connection: AbstractConnection) -> None:
        async def read_record(arguments: Sequence[str | int]) -> bytes:
            return await self._evaluate(connection, INSTALLATION, (*arguments, ""))

        await self._installation.verify(read_record)

    async def _run(self, connection: AbstractConnection, script: Script, arguments: Sequence[Argument]) -> StoreReply:
        try:
            return await self._evaluate(connection, script, (*arguments, self._installation.expected))
        except ResponseError as error:
            if is_damage(error):
                return await self._repair(connection, script, arguments)
            if not str(error).startswith("LOST "):
                raise
            # Raises StoreLost, unless an operator has accepted the store since.
            await self._check_installation(connection)
            return await self._evaluate(connection, script, (*arguments, self._installation.expected))

    async def _repair(
        self, connection: AbstractConnection, script: Script, arguments: Sequence[Argument]
    ) -> StoreReply:
        """Run a script in its form that sets damaged keys aside, and log them."""
        last = self._installation.expected
        command = ("EVAL", script.repairing_source, *self._first_arguments, *arguments, last)
        try:
            reply = await self._send(connection, script, command, writes=True)
        except ResponseError as error:
            reply = error
        self._damage_log.write(await self._evaluate(connection, DAMAGED_KEYS, (last,)))
        if isinstance(reply, ResponseError):
            raise reply
        return reply

    async def _evaluate(
        self, connection: AbstractConnection, script: Script, arguments: Sequence[Argument]
    ) -> StoreReply:
        try:
            return await self._send(connection, script, ("EVALSHA", script.sha, *self._first_arguments, *arguments))
        except NoScriptError:
            # The server's script cache is empty after a restart or a failover.
            return await self._send(connection, script, ("EVAL", script.source, *self._first_arguments, *arguments))

    async def _send(
        self, connection: AbstractConnection, script: Script, command: tuple[Argument, ...], *, writes: bool = False
    ) -> StoreReply:
        packed = _pack(command)
        # A script without writes does not wait for replicas.
        if not self._replicas or (script.is_reader and not writes):
            await connection.send_packed_command(packed)
            return await connection.read_response()
        await connection.send_packed_command(packed + self._wait_aof)
        reply, _, synced = [await _read(connection) for _ in range(3)]
        for error in (reply, synced):
            if isinstance(error, ResponseError):
                raise error
        local, replicas = cast("list[int]", synced)
        if local < 1 or replicas < self._replicas:
            reason = (
                f"{replicas} replicas have the write on disk, WAYBILL_DURABILITY=replica requires {self._replicas}: "
                "check the replicas"
            )
            raise StoreUnavailable(reason, self._retry_after_seconds)
        return reply


async def _read(connection: AbstractConnection) -> StoreReply:
    """Return one reply of several. Errors are returned, not raised, so that no reply stays unread."""
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


def _pack(command: tuple[Argument, ...]) -> bytes:
    return cast("bytes", hiredis.pack_command(command))  # pyright: ignore[reportArgumentType] - its stub says one item
