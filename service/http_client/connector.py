"""Opens connections of the HTTP client: name lookup, address guard, TCP, proxy and TLS, in this order."""

import asyncio
import contextlib
import functools
import ssl
from collections.abc import Sequence
from socket import IPPROTO_TCP, AddressFamily, socket

from service.errors import PermanentError
from service.http_client.connection import Connection
from service.http_client.failures import cannot_connect, connect_timeout, proxy_unreachable, tls_failed
from service.http_client.pool import Origin
from service.http_client.tls_connection import TlsConnection
from service.http_client.tunnel import open_tunnel
from service.http_url import HttpUrl
from service.name_resolver import NameResolver, ResolvedAddress
from service.open_socket import connect_first
from service.ssrf_guard import SsrfGuard, parse_address

CACHE_SECONDS = 10.0
"""Time for which the addresses of a name are reused."""
CACHED_NAMES_MAX = 1_000


class CheckedResolver:
    """Resolves host names, and checks every address of a guarded call."""

    def __init__(self, guard: SsrfGuard, resolver: NameResolver) -> None:
        self._guard = guard
        self._inner = resolver
        self._cache: dict[tuple[str, int], tuple[float, Sequence[ResolvedAddress]]] = {}

    async def resolve(self, host: str, port: int, *, is_guarded: bool) -> Sequence[ResolvedAddress]:
        """Return the addresses of a host. The connection must go to one of them, without a second lookup.

        Raises:
            OSError: The name has no address, or the lookup failed.
            PermanentError: `address_blocked`: one of the addresses is private.
        """
        found = _literal(host, port) or await self._resolve_name(host, port)
        if is_guarded:
            self._guard.check_resolved(host, [each["host"] for each in found])
        return found

    async def _resolve_name(self, host: str, port: int) -> Sequence[ResolvedAddress]:
        now = asyncio.get_running_loop().time()
        expires_at, found = self._cache.get((host, port), (0.0, ()))
        if expires_at <= now:
            found = await self._inner.resolve(host, port, AddressFamily.AF_UNSPEC)
            if len(self._cache) >= CACHED_NAMES_MAX:
                self._cache.clear()
            self._cache[host, port] = (now + CACHE_SECONDS, found)
        return found


def _literal(host: str, port: int) -> Sequence[ResolvedAddress]:
    address = parse_address(host)
    if address is None:
        return ()
    family = AddressFamily.AF_INET if address.version == 4 else AddressFamily.AF_INET6
    return (ResolvedAddress(hostname=host, host=host, port=port, family=family, proto=IPPROTO_TCP),)


class ConnectionOpener:
    """Opens connections. Without `tls` the system's certificate authorities count."""

    def __init__(self, resolver: CheckedResolver, tls: ssl.SSLContext | None) -> None:
        self._resolver = resolver
        self._tls = tls

    async def open(self, origin: Origin, connect_seconds_max: float) -> Connection:
        """Open a connection of an origin. TCP and TLS have `connect_seconds_max` each.

        Raises:
            TransientError: `connect` (also DNS), `tls`.
            PermanentError: `address_blocked`, `invalid_url`.
        """
        host = origin.authority
        try:
            sock = await self._open_socket(origin, connect_seconds_max)
            return await self._start(origin, sock, connect_seconds_max)
        except ssl.SSLError as error:
            raise tls_failed(host) from error
        except TimeoutError as error:
            raise connect_timeout(host) from error
        except OSError as error:
            raise cannot_connect(host) from error
        except ValueError as error:  # not a name that TLS can send
            raise PermanentError("invalid_url", f"the URL of {host} is malformed") from error

    async def _open_socket(self, origin: Origin, connect_seconds_max: float) -> socket:
        route = origin.route
        end = route if route.proxy is None or route.proxy.url is None else route.proxy.url
        try:
            found = await self._resolver.resolve(end.host, end.port, is_guarded=route.is_guarded)
            async with asyncio.timeout(connect_seconds_max):
                return await connect_first(found)
        except OSError as error:
            if route.proxy is None or isinstance(error, TimeoutError):
                raise
            raise proxy_unreachable(route.proxy) from error

    async def _start(self, origin: Origin, sock: socket, connect_seconds_max: float) -> Connection:
        """Start the protocol on a connected socket. Closes the socket after an error."""
        route = origin.route
        loop = asyncio.get_running_loop()
        tls = (route.tls or self._tls or default_tls()) if route.scheme == "https" else None
        name = route.host.removesuffix(".")
        try:
            connection = Connection(origin) if tls is None else TlsConnection(origin, tls, name)
            if tls is not None and route.proxy is not None:
                transport = await open_tunnel(sock, HttpUrl(route.scheme, route.host, route.port), route.proxy)
                transport.set_protocol(connection)
                connection.connection_made(transport)
            else:
                await loop.create_connection(lambda: connection, sock=sock)
            if isinstance(connection, TlsConnection):
                async with asyncio.timeout(connect_seconds_max):
                    await connection.wait_until_ready()
        except BaseException:
            with contextlib.suppress(OSError):  # uvloop closes the socket with its transport
                sock.close()
            raise
        return connection


@functools.lru_cache(maxsize=1)
def default_tls() -> ssl.SSLContext:
    """Return the context with the system's certificate authorities. It is loaded at the first call that needs it."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
