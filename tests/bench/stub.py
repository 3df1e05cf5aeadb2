"""Platform and sink in one raw protocol: GET returns a prebuilt order, POST returns 200.

    python -m tests.bench.stub <port> [echo|<lines of an order>]

`POST /sink` records the time by order id, and `GET /_moments` returns all times. A POST to another address is
only answered, such as the spans for a collector. The protocol supports the clients of the benchmark only: bodies with a
content length, no chunks.
"""

import asyncio
import signal
import sys
import time
from typing import cast

import msgspec
import uvloop

from tests.bench.material import LINES, order_json

_OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"

_order: list[bytes] = []
"""The parts of the order before and after its id."""

_moments: dict[str, float] = {}


class Stub(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # the class of uvloop is no subclass

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data if self._buffer else data
        head = data.find(b"\r\n\r\n")
        if head < 0:
            self._buffer = data
            return
        if data.startswith(b"POST"):
            lower = data[:head].lower()
            at = lower.find(b"content-length: ") + 16
            end = head + 4 + int(lower[at:].split(b"\r", 1)[0])
            if len(data) < end:
                self._buffer = data
                return
            if data.startswith(b"POST /sink"):
                _moments[msgspec.json.decode(data[head + 4 : end])["order"]] = time.monotonic()
            response = _OK
        else:
            response = self._get(data.split(b" ", 2)[1])
        self._buffer = b""
        if self._transport is not None:
            self._transport.write(response)

    def _get(self, path: bytes) -> bytes:
        if path == b"/_moments":
            body = msgspec.json.encode(_moments)
            _moments.clear()
        else:
            body = path.rpartition(b"/")[2].join(_order)
        return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


class Echo(asyncio.Protocol):
    """Returns the same 202 for any packet: the upper limit of a server on uvloop."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # the class of uvloop is no subclass

    def data_received(self, data: bytes) -> None:
        _ = data
        self._transport.write(b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n{}")


class Silent(asyncio.Protocol):
    """Accepts requests and never answers."""


async def listen(port: int, kind: type[asyncio.Protocol]) -> None:
    """Serve until SIGTERM."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    server = await loop.create_server(kind, "127.0.0.1", port)
    await over.wait()
    server.close()


if __name__ == "__main__":
    kind = (*sys.argv[2:], str(LINES))[0]
    if kind.isdigit():
        _order[:] = order_json("RECORD-ID", int(kind)).split(b"RECORD-ID")
    uvloop.run(listen(int(sys.argv[1]), {"echo": Echo, "silent": Silent}.get(kind, Stub)))
