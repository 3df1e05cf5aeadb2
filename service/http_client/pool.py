"""Pool of connections, by origin. The number of connections is limited in total and for each origin.

A call takes the connection that was used last. Without one it opens a connection, or waits for its turn at a limit.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Awaitable, Callable

from msgspec import Struct

from service.egress import ProxyRoute
from service.http_client.connection import Connection
from service.http_url import HttpUrl

SWEEP_SECONDS = 5.0
"""Time between two searches for connections that were idle too long."""


class ConnectionRoute(Struct, frozen=True):
    """Origin of a connection, and how it is reached. Connections of different routes are never exchanged."""

    scheme: str
    host: str
    port: int
    tls: ssl.SSLContext | None
    proxy: ProxyRoute | None
    is_guarded: bool


Opener = Callable[["Origin", float], Awaitable[Connection]]
"""Opens a connection whose owner is the origin, within a number of seconds."""


class Origin:
    """Connections of one route. `open_count` includes those that are being opened. `authority` is meant for errors."""

    __slots__ = ("_pool", "authority", "host_header", "idle", "open_count", "route")

    def __init__(self, route: ConnectionRoute, pool: "ConnectionPool") -> None:
        url = HttpUrl(route.scheme, route.host, route.port)
        self.authority = url.authority
        self.host_header = url.host_header
        self.route = route
        self.idle: dict[Connection, None] = {}
        self.open_count = 0
        self._pool = pool

    def take(self) -> Connection | None:
        """Return the idle connection that was used last; None if there is none."""
        while self.idle:
            connection, _ = self.idle.popitem()
            if connection.idle_until > self._pool.loop.time() and connection.is_usable and connection.is_quiet:
                return connection
            connection.close()
        return None

    def release(self, connection: Connection) -> None:
        """Offer a connection to the next call."""
        self._pool.release(self, connection)

    def discard(self, connection: Connection) -> None:
        """Stop counting a connection that is closed."""
        self.idle.pop(connection, None)
        self._pool.discard(self, connection)

    def close_idle(self, now: float | None = None) -> None:
        """Close the idle connections, or those only that were idle too long at `now`."""
        for connection in list(self.idle):
            if now is None or connection.idle_until <= now:
                connection.close()


class ConnectionPool:
    """Pool of at most `connections_max` connections, of which each origin has at most `origin_connections_max`."""

    def __init__(self, open_connection: Opener, connections_max: int, origin_connections_max: int) -> None:
        self.loop = asyncio.get_running_loop()
        self.origins: dict[ConnectionRoute, Origin] = {}
        self.count = 0
        self._open_connection = open_connection
        self._connections_max = connections_max
        self._origin_connections_max = origin_connections_max
        self._connections: set[Connection] = set()
        self._waiting: deque[tuple[Origin, asyncio.Future[Connection | None]]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_closed = False

    def origin(self, route: ConnectionRoute) -> Origin:
        """Return the origin of a route."""
        origin = self.origins.get(route)
        if origin is None:
            origin = self.origins[route] = Origin(route, self)
            if self._sweeper is None:
                self._sweeper = self.loop.call_later(SWEEP_SECONDS, self._sweep)
        return origin

    async def acquire(self, origin: Origin, connect_seconds_max: float) -> Connection:
        """Return an idle connection or a new one. At a limit, wait until another call has ended.

        Raises:
            OSError: The pool is closed.
            TransientError: as the opener.
            PermanentError: as the opener.
        """
        while not self._is_closed:
            connection = origin.take()
            if connection is None:
                connection = await (
                    self._open(origin, connect_seconds_max) if self._free_place(origin) else self._wait(origin)
                )
            if connection is not None:
                if not connection.is_reused or connection.is_quiet:
                    return connection
                connection.close()
        raise ConnectionAbortedError("the HTTP client is closed")

    def release(self, origin: Origin, connection: Connection) -> None:
        """Give a connection to a waiting call of its origin, or keep it. Close it if another origin needs its place."""
        if self._waiting:
            for entry in self._waiting:
                if entry[0] is origin and not entry[1].done():
                    self._waiting.remove(entry)
                    entry[1].set_result(connection)
                    return
            if any(each.open_count < self._origin_connections_max for each, _ in self._waiting):
                connection.close()
                return
        connection.idle_until = self.loop.time() + connection.idle_seconds_max
        origin.idle[connection] = None

    def discard(self, origin: Origin, connection: Connection) -> None:
        """Stop counting a connection that is closed, and let the next call open one."""
        if connection in self._connections:
            self._connections.remove(connection)
            self._uncount(origin)

    async def close(self) -> None:
        """Close all connections. Running calls fail, and so do waiting ones."""
        self._is_closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for _, future in self._waiting:
            if not future.done():
                future.set_result(None)
        for connection in list(self._connections):
            connection.close()
        await asyncio.sleep(0)  # the transports close their sockets in the next turn of the loop

    async def _open(self, origin: Origin, connect_seconds_max: float) -> Connection | None:
        origin.open_count += 1
        self.count += 1
        try:
            connection = await self._open_connection(origin, connect_seconds_max)
        except BaseException:
            self._uncount(origin)
            raise
        self._connections.add(connection)
        if self._is_closed:
            connection.close()
        elif not connection.is_usable:  # lost before it was counted
            self.discard(origin, connection)
        return connection

    def _uncount(self, origin: Origin) -> None:
        origin.open_count -= 1
        self.count -= 1
        self._wake()

    def _wake(self) -> None:
        """Wake the first waiting call that can open a connection."""
        if self.count >= self._connections_max:
            return
        for entry in self._waiting:
            if entry[0].open_count < self._origin_connections_max and not entry[1].done():
                self._waiting.remove(entry)
                entry[1].set_result(None)
                return

    def _free_place(self, origin: Origin) -> bool:
        """Return whether a connection can be opened. At the total limit, the oldest idle connection is closed."""
        if origin.open_count >= self._origin_connections_max:
            return False
        if self.count >= self._connections_max:
            idle = (next(iter(each.idle)) for each in self.origins.values() if each.idle)
            oldest = min(idle, key=_idle_until, default=None)
            if oldest is not None:
                oldest.close()
        return self.count < self._connections_max

    async def _wait(self, origin: Origin) -> Connection | None:
        """Return a connection that another call released; None if a place is free."""
        entry = (origin, self.loop.create_future())
        self._waiting.append(entry)
        try:
            return await entry[1]
        except asyncio.CancelledError:
            if entry in self._waiting:
                self._waiting.remove(entry)
            elif not entry[1].cancelled():
                self._pass_on(origin, entry[1].result())
            raise

    def _pass_on(self, origin: Origin, connection: Connection | None) -> None:
        """Give what a cancelled call received to the next one."""
        if connection is None:
            self._wake()
        elif connection.is_usable:
            self.release(origin, connection)

    def _sweep(self) -> None:
        now = self.loop.time()
        waiting = {entry[0] for entry in self._waiting}
        for route, origin in list(self.origins.items()):
            origin.close_idle(now)
            if origin.open_count == 0 and origin not in waiting:
                del self.origins[route]
        self._sweeper = self.loop.call_later(SWEEP_SECONDS, self._sweep) if self.origins else None


def _idle_until(connection: Connection) -> float:
    return connection.idle_until
