"""TCP proxy that forwards, delays or blocks bytes, or breaks connections."""

import asyncio
import contextlib
import socket
from typing import Literal

Mode = Literal["pass", "slow", "hang", "cut requests", "cut responses"]
"""`cut requests` breaks a connection before its next request is forwarded, `cut responses` before its next response."""

SLOW_SECONDS = 0.05


class FaultProxy:
    """Listens on a free port and forwards to a port or a unix socket."""

    def __init__(self, target: str | int) -> None:
        self.mode: Mode = "pass"
        self.port = 0
        self._target = target
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        # Keeps the port while the proxy is down. A socket that does not listen refuses connections.
        self._reservation = socket.socket()
        self._reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)

    async def start(self) -> None:
        """Start to listen."""
        self._reservation.bind(("127.0.0.1", 0))
        self.port = self._reservation.getsockname()[1]
        await self.bring_up()

    async def bring_up(self) -> None:
        """Listen again on the same port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, reuse_port=True)

    def take_down(self) -> None:
        """Refuse connections, and break the open ones."""
        if self._server:
            self._server.close()
        self.break_all()

    async def stop(self) -> None:
        """Stop to listen and break all connections."""
        self.take_down()
        self._reservation.close()

    def break_all(self) -> None:
        """Break all connections."""
        for writer in tuple(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            upstream_reader, upstream_writer = await self._connect()
            self._open |= {writer, upstream_writer}
            try:
                await asyncio.gather(
                    self._pump(reader, upstream_writer, "cut requests"),
                    self._pump(upstream_reader, writer, "cut responses"),
                )
            finally:
                self._open -= {writer, upstream_writer}
                upstream_writer.transport.abort()
        writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, int):
            return await asyncio.open_connection("127.0.0.1", self._target)
        return await asyncio.open_unix_connection(self._target)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cut: Mode) -> None:
        while data := await reader.read(1 << 16):
            while self.mode == "hang":  # noqa: ASYNC110 - another task sets the mode
                await asyncio.sleep(0.05)
            if self.mode == "slow":
                await asyncio.sleep(SLOW_SECONDS)
            if self.mode == cut:
                break
            writer.write(data)
            await writer.drain()
        writer.transport.abort()
