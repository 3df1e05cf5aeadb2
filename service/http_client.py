"""HTTP client for all calls to platforms and for `http` actions.

Each call has a deadline, a connect timeout and a limit of response bytes, counted after decompression while reading.
Redirects are not followed, cookies not stored, proxy variables not used. Errors are raised as TransientError or
PermanentError. Guarded calls (`service.ssrf_guard`) use a separate connection pool, so that none of them reuses a
connection that was opened without the check.
"""

import asyncio
import functools
import re
import ssl
import time
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from io import BytesIO
from socket import AddressFamily
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError
from msgspec import Struct
from yarl import URL

from service.errors import PermanentError, TransientError
from service.exchange import ConnectionFacts, Exchange, connection_facts
from service.name_resolver import NameResolver
from service.settings import Settings
from service.ssrf_guard import SsrfGuard

CONNECT_TIMEOUT_SECONDS = 5.0
KEEPALIVE_SECONDS = 30.0
USER_AGENT = "waybill"
HEADER_BYTES_MAX = 32_768
"""Longest status line, and longest header, of a response."""
HEADERS_MAX = 256

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([2-5][0-9]{2})")
_STATUS_LINE_BYTES = 12

_current_exchange: ContextVar[Exchange | None] = ContextVar("exchange", default=None)


class HttpResponse(Struct, frozen=True):
    """Response with any status. Header names are in lower case, the body is decompressed, durations are in ms.

    The body may be incomplete if the status alone decides. If aiohttp cannot parse the head, `headers` is empty.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    duration_ms: float


class HttpClient:
    """A pair of connection pools. Create it inside a running event loop, and close it.

    `allow_private_hosts` are private host names or IP addresses that guarded calls may reach.
    """

    def __init__(self, settings: Settings, allow_private_hosts: Iterable[str] = ()) -> None:
        self.settings = settings
        self._guard = SsrfGuard(allow_private_hosts)
        # A job makes one call at a time, unless several of its actions run concurrently.
        connections_max = 2 * settings.concurrency
        self._plain = _open_session(NameResolver(), connections_max)
        self._guarded = _open_session(GuardedResolver(self._guard), connections_max)

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
        connect_seconds_max: float = CONNECT_TIMEOUT_SECONDS,
        tls: ssl.SSLContext | None = None,
        exchange: Exchange | None = None,
    ) -> HttpResponse:
        """Send one request and read the complete response. Every status is a response, not an error.

        An `exchange` is filled with request, response and connection, also if the call fails.

        The status alone decides if it is 3xx, 4xx (except 404) or 5xx, or if the body is not needed: a body that
        cannot be read is then no error. Errors after the status line have `http_status`.

        If a reused connection was closed by the server, idempotent methods (RFC 9110, 9.2.2) are sent again on a new
        connection, within the same deadline. Other methods are not. `tls` replaces the default context: certificate
        authorities and client certificate.

        Returns:
            The response.

        Raises:
            TransientError: `connect` (also DNS), `timeout`, `tls`, `reset`, `protocol`.
            PermanentError: `response_too_large`, `invalid_url`, `invalid_request`, `address_blocked` (only if guarded).
        """
        target = _parse_url(url)
        if guarded:
            self._guard.check_literal(target.raw_host or "")
        session = self._guarded if guarded else self._plain
        timeout = _timeout(seconds_max, connect_seconds_max)
        if exchange is not None:
            exchange.method, exchange.url, exchange.headers, exchange.body = method, url, headers, body
            _current_exchange.set(exchange)
        status, names, chunks = 0, dict[str, str](), list[bytes]()
        started = time.perf_counter()
        try:
            async with session.request(
                method,
                target,
                headers=headers,
                data=_payload(body),
                timeout=timeout,
                allow_redirects=False,
                ssl=True if tls is None else tls,
            ) as response:
                status = response.status
                names = {name.lower(): value for name, value in response.headers.items()}
                await _read(response, bytes_max, chunks)
        except (aiohttp.ClientError, OSError, ValueError, _BodyTooLargeError) as error:
            # aiohttp raises ValueError for a method or header that cannot be sent.
            if isinstance(error, aiohttp.ClientResponseError):
                status = status or error.status
            if not _status_decides(status, body_needed=body_needed):
                raise _classify(error, target, status or None, bytes_max) from error
        finally:
            if exchange is not None:
                _current_exchange.set(None)
                exchange.status, exchange.response_headers, exchange.response_body = status, names, b"".join(chunks)
                exchange.duration_ms = (time.perf_counter() - started) * 1000
        return HttpResponse(status, names, b"".join(chunks), (time.perf_counter() - started) * 1000)

    async def close(self) -> None:
        """Close both pools. Running calls fail."""
        await asyncio.gather(self._plain.close(), self._guarded.close())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class GuardedResolver(AbstractResolver):
    """Resolves host names and checks every IP address before a connection is opened."""

    def __init__(self, guard: SsrfGuard) -> None:
        self._guard = guard
        self._inner = NameResolver()

    async def resolve(
        self, host: str, port: int = 0, family: AddressFamily = AddressFamily.AF_INET
    ) -> list[ResolveResult]:
        """Return the IP addresses of `host`.

        Raises:
            PermanentError: `address_blocked`: one of the addresses is private.
        """
        found = await self._inner.resolve(host, port, family)
        self._guard.check_resolved(host, [item["host"] for item in found])
        return found

    async def close(self) -> None:
        """Close the resolver."""
        await self._inner.close()


class _Connector(aiohttp.TCPConnector):
    """Connector whose connections keep the status of a response that cannot be parsed."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - the options of aiohttp
        super().__init__(**options)  # pyright: ignore[reportUnknownMemberType] - one option has a partly unknown type
        self._factory = functools.partial(_ResponseProtocol, loop=asyncio.get_running_loop())


class _ResponseProtocol(ResponseHandler):
    """Protocol of a connection. An error of the parser gets the status of the response as its `code`, 0 if unknown.

    aiohttp drops a complete head if the bytes after it are not valid HTTP or their encoding is unknown. The facts of
    the connection are read once, for the first call that keeps its exchange.
    """

    _status_line = b""
    _facts: ConnectionFacts | None = None

    def set_response_params(self, **params: Any) -> None:  # noqa: ANN401 - the parameters of aiohttp
        """Prepare the connection for the next response. aiohttp calls it in the task of the call."""
        self._status_line = b""
        exchange = _current_exchange.get()
        if exchange is not None and self.transport is not None:
            self._facts = exchange.connection = self._facts or connection_facts(self.transport)
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Keep the first bytes of the response, parse all, and put the status into an error of the parser."""
        if len(self._status_line) < _STATUS_LINE_BYTES:
            self._status_line = (self._status_line + data)[:_STATUS_LINE_BYTES]
        super().data_received(data)
        error = self.exception()
        if isinstance(error, HttpProcessingError):
            found = _STATUS_LINE.match(self._status_line)
            error.code = int(found[1]) if found else 0


def _open_session(resolver: AbstractResolver, connections_max: int) -> aiohttp.ClientSession:
    connector = _Connector(
        resolver=resolver, limit=connections_max, keepalive_timeout=KEEPALIVE_SECONDS, ttl_dns_cache=10
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": USER_AGENT},
        trust_env=False,
        raise_for_status=False,
        max_line_size=HEADER_BYTES_MAX,
        max_field_size=HEADER_BYTES_MAX,
        max_headers=HEADERS_MAX,
        # Responses are decompressed in chunks while reading, so that the limit in _read stops decompression bombs.
        auto_decompress=True,
    )


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


async def _read(response: aiohttp.ClientResponse, bytes_max: int, chunks: list[bytes]) -> None:
    """Append the body to `chunks`, in parts. After an error they have what was read."""
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


def _status_decides(status: int, *, body_needed: bool) -> bool:
    """Return whether a response is usable without its complete body. The meaning of a 404 depends on its body."""
    return status >= 200 and (not body_needed or (status >= 300 and status != 404))


def _classify(
    error: Exception, target: URL, http_status: int | None, bytes_max: int
) -> TransientError | PermanentError:
    """Return the error for an exception of aiohttp. Its text has host and port only: the URL may contain secrets."""
    error_class, kind, reason = next(
        (error_class, kind, reason) for raised, error_class, kind, reason in _ERRORS if isinstance(error, raised)
    )
    host = target.raw_host if target.is_default_port() else f"{target.raw_host}:{target.port}"
    if "decode content-encoding" in str(error.__cause__):  # aiohttp has no class for this error
        return TransientError("protocol", f"the response of {host} cannot be decompressed", http_status=http_status)
    return error_class(kind, reason.format(host=host, bytes_max=bytes_max), http_status=http_status)


_ERRORS: tuple[tuple[type[Exception], type[TransientError] | type[PermanentError], str, str], ...] = (
    # The first match counts: these classes are subclasses of each other, of OSError and of ValueError.
    (
        _BodyTooLargeError,
        PermanentError,
        "response_too_large",
        "the response of {host} is larger than {bytes_max} bytes",
    ),
    (aiohttp.ClientSSLError, TransientError, "tls", "TLS handshake with {host} failed: check its certificate"),
    (aiohttp.ConnectionTimeoutError, TransientError, "connect", "connecting to {host} timed out"),
    (aiohttp.ClientConnectorError, TransientError, "connect", "cannot connect to {host}"),
    (TimeoutError, TransientError, "timeout", "{host} did not answer in time"),
    (aiohttp.InvalidURL, PermanentError, "invalid_url", "the URL of {host} is malformed"),
    (aiohttp.ClientResponseError, TransientError, "protocol", "the response of {host} is not valid HTTP"),
    (aiohttp.ClientError, TransientError, "reset", "{host} closed the connection before the response was complete"),
    (OSError, TransientError, "reset", "{host} closed the connection before the response was complete"),
    (Exception, PermanentError, "invalid_request", "the method or headers of the request are not valid HTTP"),
)
