"""Child processes that run `waybill` commands with their output in files.

The parent reads the output files while they grow, and waits for log lines in them. On Linux the kernel kills the
children when the parent ends.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from service.errors import WaybillError

POLL_INTERVAL_SECONDS = 0.02
STOP_TIMEOUT_SECONDS = 5.0
PR_SET_PDEATHSIG = 1  # prctl(2)

LogLine = dict[str, Any]


class SubprocessFailed(WaybillError):
    """A child process ended unexpectedly, or a timeout expired. The text contains the end of its output."""

    kind = "child_failed"


class ChildProcess:
    """A child process and its output files. `start_bytes` is the size of the output when the process started."""

    def __init__(
        self, name: str, process: "subprocess.Popen[bytes]", output: Path, errors: Path, start_bytes: int = 0
    ) -> None:
        self.name = name
        self.process = process
        self.output = output
        self.errors = errors
        self._start_bytes = self._read_bytes = start_bytes

    def new_lines(self) -> list[LogLine]:
        """Return the JSON objects written since the last call. Other lines are skipped."""
        with self.output.open("rb") as file:
            file.seek(self._read_bytes)
            # The text after the last newline is incomplete.
            complete, _, _ = file.read().rpartition(b"\n")
        self._read_bytes += len(complete) + 1 if complete else 0
        return [line for text in complete.splitlines() if (line := _read_object(text)) is not None]

    def wait_for(self, predicate: Callable[[LogLine], bool], timeout_seconds: float) -> LogLine:
        """Wait for a line that matches `predicate`, and return the first one. Does not affect `new_lines`.

        Raises:
            SubprocessFailed: the process ended, or the timeout expired.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            # Checked before the lines are read, so that the last lines of an ended process are not missed.
            ended = self.process.poll() is not None
            for line in self.lines():
                if predicate(line):
                    return line
            if ended:
                raise SubprocessFailed(
                    f"{self.name} ended with exit code {self.process.returncode}\n{self.stderr_tail()}"
                )
            if time.monotonic() > deadline:
                raise SubprocessFailed(f"{self.name}: timeout after {timeout_seconds:g} s\n{self.stderr_tail()}")
            time.sleep(POLL_INTERVAL_SECONDS)

    def lines(self) -> list[LogLine]:
        """Return all JSON objects of the output of this process."""
        return [line for text in self._read_output().splitlines() if (line := _read_object(text)) is not None]

    def stderr_tail(self) -> str:
        """Return the end of stdout and stderr."""
        outputs = (self._read_output(), self.errors.read_bytes())
        parts = (output[-1_500:].decode(errors="replace").strip() for output in outputs)
        return "\n".join(part for part in parts if part)

    def _read_output(self) -> bytes:
        with self.output.open("rb") as file:
            file.seek(self._start_bytes)
            return file.read()

    def kill(self) -> None:
        """Stop the process with SIGKILL, like a crash."""
        self.process.kill()
        self.process.wait()

    def stop(self, timeout_seconds: float = STOP_TIMEOUT_SECONDS) -> None:
        """Stop the process with SIGTERM, or with SIGKILL after the timeout."""
        self.process.terminate()
        try:
            self.process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.kill()


def start_child(name: str, arguments: Sequence[str], environ: Mapping[str, str], directory: Path) -> ChildProcess:
    """Start `waybill <arguments>`. Its output is appended to `<directory>/<name>.jsonl`, its errors are in `.err`."""
    output, errors = directory / f"{name}.jsonl", directory / f"{name}.err"
    with output.open("ab") as out, errors.open("wb") as err:
        start_bytes = out.tell()
        process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "service", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=dict(environ),
            start_new_session=True,  # Ctrl-C reaches only the parent, which stops its children
            preexec_fn=partial(kill_with_parent, os.getpid()),  # noqa: PLW1509 - started from the main thread only
        )
    return ChildProcess(name, process, output, errors, start_bytes)


def kill_with_parent(parent: int) -> None:  # pragma: no cover - in a forked process, before its program begins
    """Ask the kernel to kill this process when its parent ends. Runs in the child before its program."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent ended before prctl
        os._exit(1)


def _read_object(text: bytes) -> LogLine | None:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.MsgspecError:
        return None
