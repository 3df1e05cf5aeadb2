"""Connections to one server of the store.

Idle connections are in a list, because redis-py's pool reads each socket before use, which takes longer than a call.
A connection that the server closed fails on its next use; the caller repeats its call on a new one.
"""

# redis-py 5.3.1 and hiredis have incomplete types. Only this folder uses them.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, OutOfMemoryError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.errors import StoreFull, StoreNotDurable, StoreScriptFailed, StoreUnavailable
from service.settings import Durability, Settings
from service.shared_timeouts import start_timeout
from service.store.connection.connection import StoreReply, close_pool, require_durability
from service.store.connection.damage import foreign_key_problem

SEED_CONNECT_SECONDS_MAX = 0.5
"""Longest wait for a connection to one of several addresses; then the next one is tried."""
DURABILITY_CHECK_SECONDS = 10.0
"""Longest time between the last durability check and a call. Settings of a server can change at run time."""

_REDIRECTION = re.compile(r"(MOVED|ASK) (\d{1,5}) (.*):(\d{1,5})")


class Redirected(Exception):
    """Another server of a cluster has the slot. The call was not run. With `asks`, the slot moves key by key."""

    def __init__(self, slot: int, host: str, port: int, *, asks: bool) -> None:
        super().__init__(slot, host, port)
        self.slot, self.host, self.port, self.asks = slot, host, port, asks


class Link:
    """A connection, and the prefixes whose installation record was compared on it."""

    __slots__ = ("checked", "connection")

    def __init__(self, connection: AbstractConnection) -> None:
        self.connection = connection
        self.checked: set[str] = set()


Send = Callable[[Link], Awaitable[Any]]
"""A call on a connection."""


class Server:
    """Connections to one server, and calls on them. A new connection is checked for durability first.

    The server of WAYBILL_REDIS_URL is the first of `pools` that answers.
    """

    def __init__(self, settings: Settings, pools: Sequence[ConnectionPool], name: str) -> None:
        self._pools = list(pools)
        self.name = name
        self._durability: Durability = settings.durability
        self._idle: list[Link] = []
        self._is_closed = False
        # Each new connection is checked, so the first repeated check is due later.
        self._check_due = time.monotonic() + DURABILITY_CHECK_SECONDS
        self._connection_slots = asyncio.Semaphore(settings.store_connections_max)
        self._timeout_seconds = settings.store_timeout_seconds
        self._retry_after_seconds = settings.retry_after_seconds
        self.memory_percent = 0
        """Percentage of maxmemory in use at the last check."""
        self.memory_checked_until = 0.0  # monotonic

    @property
    def pool(self) -> ConnectionPool:
        """Pool of the address that answered last."""
        return self._pools[0]

    async def exchange(self, send: Send, seconds_max: float | None = None) -> StoreReply:
        """Run `send` on a connection, for at most `seconds_max`.

        A call that may block has `seconds_max`, and uses a connection beyond WAYBILL_STORE_CONNECTIONS_MAX.

        Returns:
            The result of `send`.

        Raises:
            Redirected: Another server of the cluster has the slot.
            StoreUnavailable: No reply in time, or the server rejects the call.
            StoreFull: The server is at its memory limit; nothing was written.
            StoreNotDurable: The server does not meet WAYBILL_DURABILITY, or the store was lost.
        """
        if seconds_max is not None:
            return await self._send(send, seconds_max)
        async with self._connection_slots:
            return await self._send(send, self._timeout_seconds)

    async def close(self) -> None:
        """Close all idle connections, including those of arq. Calls that still run close theirs at their end."""
        await self.retire()
        for pool in self._pools:
            await close_pool(pool)

    async def retire(self) -> None:
        """Close all idle connections but those of arq. Calls that still run close theirs at their end."""
        self._is_closed = True
        await self.close_idle()

    async def close_idle(self) -> None:
        """Close the connections that no call uses."""
        while self._idle:
            await _close(self._idle.pop())

    async def _send(self, send: Send, seconds_max: float) -> StoreReply:
        link = None
        try:
            with start_timeout(seconds_max):
                link = self._idle.pop() if self._idle else await self._open()
                if not link.connection.is_connected:
                    await link.connection.connect()
                await self._repeat_durability_check(link.connection)
                reply = await send(link)
        except (RedisError, OSError, TimeoutError) as error:
            redirected = _redirection(error)
            if redirected is not None and link is not None:
                await self._keep(link)  # its reply is read completely
                raise redirected from error
            await self._drop(link, error)
            raise self._classify(error) from error
        except StoreNotDurable:
            await self._drop(link, None)
            # Every call checks, until one check succeeds. Connections in use are checked before their next call.
            self._check_due = time.monotonic()
            await self.close_idle()
            raise
        except BaseException:
            # Cancelled: a late reply would be read as the reply to the next call.
            await self._drop(link, None)
            raise
        await self._keep(link)
        return reply

    async def _keep(self, link: Link) -> None:
        if self._is_closed:
            await _close(link)
        else:
            self._idle.append(link)

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

    async def _open(self) -> Link:
        """Return a new connection. With several addresses, connect to the first one that answers."""
        *first, last = order = list(self._pools)
        for pool in first:
            link = _make_link(pool)
            try:
                async with asyncio.timeout(SEED_CONNECT_SECONDS_MAX):
                    await link.connection.connect()  # checked for durability first
            except (RedisError, OSError, TimeoutError):
                await _close(link)
            except BaseException:
                await _close(link)
                raise
            else:
                self._pools = [pool, *(each for each in order if each is not pool)]
                return link
        self._pools = [last, *first]
        return _make_link(last)

    async def _drop(self, link: Link | None, error: BaseException | None) -> None:
        if link is not None:
            await _close(link)
        if isinstance(error, ReadOnlyError) or (error is not None and not isinstance(error, ResponseError)):
            # The other connections are broken too, or lead to a server that was demoted.
            await self.close_idle()

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
            reason = f"{reason.rstrip('.')}; check {self.name} and that the store is running"
        return StoreUnavailable(reason, self._retry_after_seconds)


def _make_link(pool: ConnectionPool) -> Link:
    connection = pool.make_connection()
    # With a timeout redis-py sends under asyncio.wait_for, which on Python 3.11 can swallow cancellations.
    connection.socket_timeout = None
    return Link(connection)


async def _close(link: Link) -> None:
    """Close a connection without a wait for its end: redis-py limits that wait, and raises its own error."""
    await link.connection.disconnect(nowait=True)


def _redirection(error: BaseException) -> Redirected | None:
    match = _REDIRECTION.fullmatch(str(error)) if isinstance(error, ResponseError) else None
    return match and Redirected(int(match[2]), match[3], int(match[4]), asks=match[1] == "ASK")
