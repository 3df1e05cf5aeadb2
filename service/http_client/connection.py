"""One connection of the HTTP client: writes a request, and parses its response by httptools (llhttp).

Every call has a `ResponseState` of its own. A connection drops its reader in the step in which the response ends or
fails, and a connection that failed is closed. Bytes of one response can so never reach another call.
"""

import asyncio
import functools
import re
import select
from typing import Protocol, cast

import httptools

from service.exchange import ConnectionFacts, connection_facts
from service.http_client.decompression import decompressor
from service.http_client.failures import CLOSED, INVALID, TIMEOUT, TOO_LARGE, UNDECODABLE, Failure
from service.http_client.response_state import ResponseState

HEADER_BYTES_MAX = 32_768
"""Longest header of a response."""
HEADERS_MAX = 256
HEAD_BYTES_MAX = 131_072
"""Largest sum of the headers and trailers of a response, those of interim responses included."""
UNPARSED_BYTES_MAX = 131_072
"""Bytes in a row that complete neither a header nor a part of the body."""
INTERIM_RESPONSES_MAX = 16
"""Responses with a status of 1xx before the response (RFC 9110, 15.2)."""
JOINED_BODY_BYTES_MAX = 65_536
"""Largest body of a request that is copied, to be written together with its head."""
BODILESS_STATUSES = frozenset({204, 304})
IDLE_SECONDS_MAX = 30.0
KEEP_ALIVE_MARGIN_SECONDS = 1.0
"""Time before the end of `Keep-Alive: timeout` in which a connection is not reused."""

_KEEP_ALIVE = re.compile(r"\btimeout=([0-9]{1,5})\b")


class Owner(Protocol):
    """Part of the pool that a connection calls."""

    def release(self, connection: "Connection") -> None:
        """Take a connection whose response is complete. It may be reused."""
        ...

    def discard(self, connection: "Connection") -> None:
        """Stop counting a connection that is closed."""
        ...


class _RejectedError(Exception):
    """The response exceeds a limit or cannot be decompressed."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.kind)
        self.failure = failure


@functools.lru_cache(maxsize=512)
def _lower(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape").lower()


def _announces_body(reader: ResponseState) -> bool:
    """Return whether a 204 wrongly announces a body. Its bytes would be taken for the next response."""
    headers = reader.headers
    return reader.status == 204 and ("transfer-encoding" in headers or headers.get("content-length", "0") != "0")


class Connection(asyncio.Protocol):
    """Connection to one origin. The callbacks `on_*` are those of httptools."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._reader: ResponseState | None = None
        self._facts: ConnectionFacts | None = None
        self._is_closed = False
        self._loop = asyncio.get_running_loop()
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.is_reused = False
        self.idle_until = 0.0
        self.idle_seconds_max = IDLE_SECONDS_MAX
        self._parser = httptools.HttpResponseParser(self)
        # Servers that end lines by a bare LF, fold headers or pad the size of a chunk are common enough.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Write without a buffer: uvloop writes buffered bytes after other tasks, far from the check of the lease."""
        self._transport = cast("asyncio.Transport", transport)  # that of uvloop is of no such class
        self._poll = select.poll()
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN | select.POLLPRI)
        self._transport.set_write_buffer_limits(high=0)

    @property
    def is_usable(self) -> bool:
        """False if the connection is closed, or is closing."""
        return not self._is_closed and not self._transport.is_closing()

    @property
    def is_quiet(self) -> bool:
        """False if an idle connection was closed or received bytes, even if the event loop has not read them."""
        return not self._is_closed and not self._poll.poll(0)

    def facts(self) -> ConnectionFacts:
        """Return the facts of the connection. They are read once."""
        if self._facts is None:
            self._facts = connection_facts(self._transport)
        return self._facts

    def send(self, head: bytes, body: bytes | None, reader: ResponseState, deadline: float) -> None:
        """Write a request. The future of `reader` is done when the response is complete, or has failed.

        At `deadline`, a time of the event loop, the call fails. A timer of an earlier call is used again.
        """
        if self._is_closed:
            reader.end(CLOSED)
            return
        self.is_reused = True
        self._reader = reader
        self._deadline = deadline
        if self._timer is None or self._timer.when() > deadline:
            self._set_timer()
        if body is None or len(body) <= JOINED_BODY_BYTES_MAX:
            self._write(head + body if body else head)
        else:
            self._write(head)
            self._write(body)

    def _write(self, data: bytes) -> None:
        self._transport.write(data)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._deadline, self._expire)

    def _expire(self) -> None:
        self._timer = None
        if self._reader is None:
            return
        if self._loop.time() >= self._deadline:
            self._fail(TIMEOUT)
        else:
            self._set_timer()

    def abandon(self, reader: ResponseState) -> None:
        """Close the connection if a call that is cancelled still uses it, or has not used it yet."""
        if self._reader is reader or not reader.future.done():
            self._reader = None
            self.close()

    def close(self) -> None:
        """Close the connection. A running call fails."""
        if self._reader is not None:
            self._fail(CLOSED)
        elif not self._is_closed:
            self._is_closed = True
            if self._timer is not None:
                self._timer.cancel()
            self._owner.discard(self)
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse bytes of a response. Bytes that no request asked for close the connection."""
        reader = self._reader
        if reader is None:
            self.close()
            return
        reader.is_started = True
        reader.unparsed_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            cause = error.__context__
            self._fail(cause.failure if isinstance(cause, _RejectedError) else INVALID)
            return
        if reader.is_complete:
            self._finish(reader)
        elif reader.unparsed_bytes > UNPARSED_BYTES_MAX:
            self._fail(INVALID)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the call. A response that lasts until the connection is closed is then complete."""
        reader = self._reader
        if reader is not None and exc is None and reader.is_until_close:
            self._finish(reader)
        else:
            self.close()

    def on_message_begin(self) -> None:
        """Reject a second response to one request."""
        reader = self._reader
        if reader is None or reader.is_complete:
            raise _RejectedError(INVALID)

    def on_status(self, _: bytes) -> None:
        """Note the status, which may decide although the rest cannot be read."""
        status = self._parser.get_status_code()
        if self._reader is not None and status >= 200:
            self._reader.status = status

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a header. Trailers are not used (RFC 9110, 6.5.1)."""
        reader = self._reader
        if reader is None:
            raise _RejectedError(INVALID)
        size = len(name) + len(value)
        reader.unparsed_bytes = 0
        reader.header_count += 1
        reader.header_bytes += size
        if size > HEADER_BYTES_MAX or reader.header_count > HEADERS_MAX or reader.header_bytes > HEAD_BYTES_MAX:
            raise _RejectedError(INVALID)
        if not reader.is_head_complete:
            reader.headers[_lower(name)] = value.decode("utf-8", "surrogateescape")

    def on_headers_complete(self) -> None:
        """Decide how the body ends (RFC 9112, 6.3), and how it is decompressed."""
        reader = self._reader
        status = self._parser.get_status_code()
        if reader is None or status < 100 or status == 101:
            raise _RejectedError(INVALID)
        if status < 200:
            return
        reader.status = status
        reader.unparsed_bytes = 0
        reader.is_head_complete = True
        headers = reader.headers
        if reader.is_head:
            reader.is_complete = True  # the parser would wait for a body, so that the connection is not reused
            return
        if "content-length" not in headers and status not in BODILESS_STATUSES:
            coding = headers.get("transfer-encoding", "").rpartition(",")[2]
            reader.is_until_close = coding.strip().lower() != "chunked"
        if "content-encoding" in headers:
            try:
                reader.decompressor = decompressor(headers["content-encoding"])
            except ValueError:
                raise _RejectedError(UNDECODABLE) from None

    def on_body(self, piece: bytes) -> None:
        """Note a piece of the body, and check its decompressed size."""
        reader = self._reader
        if reader is None or reader.is_head:
            return
        reader.unparsed_bytes = 0
        if reader.decompressor is not None:
            try:
                piece = reader.decompressor.feed(piece, reader.bytes_max - reader.size + 1)
            except ValueError:
                raise _RejectedError(UNDECODABLE) from None
        reader.size += len(piece)
        if reader.size > reader.bytes_max:
            raise _RejectedError(TOO_LARGE)
        reader.pieces.append(piece)

    def on_message_complete(self) -> None:
        """Note the end of the response, or of an interim response."""
        reader = self._reader
        if reader is None or reader.is_head:
            return
        if reader.is_head_complete:
            reader.is_complete = True
            reader.is_kept_alive = self._parser.should_keep_alive() and not _announces_body(reader)
            return
        reader.headers.clear()
        reader.interim_count += 1
        if reader.interim_count > INTERIM_RESPONSES_MAX:
            raise _RejectedError(INVALID)

    def _finish(self, reader: ResponseState) -> None:
        """End the call, and offer the connection to the next one.

        A connection is closed if the server answered before it read the whole request.
        """
        self._reader = None
        is_readable = reader.decompressor is None or reader.decompressor.is_complete
        if reader.is_kept_alive and self.is_usable and not self._transport.get_write_buffer_size():
            if "keep-alive" in reader.headers and (found := _KEEP_ALIVE.search(reader.headers["keep-alive"])):
                self.idle_seconds_max = min(IDLE_SECONDS_MAX, int(found[1]) - KEEP_ALIVE_MARGIN_SECONDS)
            self._owner.release(self)
        else:
            self.close()
        reader.end(None if is_readable else UNDECODABLE)

    def _fail(self, failure: Failure) -> None:
        reader, self._reader = self._reader, None
        self.close()
        if reader is not None:
            reader.end(failure)
