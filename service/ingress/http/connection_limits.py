"""Connection limits that uvicorn lacks: number of connections, size of heads and trailers, pipelined requests.

A head, trailer or chunk extension of unlimited size never reaches a handler. Such a connection is answered 431 if
possible, and closed. `service.ingress.http.idle_timeouts` replaces uvicorn's timer per idle connection, which costs
as much as reading a small body.
"""

import asyncio
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.ingress.http.connection_table import ConnectionTable
from service.ingress.http.fast_path import FastRequestCycle
from service.ingress.http.problems import MEDIA_TYPE, problem_bytes
from service.ingress.http.request_rules import MALFORMED, check_request_head, is_ambiguous
from service.ingress.http.responses import make_response
from service.metrics.families import CONNECTIONS_CLOSED
from service.settings import Settings

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

PIPELINED_MAX = 16
CACHED_URL_BYTES_MAX = 256
PATH_BYTES_MAX = 2_048
"""Maximum size of a path. Litestar caches the routes of paths; a longer path has no route."""

NO_ROUTE = "/no-route"
"""Path of a request without a route: it is too long or ambiguous."""

DRAINED_BYTES_MAX = 4_194_304
"""Bytes of an already rejected body that are still read. A sender that is cut off may not read the response."""


class LimitedConnection(HttpToolsProtocol):
    """Connection of uvicorn with limits. `connection_class` creates the subclass with the limits of the settings."""

    table: ClassVar[ConnectionTable]
    head_bytes_max: ClassVar[int]
    header_fields_max: ClassVar[int]

    is_idle = False
    """True after a response, until more bytes arrive."""

    _idle_bytes = 0
    _fault = MALFORMED
    _is_malformed = False
    """True after invalid HTTP behind a complete request: its response comes first, then the connection closes."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Accept the connection, or abort it if there are too many."""
        super().connection_made(transport)
        # Without a response, which would need the resources that are short.
        if not self.table.add(self, self.client[0] if self.client else ""):
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the connection."""
        self.table.remove(self)
        super().connection_lost(exc)

    def end(self) -> None:
        """Close the connection, which waits for a request or for the rest of one."""
        if self.flow.write_paused:
            self.transport.abort()  # close() would wait until the client reads
        else:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Parse the bytes, and close the connection if too many bytes arrived without a complete head or body data."""
        if self._is_malformed:
            return
        self.is_idle = False
        cycle, before = self.cycle, self._waiting_bytes()
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self._end_malformed()
            return
        # A request began or its body grew: reset the counter.
        if self.cycle is not cycle or self._waiting_bytes() > before:
            self._idle_bytes = 0
            if len(self.pipeline) > PIPELINED_MAX:
                self._close_oversized()
            return
        self._idle_bytes += len(data)
        if self._idle_bytes > self._idle_bytes_max() or len(self.headers or ()) > self.header_fields_max:
            self._close_oversized()

    def on_headers_complete(self) -> None:
        """Start the request, or queue it behind the previous one. Copied from uvicorn, to create a FastRequestCycle."""
        scope, before = self.scope, cast("FastRequestCycle | None", self.cycle)
        parser = self.parser
        if parser.should_upgrade():
            return  # `_parse` repeats the head without the upgrade
        app = cast("ASGI3Application", self.app)  # pyright: ignore[reportUnknownMemberType] - as uvicorn has it
        version = parser.get_http_version()
        # Deliveries of a source have one address. Longer ones are not cached, and neither are queries.
        cached = len(self.url) <= CACHED_URL_BYTES_MAX and b"?" not in self.url
        path, raw_path, query = _read_target(self.url) if cached else _read_target.__wrapped__(self.url)
        if fault := check_request_head(version, self.headers):
            self._fault = fault
            raise httptools.HttpParserError(fault.detail)
        scope["method"] = parser.get_method().decode("ascii")
        scope["http_version"] = version
        scope["path"], scope["raw_path"], scope["query_string"] = path, raw_path, query
        self.cycle = FastRequestCycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, app))

    def on_message_complete(self) -> None:
        """Mark the end of the body, unless the head is repeated without the upgrade."""
        if not self.parser.should_upgrade():
            cycle = self.cycle
            if not cycle.response_complete:
                cycle.more_body = False
                cycle.message_event.set()
                self.table.work(self)

    def on_response_complete(self) -> None:
        """Start the next pipelined request, if any. Sets no keep-alive timer, unlike uvicorn."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._is_malformed:
            self._reject_malformed()
        else:
            self.is_idle = True
            self.table.wait(self)

    def _end_malformed(self) -> None:
        """Answer 400 to invalid HTTP, after the responses of complete requests before it."""
        self._is_malformed = True
        self.flow.pause_reading()
        newest = cast("FastRequestCycle | None", self.cycle)
        if newest is None or (newest.response_complete and not newest.more_body and not self.pipeline):
            self._reject_malformed()
        elif newest.more_body and self.pipeline:
            self.pipeline.popleft()  # the newest one, which no handler has
        elif newest.more_body:
            newest.end_malformed()
            if newest.response_started:
                self.end()
            else:
                self._reject_malformed()

    def _reject_malformed(self) -> None:
        self._reject(self._fault.status, self._fault.code, self._fault.detail)

    def _parse(self, data: bytes) -> None:
        """Feed the parser, ignoring offers of another protocol (RFC 9110, 7.8).

        Java's client offers HTTP/2 in its first request. The parser would treat the body as the other protocol.

        Raises:
            httptools.HttpParserError: the bytes are not valid HTTP.
        """
        while len(self.pipeline) <= PIPELINED_MAX:
            parser = self.parser
            try:
                parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                method, version = parser.get_method(), parser.get_http_version().encode()
                if method == b"CONNECT":
                    raise httptools.HttpParserError("CONNECT is not supported: this server is not a proxy") from upgrade
                fields = [b"%b: %b\r\n" % pair for pair in self.headers if pair[0] != b"upgrade"]
                head = b"%b %b HTTP/%b\r\n%b\r\n" % (method, self.url, version, b"".join(fields))
                self.parser = httptools.HttpRequestParser(self)
                data = head + data[cast("int", upgrade.args[0]) :]
            else:
                return

    def _waiting_bytes(self) -> int:
        cycle = self.cycle
        return len(cycle.body) + (not cycle.more_body) if cast("object | None", cycle) is not None else 0

    def _idle_bytes_max(self) -> int:
        return DRAINED_BYTES_MAX if self._is_body_answered() else self.head_bytes_max

    def _is_body_answered(self) -> bool:
        cycle = cast("object | None", self.cycle)
        return cycle is not None and self.cycle.response_complete and self.cycle.scope is self.scope

    def _close_oversized(self) -> None:
        cycle = cast("object | None", self.cycle)
        if cycle is None or (self.cycle.response_complete and self.cycle.scope is not self.scope):
            detail = f"The request head is too large. Send at most {self.head_bytes_max} bytes."
            self._reject(431, "headers_too_large", detail)
        else:
            self.transport.abort()

    def _reject(self, status: int, code: str, detail: str) -> None:
        CONNECTIONS_CLOSED.inc((code,))
        answer = make_response(status, MEDIA_TYPE, problem_bytes(status, code, detail), {"connection": "close"})
        self.transport.write(b"%b\r\n%b" % (answer.headers.head, answer.body))
        self.transport.close()


@lru_cache(maxsize=1_024)
def _read_target(url: bytes) -> tuple[str, bytes, bytes]:
    """Return the path, the path as sent, and the query.

    Raises:
        httptools.HttpParserError: the address is malformed.
    """
    parsed = httptools.parse_url(url)
    path = parsed.path.decode("ascii")
    if len(path) > PATH_BYTES_MAX or is_ambiguous(parsed.path):
        path = NO_ROUTE
    return unquote(path) if "%" in path else path, parsed.path, parsed.query or b""


def connection_class(settings: Settings) -> type[LimitedConnection]:
    """Create the connection class with the limits of `settings`."""
    limits = {
        "table": ConnectionTable(settings),
        "head_bytes_max": settings.header_bytes_max,
        "header_fields_max": settings.header_fields_max,
    }
    return type("ConfiguredConnection", (LimitedConnection,), limits)
