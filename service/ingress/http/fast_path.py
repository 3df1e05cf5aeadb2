"""Fast path around ASGI messages for requests and responses that are complete in memory.

ASGI passes a body in messages and a response in two, each a write with new header checks. Most deliveries are
complete before their handler runs, and most responses are encoded in advance. Others use plain ASGI.
"""

from typing import Any, cast

from litestar.types import Receive
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class FastRequestCycle(RequestResponseCycle):
    """Request cycle of uvicorn with a complete body and a complete response in one step each."""

    def whole_body(self) -> bytes | None:
        """Take the body if it is complete, else return None: the caller uses `receive`."""
        if self.more_body or self.disconnected or self.response_complete:
            return None
        body = bytes(self.body)
        self.body = bytearray()
        return body

    async def send_whole(self, head: bytes, body: bytes, *, closes: bool) -> None:
        """Send a complete response by one write; `head` is the status line and headers without the final empty line.

        Raises:
            RuntimeError: a response was started already.
        """
        if self.response_started:
            raise RuntimeError("a response to this request was started already")
        # Wait for a client that does not read, or its responses would accumulate in memory.
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        self.response_started = self.response_complete = True
        lines = [head, *[b"%b: %b\r\n" % pair for pair in self.default_headers]]
        if closes:
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


def request_cycle_of(receive: Receive) -> FastRequestCycle | None:
    """Return the request cycle that owns `receive`, None under another server.

    A reference in the scope would be a reference cycle, which only the garbage collector can free.
    """
    owner = cast("Any", getattr(receive, "__self__", None))
    return owner if isinstance(owner, FastRequestCycle) else None
