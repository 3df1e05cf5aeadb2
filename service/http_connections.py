"""Connections of the HTTP client: pools, checked name lookups, and what aiohttp reports about a connection."""

import asyncio
import functools
import re
import ssl
from contextvars import ContextVar
from socket import AddressFamily
from typing import Any, cast

import aiohttp
from aiohttp.abc import AbstractResolver, AbstractStreamWriter, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.helpers import set_exception
from aiohttp.http_exceptions import HttpProcessingError

from service.errors import LeaseLost
from service.exchange import ConnectionFacts, Exchange, connection_facts
from service.lease import check_lease
from service.name_resolver import NameResolver
from service.ssrf_guard import SsrfGuard

KEEPALIVE_SECONDS = 30.0
USER_AGENT = "waybill"
HEADER_BYTES_MAX = 32_768
"""Longest status line, and longest header, of a response."""
HEADERS_MAX = 256

current_exchange: ContextVar[Exchange | None] = ContextVar("exchange", default=None)
"""Exchange of the call that this task makes."""

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([2-5][0-9]{2})")
_STATUS_LINE_BYTES = 12


class GuardedResolver(AbstractResolver):
    """Resolves host names and checks every IP address before a connection is opened."""

    def __init__(self, guard: SsrfGuard, resolver: NameResolver) -> None:
        self._guard = guard
        self._inner = resolver

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


class _Request(aiohttp.ClientRequest):
    """Request that is written only under a valid lease. aiohttp writes the head with the body, in a task of its own."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Check the lease, and write a request without a body.

        Raises:
            LeaseLost: as `check_lease`.
        """
        check_lease()
        return await super().send(conn)

    async def write_bytes(
        self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None = None
    ) -> None:
        """Check the lease again, and write head and body. The call that reads the response raises LeaseLost."""
        try:
            check_lease()
        except LeaseLost as error:
            if conn.protocol is not None:
                set_exception(conn.protocol, error)
            return
        await super().write_bytes(writer, conn, content_length)


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

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Write without a buffer: uvloop writes buffered bytes after other tasks, far from the check of the lease.

        TLS transports keep their buffer: at a limit of 0 they stop writing.
        """
        super().connection_made(transport)
        if transport.get_extra_info("ssl_object") is None:
            cast("asyncio.WriteTransport", transport).set_write_buffer_limits(high=0)

    def set_response_params(self, **params: Any) -> None:  # noqa: ANN401 - the parameters of aiohttp
        """Prepare the connection for the next response. aiohttp calls it in the task of the call."""
        self._status_line = b""
        exchange = current_exchange.get()
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


def open_session(resolver: AbstractResolver, connections_max: int, tls: ssl.SSLContext | None) -> aiohttp.ClientSession:
    """Open a session with a connection pool of its own. Without `tls` the system's certificate authorities count."""
    # Addresses of both families are tried in parallel (RFC 8305), 250 ms apart, in the order of the resolver.
    connector = _Connector(
        resolver=resolver,
        ssl=True if tls is None else tls,
        limit=connections_max,
        keepalive_timeout=KEEPALIVE_SECONDS,
        ttl_dns_cache=10,
    )
    return aiohttp.ClientSession(
        connector=connector,
        request_class=_Request,
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
