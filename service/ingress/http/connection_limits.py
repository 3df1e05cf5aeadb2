"""One connection, with the bounds that uvicorn has not: on a head that never ends, on what is neither head nor body.

A head, a trailer or a chunk's extension may be sent for ever without a handler ever hearing of it, and many small
requests can be packed into one segment. Whoever does so is answered 431 where it can still be, and cut off. How long a
connection may keep us waiting is the part of `service.ingress.http.idle_timeouts`, which looks at all of them once a
second: a timer for each pause between two requests, as uvicorn sets them, costs as much as reading a small body.
"""

import asyncio
from typing import TYPE_CHECKING, ClassVar, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.ingress.http.fast_path import FastRequestCycle
from service.ingress.http.problems import MEDIA_TYPE, problem_bytes
from service.ingress.http.responses import make_response
from service.settings import Settings

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

PIPELINED_MAX = 16
DRAINED_BYTES_MAX = 4_194_304
"""What a sender may still send of a body that was refused already; cut off at once it might not read why."""


class LimitedConnection(HttpToolsProtocol):
    """uvicorn's connection; `connection_class` makes the class with a process's limits."""

    connections_max: ClassVar[int]
    head_bytes_max: ClassVar[int]
    header_fields_max: ClassVar[int]

    kept_alive = False
    """Whether it has answered what was asked, and nothing more was begun."""

    _idle_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Take the connection, unless there are too many."""
        super().connection_made(transport)
        # Not answered: an answer takes what there is too little of.
        if len(self.connections) > self.connections_max:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse, then see that it came to something: a whole head, or a piece of a body."""
        self.kept_alive = False
        cycle, before = self.cycle, self._waiting_bytes()
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self._reject(400, "bad_request", "Invalid HTTP request received.")
            return
        # A request began or its body grew, so what was sent was worth reading.
        if self.cycle is not cycle or self._waiting_bytes() > before:
            self._idle_bytes = 0
            if len(self.pipeline) > PIPELINED_MAX:
                self._cut_off()
            return
        self._idle_bytes += len(data)
        if self._idle_bytes > self._idle_bytes_max() or len(self.headers or ()) > self.header_fields_max:
            self._cut_off()

    def on_headers_complete(self) -> None:
        """Begin an exchange, or let it wait for the one before: as uvicorn does, which offers no other place for it."""
        scope, before = self.scope, cast("FastRequestCycle | None", self.cycle)
        parser = self.parser
        if parser.should_upgrade():
            return  # `_parse` begins it again, without
        app = cast("ASGI3Application", self.app)  # pyright: ignore[reportUnknownMemberType] - as uvicorn has it
        version, url = parser.get_http_version(), httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        scope["method"] = parser.get_method().decode("ascii")
        scope["http_version"] = version
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = url.path
        scope["query_string"] = url.query or b""
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
        """End the body, unless there was no exchange begun for it."""
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with what waits, or wait for more; without the timer that uvicorn would set."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self.kept_alive = True

    def _parse(self, data: bytes) -> None:
        """Feed the parser. Another protocol that is offered besides is not heard of, as it may be (RFC 9110, 7.8).

        Java's client offers HTTP/2 with its first request, and the parser would take the body for the other protocol.

        Raises:
            httptools.HttpParserError: this is no HTTP.
        """
        while len(self.pipeline) <= PIPELINED_MAX:
            parser = self.parser
            try:
                parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                method, version = parser.get_method(), parser.get_http_version().encode()
                if method == b"CONNECT":
                    raise httptools.HttpParserError("this is no proxy") from upgrade
                kept = [b"%b: %b\r\n" % pair for pair in self.headers if pair[0] != b"upgrade"]
                head = b"%b %b HTTP/%b\r\n%b\r\n" % (method, self.url, version, b"".join(kept))
                self.parser = httptools.HttpRequestParser(self)
                data = head + data[cast("int", upgrade.args[0]) :]
            else:
                return

    def _waiting_bytes(self) -> int:
        cycle = self.cycle
        return len(cycle.body) + (not cycle.more_body) if cast("object | None", cycle) is not None else 0

    def _idle_bytes_max(self) -> int:
        return DRAINED_BYTES_MAX if self._in_answered_body() else self.head_bytes_max

    def _in_answered_body(self) -> bool:
        cycle = cast("object | None", self.cycle)
        return cycle is not None and self.cycle.response_complete and self.cycle.scope is self.scope

    def _cut_off(self) -> None:
        cycle = cast("object | None", self.cycle)
        if cycle is None or (self.cycle.response_complete and self.cycle.scope is not self.scope):
            self._reject(431, "headers_too_large", f"The head is larger than {self.head_bytes_max} bytes.")
        else:
            self.transport.abort()

    def _reject(self, status: int, code: str, detail: str) -> None:
        answer = make_response(status, MEDIA_TYPE, problem_bytes(status, code, detail), {"connection": "close"})
        self.transport.write(b"%b\r\n%b" % (answer.head, answer.body))
        self.transport.close()


def connection_class(settings: Settings) -> type[LimitedConnection]:
    """Make the class of connections that keeps to `settings`."""
    limits = {
        "connections_max": settings.connections_max,
        "head_bytes_max": settings.header_bytes_max,
        "header_fields_max": settings.header_fields_max,
    }
    return type("BoundedConnection", (LimitedConnection,), limits)
