"""Proxy that adds network latency to the store, in both directions.

    python -m tests.bench.distance <its socket> <the store's socket> <ms of a round trip>

The order of the data is kept, and requests do not delay each other: many can be in flight, as on a network.
"""

import asyncio
import selectors
import signal
import sys
from collections import deque
from typing import cast


class End(asyncio.Protocol):
    """One end of a connection. Received data leaves through the other end after a delay."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due: deque[tuple[float, bytes]] = deque()
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.WriteTransport | None = None
        self.other: End | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        self._due.append((self._loop.time() + self._seconds, data))
        if len(self._due) == 1:
            self._loop.call_at(self._due[0][0], self._forward_due)

    def connection_lost(self, exc: Exception | None) -> None:
        _ = exc
        if self.other:
            self.other.close()

    def send(self, data: bytes) -> None:
        if self._transport:
            self._transport.write(data)

    def close(self) -> None:
        if self._transport:
            self._transport.close()

    def _forward_due(self) -> None:
        now = self._loop.time()
        while self._due and self._due[0][0] <= now:
            data = self._due.popleft()[1]
            if self.other:
                self.other.send(data)
        if self._due:
            self._loop.call_at(self._due[0][0], self._forward_due)


class ClientEnd(End):
    """The client's end. It connects to the store when the client connects."""

    def __init__(self, seconds: float, store: str) -> None:
        super().__init__(seconds)
        self._store = store

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        store_end = self.other = End(self._seconds)
        store_end.other = self
        # The delay of the first data is longer than the connection to a unix socket takes.
        self._connecting = self._loop.create_task(self._loop.create_unix_connection(lambda: store_end, self._store))


async def listen(path: str, store: str, round_trip_ms: float) -> None:
    """Serve until SIGTERM."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    server = await loop.create_unix_server(lambda: ClientEnd(round_trip_ms / 2_000, store), path)
    await stopped.wait()
    server.close()


def main() -> None:
    # epoll and uvloop have a resolution of milliseconds, select of microseconds.
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        runner.run(listen(sys.argv[1], sys.argv[2], float(sys.argv[3])))


if __name__ == "__main__":
    main()
