"""One connection, with the bounds that uvicorn has not: on a head that never ends, on what is neither head nor body.

A head, a trailer or a chunk's extension may be sent for ever without a handler ever hearing of it, and many small
requests can be packed into one segment. Whoever does so is answered 431 where it can still be, and cut off.
"""

import asyncio
from http import HTTPStatus
from typing import ClassVar, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.ingress.answers import SECURITY_HEADERS
from service.ingress.problems import MEDIA_TYPE, problem_bytes
from service.settings import Settings

PIPELINED_MAX = 16
DRAINED_BYTES_MAX = 4_194_304
"""What a sender may still send of a body that was refused already; cut off at once it might not read why."""


class Connection(HttpToolsProtocol):
    """uvicorn's connection; `bounded` makes the class with a process's limits."""

    connections_max: ClassVar[int]
    head_bytes_max: ClassVar[int]
    header_fields_max: ClassVar[int]

    _idle_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Take the connection, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.connections_max:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Let uvicorn parse, then see that it came to something: a whole head, or a piece of a body."""
        cycle, before = self.cycle, self._waiting_bytes()
        super().data_received(data)
        if self.cycle is not cycle or self._waiting_bytes() > before:
            self._idle_bytes = 0
            if len(self.pipeline) > PIPELINED_MAX:
                self._cut_off()
            return
        self._idle_bytes += len(data)
        if self._idle_bytes > self._idle_bytes_max() or len(self.headers or ()) > self.header_fields_max:
            self._cut_off()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP as a problem, as every other refusal."""
        self._refuse(400, "bad_request", msg)

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
            self._refuse(431, "headers_too_large", f"The head is larger than {self.head_bytes_max} bytes.")
        else:
            self.transport.abort()

    def _refuse(self, status: int, code: str, detail: str) -> None:
        body = problem_bytes(status, code, detail)
        headers = {
            "content-type": MEDIA_TYPE, "content-length": str(len(body)), "connection": "close", **SECURITY_HEADERS,
        }  # fmt: skip
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.transport.write(f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{lines}\r\n".encode() + body)
        self.transport.close()


def bounded(settings: Settings) -> type[Connection]:
    """Make the class of connections that keeps to `settings`."""
    limits = {
        "connections_max": settings.connections_max,
        "head_bytes_max": settings.header_bytes_max,
        "header_fields_max": settings.header_fields_max,
    }
    return type("BoundedConnection", (Connection,), limits)
