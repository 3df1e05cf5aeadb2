"""Connections to the store: timeouts, keep-alive, TLS, Sentinel, and a durability check.

redis-py connects, implements RESP and follows Sentinel. Its retries are off: `client` repeats scripts.
"""

# redis-py 5.3.1 and hiredis have incomplete types. Only this folder uses them.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import hiredis
from redis.asyncio import BlockingConnectionPool, ConnectionPool, Sentinel
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.exceptions import ConnectionError, RedisError, ResponseError  # noqa: A004 - redis-py's own

from service.errors import ConfigError, StoreNotDurable
from service.settings import Durability, Settings
from service.store.connection.address import credentials_of, urls_of
from service.store.connection.durability import CHECKED_SETTINGS, durability_problems, parse_info

Argument = str | bytes | int | float
"""Part of a command."""

StoreReply = Any
"""Reply of a command or a script. The caller knows its types."""

InfoReader = Callable[[dict[str, str]], None]
"""Receives the fields of INFO of each new connection."""

KEEP_ALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""A peer that disappeared is detected after 30 seconds; the kernel's default is two hours."""


def build_pools(settings: Settings, read_info: InfoReader | None = None) -> list[ConnectionPool]:
    """Return a connection pool for each server of WAYBILL_REDIS_URL. Opens no connection.

    Each new connection is checked for durability. `read_info` receives its fields of INFO.

    Raises:
        ConfigError: The URL, its credentials, the list of sentinels or the CA file is not valid.
    """
    check = DurabilityCheck(settings, read_info)
    options: dict[str, Any] = {
        "socket_timeout": settings.store_timeout_seconds,
        "socket_connect_timeout": settings.store_connect_timeout_seconds,
        "redis_connect_func": check.on_connect,
        **credentials_of(settings),
    }
    if settings.redis_url.startswith("rediss://") and settings.redis_tls_ca_file:
        options["ssl_ca_certs"] = _readable(settings.redis_tls_ca_file)
    if not settings.redis_url.startswith("unix://"):
        options |= {"socket_keepalive": True, "socket_keepalive_options": _keep_alive()}
    if settings.redis_sentinel:
        return [_sentinel_pool(settings, options)]
    limits = {"max_connections": settings.store_connections_max, "timeout": settings.store_timeout_seconds}
    return [BlockingConnectionPool.from_url(url, **limits, **options) for url in urls_of(settings)]


async def close_pool(pool: ConnectionPool) -> None:
    """Close the connections of a pool, and its connections to sentinels, which redis-py leaves open.

    A server that hangs does not end a connection with TLS: after a time limit redis-py drops it, and raises an error.
    """
    sentinels = pool.sentinel_manager.sentinels if isinstance(pool, SentinelConnectionPool) else []
    for each in (pool, *sentinels):
        with suppress(RedisError):
            await each.aclose()


class DurabilityCheck:
    """Logs in on each new connection and checks the durability of the server."""

    def __init__(self, settings: Settings, read_info: InfoReader | None) -> None:
        self._durability: Durability = settings.durability
        self._replicas_min = settings.replicas_confirming_min
        self._read_info = read_info
        self._has_several_servers = len(urls_of(settings)) > 1

    async def on_connect(self, connection: AbstractConnection) -> None:
        """Log in as redis-py does, then check the server.

        Raises:
            StoreNotDurable: The server does not meet WAYBILL_DURABILITY.
            ConfigError: WAYBILL_REDIS_URL names several servers that are not those of a cluster.
            ConnectionError: Too few replicas are connected; this may be temporary.
        """
        await connection.on_connect()
        info = await require_durability(connection, self._durability)
        if self._has_several_servers and info.get("cluster_enabled") != "1":
            # Processes could use different servers, each with a part of the events.
            reason = "has several servers, but one of them is not in cluster mode"
            fix = "name one server, set WAYBILL_REDIS_SENTINEL for its replicas, or start the servers as a cluster"
            raise ConfigError("WAYBILL_REDIS_URL", reason, fix)
        if self._durability == "replica" and info.get("role") == "master":
            _require_replicas(int(info.get("connected_slaves", 0)), self._replicas_min)
        if self._read_info is not None:
            self._read_info(info)


def _require_replicas(connected: int, required: int) -> None:
    if connected < required:
        fix = "add replicas, or lower WAYBILL_REPLICAS_CONFIRMING_MIN"
        found = f"{connected or 'no'} replica{'s are' if connected > 1 else ' is'} connected"
        raise ConnectionError(f"{found}; WAYBILL_DURABILITY=replica requires at least {required}: {fix}")


async def require_durability(connection: AbstractConnection, durability: Durability) -> dict[str, str]:
    """Check the server of an open connection. Close the connection if the server does not meet `durability`.

    Returns:
        The fields of INFO.

    Raises:
        StoreNotDurable: The server does not meet WAYBILL_DURABILITY.
    """
    info = parse_info(await run_command(connection, "INFO"))
    reason = durability_problems(durability, info, await _config(connection))
    if reason:
        # Every new connection checks again, so that the server is used as soon as it is fixed.
        await connection.disconnect(nowait=True)
        raise StoreNotDurable(reason)
    return info


async def run_command(connection: AbstractConnection, *command: Argument) -> StoreReply:
    """Return the reply to one command."""
    await connection.send_command(*command)
    return await connection.read_response()


async def read_reply(connection: AbstractConnection) -> StoreReply:
    """Return one reply of several. Errors are returned, not raised, so that no reply stays unread."""
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


def pack_command(command: Sequence[Argument]) -> bytes:
    """Return the bytes of a command."""
    return cast("bytes", hiredis.pack_command(tuple(command)))  # pyright: ignore[reportArgumentType] - the stub permits one item only


async def _config(connection: AbstractConnection) -> dict[str, str] | None:
    try:
        flat: list[bytes] = await run_command(connection, "CONFIG", "GET", *CHECKED_SETTINGS)
    except ResponseError:
        # Managed servers rename or deny CONFIG.
        return None
    texts = [item.decode() for item in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def _keep_alive() -> dict[int, int]:
    return {getattr(socket, name): value for name, value in KEEP_ALIVE.items() if hasattr(socket, name)}


def _readable(path: str) -> str:
    try:
        with Path(path).open("rb"):
            return path
    except OSError as error:
        reason = f"{path} cannot be read: {error.strerror}"
        fix = "name a PEM file, or remove the setting to use the system's certificates"
        raise ConfigError("WAYBILL_REDIS_TLS_CA_FILE", reason, fix) from None


def parse_sentinels(text: str) -> list[tuple[str, int]]:
    """Return host and port of each sentinel of WAYBILL_REDIS_SENTINEL.

    Raises:
        ConfigError: A part is not host:port.
    """
    return [_parse_sentinel(item.strip()) for item in text.split(",")]


def _parse_sentinel(item: str) -> tuple[str, int]:
    host, _, port = item.rpartition(":")
    if not host or not port.isdecimal():
        fix = "write host:port for each sentinel, such as sentinel-1:26379,sentinel-2:26379"
        raise ConfigError("WAYBILL_REDIS_SENTINEL", f"{item or 'an empty part'} is not host:port", fix)
    return host, int(port)


def _sentinel_pool(settings: Settings, options: dict[str, Any]) -> SentinelConnectionPool:
    # Sentinels store no events: they need no durability check, and they have their own password.
    plain = {name: value for name, value in options.items() if name not in {"redis_connect_func", "username"}}
    password = settings.redis_sentinel_password or None
    sentinel = Sentinel(parse_sentinels(settings.redis_sentinel), sentinel_kwargs={**plain, "password": password})
    url = BlockingConnectionPool.from_url(settings.redis_url)
    credentials = {
        name: value for name, value in url.connection_kwargs.items() if name in {"db", "username", "password"}
    }
    is_tls = settings.redis_url.startswith("rediss://")
    return SentinelConnectionPool(
        settings.redis_sentinel_primary,
        sentinel,
        max_connections=settings.store_connections_max,
        ssl=is_tls,
        **credentials,
        **options,
    )
