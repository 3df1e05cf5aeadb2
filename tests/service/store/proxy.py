"""Proxy between client and server that drops a selected script call or its reply."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Literal

Cut = Literal["on the way there", "on the way back"]


class Wire:
    """Forwards bytes. `cut` drops the `number`-th script call from now (from 0) before or after the server runs it.

    The connection is closed in both cases.
    """

    def __init__(self, path: Path, server: str) -> None:
        self.url = f"unix://{path}"
        self.calls = 0
        self.cuts = 0
        self._server = server.removeprefix("unix://")
        self._plan: tuple[int, Cut] | None = None
        self._held: tuple[bytes, asyncio.Event] | None = None

    def cut(self, number: int, where: Cut) -> None:
        self.calls = self.cuts = 0
        self._plan = number, where

    def hold(self, mark: bytes) -> asyncio.Event:
        """Hold the next call that contains `mark`. The returned event is set when the call arrives."""
        held = asyncio.Event()
        self._held = mark, held
        return held

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(self._server)
        try:
            while request := await reader.read(1 << 20):
                if self._holds(request):
                    await reader.read()  # until the client has gone
                    break
                if not await self._forward(request, there, back, writer):
                    break
        finally:
            writer.close()
            back.close()

    async def _forward(
        self, request: bytes, there: asyncio.StreamReader, back: asyncio.StreamWriter, writer: asyncio.StreamWriter
    ) -> bool:
        where = self._meets(request)
        if where == "on the way there":
            self.cuts += 1
            return False
        back.write(request)
        answer = await there.read(1 << 20)
        if answer.startswith(b"-NOSCRIPT"):
            self.calls -= 1  # the client sends the same call again, with the script's text
        elif where == "on the way back":
            self.cuts += 1
            return False
        writer.write(answer)
        return bool(answer)

    def _holds(self, request: bytes) -> bool:
        if self._held is None or self._held[0] not in request:
            return False
        self._held[1].set()
        self._held = None
        return True

    def _meets(self, request: bytes) -> Cut | None:
        if b"EVAL" not in request:
            return None
        self.calls += 1
        if self._plan and self._plan[0] == self.calls - 1:
            return self._plan[1]
        return None


@contextlib.asynccontextmanager
async def wire_to(server: str, directory: Path) -> AsyncGenerator[Wire]:
    path = directory / "wire.sock"
    wire = Wire(path, server)
    connections: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        await wire.serve(reader, writer)

    listening = await asyncio.start_unix_server(accept, path)
    try:
        yield wire
    finally:
        listening.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
