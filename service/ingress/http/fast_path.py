"""One request and its answer as uvicorn carries them, with a short way for what is whole.

By ASGI a body comes in messages and an answer goes out in two, each a write of its own with every header looked at
anew. Nearly every delivery lies whole in memory before anybody asks for it, and its answer is made of bytes that were
made beforehand; so both may be handed over at once. What is not whole goes the way of ASGI.
"""

from typing import Any, cast

from litestar.types import Receive
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class FastRequestCycle(RequestResponseCycle):
    """uvicorn's cycle of request and response, and the two short cuts."""

    def whole_body(self) -> bytes | None:
        """Give the body if it is here to its end, once; None where it must be waited for by `receive`."""
        if self.more_body or self.disconnected or self.response_complete:
            return None
        body = bytes(self.body)
        self.body = bytearray()
        return body

    async def send_whole(self, head: bytes, body: bytes, *, closes: bool) -> None:
        """Send a whole answer by one write; `head` is its status line and headers without the empty line behind them.

        Raises:
            RuntimeError: an answer was begun already.
        """
        if self.response_started:
            raise RuntimeError("this request has an answer already")
        # A sender that does not read its answers would have them pile up here.
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
    """Give the exchange whose `receive` this is; None under any other server.

    It is found by its method, since a scope that held it would be a circle, which only the garbage collector opens.
    """
    carrier = cast("Any", getattr(receive, "__self__", None))
    return carrier if isinstance(carrier, FastRequestCycle) else None
