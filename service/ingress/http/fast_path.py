"""Fast path around ASGI messages for requests and responses that are complete in memory.

ASGI passes a body in messages and a response in two, each a write with new header checks. Most deliveries are
complete before their handler runs, and most responses are encoded in advance. Others use plain ASGI.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from litestar.types import Receive
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from service.ingress.http.responses import EncodedHeaders

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent, HTTPResponseStartEvent


CLIENT_CLOSED_REQUEST = 499
"""Status of a response to a sender that disconnected (from nginx); it is only logged."""

SENT_STATUS = "sent_status"
"""Key of the sent status in the state of an ASGI scope. A middleware or an exception handler may have changed it."""

ON_SENT = "on_sent"
"""Key of a function in the state of an ASGI scope that gets the sent status, for a response that others build."""


class FastRequestCycle(RequestResponseCycle):
    """Request cycle of uvicorn that takes a complete body at once and writes an encoded response at once."""

    _encoded: EncodedHeaders | None = None
    """Encoded headers of a started response whose body has not been sent."""

    _status = 0

    is_malformed = False
    """True if the body is not valid HTTP."""

    def whole_body(self) -> bytes | None:
        """Take the body if it is complete, else return None: the caller uses `receive`."""
        if self.more_body or self.disconnected or self.response_complete:
            return None
        body = bytes(self.body)
        self.body = bytearray()
        return body

    def end_malformed(self) -> None:
        """End a body that is not valid HTTP: its handler sees a disconnect."""
        self.is_malformed = self.disconnected = True
        self.message_event.set()

    async def send(self, message: "ASGISendEvent") -> None:
        """Send a message. Encoded headers are kept until the body, to write both at once."""
        # uvicorn marks the newest request of a connection only, which a pipelining client has others before.
        if self.transport.is_closing() and not self.response_complete:
            self.disconnected = True
        if message["type"] == "http.response.start" and not self.response_started:
            headers = message.get("headers")
            self._status = status = message["status"]
            self._encoded = None
            if isinstance(headers, EncodedHeaders) and headers.status == status:
                self._encoded = headers
                return
        elif (encoded := self._encoded) is not None and message["type"] == "http.response.body":
            self._encoded = None
            body = message.get("body", b"")
            if not message.get("more_body") and len(body) == encoded.body_bytes:
                # Wait for a client that does not read, or its responses would accumulate in memory.
                if self.flow.write_paused and not self.disconnected:
                    await self.flow.drain()
                if not self.disconnected:
                    self._write_whole(encoded, body)
                self._record_sent()
                return
            # A middleware changed the body: uvicorn checks its length.
            start = {"type": "http.response.start", "status": encoded.status, "headers": encoded}
            await super().send(cast("HTTPResponseStartEvent", start))
        await super().send(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self._record_sent()

    def _record_sent(self) -> None:
        state = self.scope.setdefault("state", {})
        state[SENT_STATUS] = status = CLIENT_CLOSED_REQUEST if self.disconnected else self._status
        on_sent = state.pop(ON_SENT, None)
        if on_sent is not None:
            on_sent(status)

    def _write_whole(self, encoded: EncodedHeaders, body: bytes) -> None:
        self.response_started = self.response_complete = True
        lines = [encoded.head, _encode_pairs(tuple(self.default_headers))]
        if encoded.closes:
            self.keep_alive = False
        elif not self.keep_alive:
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        if self.scope["method"] != "HEAD":
            lines.append(body)
        self.transport.write(b"".join(lines))
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


@lru_cache(maxsize=4)
def _encode_pairs(pairs: tuple[tuple[bytes, bytes], ...]) -> bytes:
    # The same pairs for a second: the date and the fixed headers.
    return b"".join([b"%b: %b\r\n" % pair for pair in pairs])


def request_cycle_of(receive: Receive) -> FastRequestCycle | None:
    """Return the request cycle that owns `receive`, None under another server or behind a middleware that wraps it.

    A reference in the scope would be a reference cycle, which only the garbage collector can free.
    """
    owner = cast("Any", getattr(receive, "__self__", None))
    return owner if isinstance(owner, FastRequestCycle) else None
