"""HTTP client for all calls to platforms and for `http` actions.

Each call has a deadline, a connect timeout and a limit of response bytes, counted after decompression while reading.
Redirects are not followed, and cookies not stored. Proxy and certificate authorities are those of the settings
(`service.egress`). Errors are raised as TransientError or PermanentError. Guarded calls (`service.ssrf_guard`) use a
separate connection pool, so that none of them reuses a connection that was opened without the check.
"""

import asyncio
import contextlib
import functools
import os
import ssl
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from io import BytesIO
from socket import AddressFamily
from types import TracebackType
from typing import Self

import aiohttp
from msgspec import Struct
from yarl import URL

from service.egress import ProxyRoute, build_proxies, tls_context
from service.errors import PermanentError, TransientError
from service.exchange import Exchange
from service.http_connections import GuardedResolver, current_exchange, open_session
from service.lease import runs_unsafe_action
from service.name_resolver import NameResolver
from service.settings import Settings
from service.ssrf_guard import SsrfGuard

CONNECT_TIMEOUT_SECONDS = 5.0


class HttpResponse(Struct, frozen=True):
    """Response with any status. Header names are in lower case, the body is decompressed, durations are in ms.

    The body may be incomplete if the status alone decides. If aiohttp cannot parse the head, `headers` is empty.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    duration_ms: float


class TransportOptions(Struct, frozen=True):
    """Options of the connection of one call.

    `tls` replaces the default context, for a client certificate, and `proxy` the proxy of the settings.
    """

    connect_seconds_max: float = CONNECT_TIMEOUT_SECONDS
    tls: ssl.SSLContext | None = None
    proxy: ProxyRoute | None = None


DEFAULT_TRANSPORT = TransportOptions()


class HttpClient:
    """A pair of connection pools. Create it inside a running event loop, and close it.

    `allow_private_hosts` are private host names or IP addresses that guarded calls may reach.
    """

    def __init__(self, settings: Settings, allow_private_hosts: Iterable[str] = ()) -> None:
        self.settings = settings
        self._guard = SsrfGuard(allow_private_hosts)
        # A job makes one call at a time, unless several of its actions run concurrently.
        connections_max = 2 * settings.concurrency
        self._proxies = build_proxies(settings, os.environ)
        tls = tls_context(settings)
        self.resolver = NameResolver()
        self._guarded_resolver = GuardedResolver(self._guard, self.resolver)
        self._plain = open_session(self.resolver, connections_max, tls)
        self._guarded = open_session(self._guarded_resolver, connections_max, tls)

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

        If a reused connection was closed by the server, idempotent methods (RFC 9110, 9.2.2) are sent again on a new
        connection, within the same deadline. Other methods are not, nor any method of an unsafe effect.

        Returns:
            The response.

        Raises:
            TransientError: `connect` (also DNS), `timeout`, `tls`, `reset`, `protocol`.
            PermanentError: `response_too_large`, `invalid_url`, `invalid_request`, `address_blocked` (only if guarded).
        """
        target = _parse_url(url)
        session, proxy = await self._route(target, transport.proxy, guarded=guarded)
        exchange = exchange or Exchange()
        exchange.begin(method, url, headers, body, proxy.secrets)
        current_exchange.set(exchange)
        started = time.perf_counter()
        try:
            call = session.request(
                method,
                target,
                headers=headers,
                data=_payload(body),
                timeout=_timeout(seconds_max, transport.connect_seconds_max),
                allow_redirects=False,
                proxy=proxy.url,
                ssl=transport.tls or True,
                middlewares=(_send_once,) if runs_unsafe_action() else None,
            )
            await _receive(call, bytes_max, exchange)
        except (aiohttp.ClientError, OSError, ValueError, _BodyTooLargeError) as error:
            # aiohttp raises ValueError for a method or header that cannot be sent.
            exchange.status = exchange.status or _status_of(error)
            if not _status_decides(exchange.status, body_needed=body_needed):
                raise _classify(error, target, proxy, exchange.status or None, bytes_max) from error
        finally:
            current_exchange.set(None)
            exchange.duration_ms = (time.perf_counter() - started) * 1000
        return HttpResponse(exchange.status, exchange.response_headers, exchange.response_body, exchange.duration_ms)

    async def _route(
        self, target: URL, proxy: ProxyRoute | None, *, guarded: bool
    ) -> tuple[aiohttp.ClientSession, ProxyRoute]:
        """Return the connection pool and the proxy of a call.

        The pool of guarded calls checks the addresses of names. Through a proxy they are checked here, if the name can
        be resolved: a proxy may know names that this process does not.

        Raises:
            PermanentError: `address_blocked`.
        """
        proxy = proxy or ProxyRoute(self._proxies.find(target))
        if not guarded:
            return self._plain, proxy
        host = target.raw_host or ""
        self._guard.check_literal(host)
        if proxy.url is None:
            return self._guarded, proxy
        with contextlib.suppress(OSError):
            await self._guarded_resolver.resolve(host, target.port or 0, AddressFamily.AF_UNSPEC)
        return self._plain, proxy

    async def close(self) -> None:
        """Close both pools. Running calls fail."""
        await asyncio.gather(self._plain.close(), self._guarded.close())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


@functools.lru_cache(maxsize=64)
def _timeout(seconds_max: float, connect_seconds_max: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds_max, sock_connect=min(connect_seconds_max, seconds_max))


def _parse_url(url: str) -> URL:
    try:
        target = URL(url)
    except ValueError as error:
        raise PermanentError("invalid_url", "the URL is malformed: check its template") from error
    if target.scheme not in {"http", "https"} or not target.raw_host:
        raise PermanentError("invalid_url", "the URL does not start with http:// or https:// and a host")
    return target


def _payload(body: bytes | None) -> bytes | BytesIO | None:
    """Return the body as a stream if it is larger than a megabyte: aiohttp sends streams in chunks."""
    return BytesIO(body) if body is not None and len(body) > 1_048_576 else body


class _BodyTooLargeError(Exception):
    """The body is larger than the limit of the call."""


class _LostConnectionError(aiohttp.ClientError):
    """The connection was lost after the request was sent. aiohttp does not repeat the call after this error."""


async def _send_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Send a request once: the server may have processed it before it closed a reused connection."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _LostConnectionError(str(error)) from error


async def _receive(
    call: AbstractAsyncContextManager[aiohttp.ClientResponse], bytes_max: int, exchange: Exchange
) -> None:
    """Make a call, and put the response into `exchange`: after an error the parts that were received."""
    chunks: list[bytes] = []
    try:
        async with call as response:
            exchange.status = response.status
            exchange.response_headers = {name.lower(): value for name, value in response.headers.items()}
            size = 0
            content = response.content
            while not content.at_eof():
                chunk = await content.readany()  # empty at the end
                size += len(chunk)
                if size > bytes_max:
                    response.close()
                    raise _BodyTooLargeError
                chunks.append(chunk)
            if (error := content.exception()) is not None:  # decompression failed at the end of the response
                raise error
    finally:
        exchange.response_body = b"".join(chunks)


def _status_of(error: Exception) -> int:
    """Return the status of the target in an error, 0 if there is none. A proxy's answer to CONNECT is none."""
    if isinstance(error, aiohttp.ClientHttpProxyError) or not isinstance(error, aiohttp.ClientResponseError):
        return 0
    return error.status


def _status_decides(status: int, *, body_needed: bool) -> bool:
    """Return whether a response is usable without its complete body. The meaning of a 404 depends on its body."""
    return status >= 200 and (not body_needed or (status >= 300 and status != 404))


def _classify(
    error: Exception, target: URL, proxy: ProxyRoute, http_status: int | None, bytes_max: int
) -> TransientError | PermanentError:
    """Return the error for an exception of aiohttp. Its text has host and port only: the URL may contain secrets."""
    error_class, kind, reason = next(
        (error_class, kind, reason) for raised, error_class, kind, reason in _ERRORS if isinstance(error, raised)
    )
    host, via = _authority(target), f"{_authority(proxy.url or target)}: check {proxy.setting}"
    if "decode content-encoding" in str(error.__cause__):  # aiohttp has no class for this error
        return TransientError("protocol", f"the response of {host} cannot be decompressed", http_status=http_status)
    status = getattr(error, "status", "")
    return error_class(
        kind, reason.format(host=host, proxy=via, status=status, bytes_max=bytes_max), http_status=http_status
    )


def _authority(url: URL) -> str:
    return f"{url.raw_host}" if url.is_default_port() else f"{url.raw_host}:{url.port}"


_ERRORS: tuple[tuple[type[Exception], type[TransientError] | type[PermanentError], str, str], ...] = (
    # The first match counts: these classes are subclasses of each other, of OSError and of ValueError.
    (_BodyTooLargeError, PermanentError, "response_too_large", "the response of {host} exceeds {bytes_max} bytes"),
    (aiohttp.ClientSSLError, TransientError, "tls", "TLS handshake with {host} failed: check its certificate"),
    (
        aiohttp.ClientProxyConnectionError,
        TransientError,
        "connect",
        "cannot connect to the proxy {proxy}",
    ),
    (
        aiohttp.ClientHttpProxyError,
        TransientError,
        "connect",
        "status {status} to CONNECT {host} from the proxy {proxy} and its rules",
    ),
    (aiohttp.ConnectionTimeoutError, TransientError, "connect", "connecting to {host} timed out"),
    (aiohttp.ClientConnectorError, TransientError, "connect", "cannot connect to {host}"),
    (TimeoutError, TransientError, "timeout", "{host} did not answer in time"),
    (aiohttp.InvalidURL, PermanentError, "invalid_url", "the URL of {host} is malformed"),
    (aiohttp.ClientResponseError, TransientError, "protocol", "the response of {host} is not valid HTTP"),
    (aiohttp.ClientError, TransientError, "reset", "{host} closed the connection before the response was complete"),
    (OSError, TransientError, "reset", "{host} closed the connection before the response was complete"),
    (Exception, PermanentError, "invalid_request", "the method or headers of the request are not valid HTTP"),
)
