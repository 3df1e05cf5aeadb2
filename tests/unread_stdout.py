"""A `waybill` process with a blocking pipe as standard output. The pipe is read only on request."""

import asyncio
import os
import select
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from tests.waiting import PATIENCE_SECONDS, until


class UnreadProcess:
    """The process and both ends of its standard output."""

    def __init__(self, process: "subprocess.Popen[bytes]", reader: int, writer: int) -> None:
        self.process = process
        self._reader = reader
        self._writer = writer
        self._received = b""

    async def wait_for_started(self) -> dict[str, Any]:
        """Read until the line `process.started`, and return it. Nothing is read after it."""

        def read() -> dict[str, Any]:
            while True:
                for line in self._lines():
                    if line["message"] == "process.started":
                        return line
                received = os.read(self._reader, 4_096)
                assert received, f"the process ended before process.started; its output: {self._received!r}"
                self._received += received

        return await asyncio.wait_for(asyncio.to_thread(read), PATIENCE_SECONDS)

    async def wait_until_blocked(self) -> None:
        """Wait until the pipe is full."""
        await until(lambda: not select.select([], [self._writer], [], 0)[1])

    async def read_rest(self) -> list[dict[str, Any]]:
        """Read to the end of the output, and return all lines."""
        self.close_writer()

        def read() -> None:
            while received := os.read(self._reader, 65_536):
                self._received += received

        await asyncio.wait_for(asyncio.to_thread(read), PATIENCE_SECONDS)
        return self._lines()

    async def wait(self) -> int:
        """Return the exit code."""
        return await asyncio.to_thread(self.process.wait, PATIENCE_SECONDS)

    def close_writer(self) -> None:
        """Close the write end in this process, so that a read returns the end of the output."""
        if self._writer >= 0:
            os.close(self._writer)
            self._writer = -1

    def _lines(self) -> list[dict[str, Any]]:
        complete, _, _ = self._received.rpartition(b"\n")
        return [msgspec.json.decode(line) for line in complete.splitlines()]


@contextmanager
def run_unread(command: str, directory: Path, settings: Mapping[str, object]) -> Generator[UnreadProcess]:
    """Start `waybill <command>`. `settings` are environment variables. Kills the process at the end."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("WAYBILL_")}
    environ |= {"WAYBILL_HOST": "127.0.0.1", "WAYBILL_PORT": "0", "WAYBILL_ADMIN_PORT": "0"}
    environ |= {name: str(value) for name, value in settings.items()}
    reader, writer = os.pipe()
    with (directory / f"{command}.err").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", command], stdout=writer, stderr=errors, env=environ
        )
    unread = UnreadProcess(process, reader, writer)
    try:
        yield unread
    finally:
        unread.close_writer()
        process.kill()
        process.wait()
        os.close(reader)
