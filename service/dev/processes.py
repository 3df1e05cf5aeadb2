"""Child processes: our own commands, each with its JSON lines in a file, ended in order and never left behind.

A child's stdout is a file that is read while it grows, so that the parent can wait for a line and a person can look at
all of them afterwards. On Linux the kernel ends the children when the parent dies, however it dies.
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

POLL_SECONDS = 0.02
STOP_SECONDS_MAX = 5.0
PR_SET_PDEATHSIG = 1  # prctl(2)

LogLine = dict[str, Any]


class SubprocessFailed(WaybillError):
    """A child ended, or did not say in time what was waited for; the text holds the end of its output."""

    kind = "child_failed"


class ChildProcess:
    """One process of ours and what it has said so far."""

    def __init__(self, name: str, process: "subprocess.Popen[bytes]", output: Path, errors: Path) -> None:
        self.name = name
        self.process = process
        self.output = output
        self.errors = errors
        self._read_bytes = 0

    def new_lines(self) -> list[LogLine]:
        """Give the JSON lines that came in since the last call; text that is no JSON object is left out."""
        with self.output.open("rb") as file:
            file.seek(self._read_bytes)
            # Behind the last line end, the next line is still being written.
            whole, _, _ = file.read().rpartition(b"\n")
        self._read_bytes += len(whole) + 1 if whole else 0
        return [line for text in whole.splitlines() if (line := _read_object(text)) is not None]

    def wait_for(self, predicate: Callable[[LogLine], bool], seconds_max: float) -> LogLine:
        """Wait for the first line from the start of the output that is `predicate`; `new_lines` is not affected.

        Raises:
            SubprocessFailed: the process ended, or the time is over.
        """
        deadline = time.monotonic() + seconds_max
        while True:
            # Asked before the lines are read, so that the last words of one that ended are not missed.
            ended = self.process.poll() is not None
            for line in self.lines():
                if predicate(line):
                    return line
            if ended:
                raise SubprocessFailed(
                    f"{self.name} ended with exit code {self.process.returncode}\n{self.stderr_tail()}"
                )
            if time.monotonic() > deadline:
                raise SubprocessFailed(f"{self.name} said nothing of it in {seconds_max} s\n{self.stderr_tail()}")
            time.sleep(POLL_SECONDS)

    def lines(self) -> list[LogLine]:
        """Give all JSON lines from the start."""
        return [line for text in self.output.read_bytes().splitlines() if (line := _read_object(text)) is not None]

    def stderr_tail(self) -> str:
        """Give the end of both outputs, for a person."""
        parts = (path.read_text(errors="replace")[-1_500:].strip() for path in (self.output, self.errors))
        return "\n".join(part for part in parts if part)

    def kill(self) -> None:
        """End it by SIGKILL, as a crash would."""
        self.process.kill()
        self.process.wait()

    def stop(self, seconds_max: float = STOP_SECONDS_MAX) -> None:
        """End it in order; by SIGKILL if it takes too long."""
        self.process.terminate()
        try:
            self.process.wait(seconds_max)
        except subprocess.TimeoutExpired:
            self.kill()


def start_child(name: str, arguments: Sequence[str], environ: Mapping[str, str], directory: Path) -> ChildProcess:
    """Start `waybill <arguments>` with its output in `<directory>/<name>.jsonl` and `.err`."""
    output, errors = directory / f"{name}.jsonl", directory / f"{name}.err"
    with output.open("wb") as out, errors.open("wb") as err:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "service", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=dict(environ),
            start_new_session=True,  # a Ctrl-C at the terminal is for the parent, which stops its children in order
            preexec_fn=partial(kill_with_parent, os.getpid()),  # noqa: PLW1509 - started from the main thread only
        )
    return ChildProcess(name, process, output, errors)


def kill_with_parent(parent: int) -> None:  # pragma: no cover - in a forked process, before its program begins
    """Run in a child before its program: let the kernel end it when the process `parent` is gone."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the call
        os._exit(1)


def _read_object(text: bytes) -> LogLine | None:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.MsgspecError:
        return None
