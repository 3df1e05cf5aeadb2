"""HTTP client for all calls to platforms and for `http` actions.

Each call has a deadline, a connect timeout and a limit of response bytes, counted after decompression while reading.
Redirects are not followed, and cookies not stored. Proxy and certificate authorities are those of the settings
(`service.egress`). Errors are raised as TransientError or PermanentError. Guarded calls (`service.ssrf_guard`) use
connections of their own, so that none of them reuses a connection that was opened without the check.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Self

from msgspec import Struct

from service.egress import ProxyRoute, build_proxies, tls_context
from service.errors import PermanentError
from service.exchange import Exchange
from service.http_client.connection import Connection
from service.http_client.connector import CheckedResolver, ConnectionOpener
from service.http_client.failures import CLOSED, cannot_connect, connect_timeout
from service.http_client.options import DEFAULT_TRANSPORT, HttpResponse, TransportOptions
from service.http_client.pool import ConnectionPool, ConnectionRoute, Origin
from service.http_client.requests import IDEMPOTENT_METHODS, basic_credentials, checked_method, encode_head
from service.http_client.response_state import ResponseState
from service.http_url import HttpUrl, parse_http_url
from service.lease import check_lease, runs_unsafe_action
from service.name_resolver import NameResolver
from service.settings import Settings
from service.ssrf_guard import SsrfGuard

REQUEST_TIMEOUT = 408
"""Status of a server that closes an idle connection, and has not read the request (RFC 9110, 15.5.9)."""


class _Call(Struct, gc=False):
    """Request as bytes, and the limits of its call. `deadline` is a time of the event loop."""

    method: str
    head: bytes
    body: bytes | None
    deadline: float
    bytes_max: int
    connect_seconds_max: float


class HttpClient:
    """Pool of connections. Create it inside a running event loop, and close it.

    `allow_private_hosts` are private host names or IP addresses that guarded calls may reach.
    """

    def __init__(self, settings: Settings, allow_private_hosts: Iterable[str] = ()) -> None:
        self.settings = settings
        self._guard = SsrfGuard(allow_private_hosts)
        self._proxies = build_proxies(settings, os.environ)
        self._loop = asyncio.get_running_loop()
        self.resolver = NameResolver()
        self._resolver = CheckedResolver(self._guard, self.resolver)
        # A job makes one call at a time, unless several of its actions run concurrently.
        origin_connections_max = 2 * settings.concurrency
        connector = ConnectionOpener(self._resolver, tls_context(settings))
        self._pool = ConnectionPool(connector.open, 2 * origin_connections_max, origin_connections_max)

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None,
        seconds_max: float,
        bytes_max: int,
        guarded: bool,
        body_needed: bool = True,
        exchange: Exchange | None = None,
        transport: TransportOptions = DEFAULT_TRANSPORT,
    ) -> HttpResponse:
        """Send one request and read the complete response. Every status is a response, not an error.

        An `exchange` is filled with request, response and connection, also if the call fails.

        The status alone decides if it is 3xx, 4xx (except 404) or 5xx, or if the body is not needed: a body that
        cannot be read is then no error. Errors after the status line have `http_status`.

        If a reused connection was closed by the server before any byte of the response, idempotent methods (RFC 9110,
        9.2.2) are sent once more, within the same deadline. Other methods are not, nor any method of an unsafe effect.

        Returns:
            The response.

        Raises:
            TransientError: `connect` (also DNS), `timeout`, `tls`, `reset`, `protocol`.
            PermanentError: `response_too_large`, `invalid_url`, `invalid_request`, `address_blocked` (only if guarded).
        """
        started = time.perf_counter()
        deadline = self._loop.time() + seconds_max
        target = _parse_url(url)
        proxy = transport.proxy or self._proxies.route(target)
        if guarded:
            self._guard.check_literal(target.host)
        if exchange is not None:
            exchange.begin(method, url, headers, body, proxy.secrets)
        try:
            if guarded and proxy.url is not None:
                await self._check_proxied(target, deadline)
            origin = self._pool.origin(
                ConnectionRoute(
                    target.scheme, target.host, target.port, transport.tls, None if proxy.url is None else proxy,
                    guarded and proxy.url is None,
                )
            )  # fmt: skip
            method = checked_method(method)
            path, headers = _adapt(target, proxy, headers)
            head = encode_head(method, path, origin.host_header, headers, body)
            call = _Call(method, head, body, deadline, bytes_max, transport.connect_seconds_max)
            reader = await self._receive(origin, call, exchange)
        finally:
            if exchange is not None:
                exchange.duration_ms = (time.perf_counter() - started) * 1000
        failure = reader.failure
        if failure is not None and not _status_decides(reader.status, body_needed=body_needed):
            raise failure.error(origin.authority, bytes_max, reader.status)
        return HttpResponse(reader.status, reader.headers, reader.body, (time.perf_counter() - started) * 1000)

    async def _receive(self, origin: Origin, call: _Call, exchange: Exchange | None) -> ResponseState:
        """Send a request, and put the response into `exchange`: after a failure the parts that were received."""
        connection = origin.take() or await self._acquire(origin, call)
        was_reused = connection.is_reused
        reader = await self._send(connection, call, exchange)
        if was_reused and _was_not_read(reader) and call.method in IDEMPOTENT_METHODS and not runs_unsafe_action():
            origin.close_idle()
            reader = await self._send(await self._acquire(origin, call), call, exchange)
        return reader

    async def _send(self, connection: Connection, call: _Call, exchange: Exchange | None) -> ResponseState:
        """Write a request in the step that checks the lease, and wait for the end of the response.

        Raises:
            LeaseLost: as `check_lease`.
        """
        reader = ResponseState(self._loop.create_future(), call.bytes_max, call.method == "HEAD")
        try:
            if exchange is not None:
                exchange.connection = connection.facts()
            check_lease()
            connection.send(call.head, call.body, reader, call.deadline)
            await reader.future
        except BaseException:
            connection.abandon(reader)
            raise
        finally:
            if exchange is not None:
                exchange.status, exchange.response_headers = reader.status, reader.headers
                exchange.response_body = reader.body
        return reader

    async def _acquire(self, origin: Origin, call: _Call) -> Connection:
        try:
            async with asyncio.timeout_at(call.deadline):
                return await self._pool.acquire(origin, call.connect_seconds_max)
        except TimeoutError as error:
            raise connect_timeout(origin.authority) from error
        except OSError as error:
            raise cannot_connect(origin.authority) from error

    async def _check_proxied(self, target: HttpUrl, deadline: float) -> None:
        """Check the addresses of a target behind a proxy, if its name can be resolved.

        A proxy may know names that this process does not.

        Raises:
            PermanentError: `address_blocked`.
        """
        with contextlib.suppress(OSError):
            async with asyncio.timeout_at(deadline):
                await self._resolver.resolve(target.host, target.port, is_guarded=True)

    async def close(self) -> None:
        """Close all connections. Running calls fail."""
        await self._pool.close()
        await self.resolver.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _parse_url(url: str) -> HttpUrl:
    try:
        return parse_http_url(url)
    except ValueError as error:
        raise PermanentError("invalid_url", f"the URL cannot be used: {error}; check its template") from error


def _adapt(target: HttpUrl, proxy: ProxyRoute, headers: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
    """Return the request target and the headers. A proxy without a tunnel gets the whole URL, and its credentials."""
    path = target.target
    if target.has_credentials and not any(name.lower() == "authorization" for name in headers):
        headers = {**headers, "Authorization": basic_credentials(target)}
    if proxy.url is not None and target.scheme == "http":
        path = f"http://{target.host_header}{path}"
        if proxy.url.has_credentials:
            headers = {**headers, "Proxy-Authorization": basic_credentials(proxy.url)}
    return path, headers


def _was_not_read(reader: ResponseState) -> bool:
    """Return whether the server closed a reused connection, or its end of waiting, before it read the request."""
    if reader.failure is None:
        return reader.status == REQUEST_TIMEOUT and not reader.is_kept_alive
    return reader.failure is CLOSED and not reader.is_started


def _status_decides(status: int, *, body_needed: bool) -> bool:
    """Return whether a response is usable without its complete body. The meaning of a 404 depends on its body."""
    return status >= 200 and (not body_needed or (status >= 300 and status != 404))
