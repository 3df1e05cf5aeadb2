"""Keys of `waybill dev` in a real terminal."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_demo import DEV, START_SECONDS_MAX, STARTED, environ_in, run, wait_for

pytestmark = [pytest.mark.crash, pytest.mark.slow, pytest.mark.timeout(600)]

TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
"""Runs a command in a terminal of its own, with the input of a pipe."""


def test_keys_explain_replay_repeat_open_and_quit(tmp_path: Path) -> None:
    environ = {name: value for name, value in environ_in(tmp_path).items() if name not in {"DISPLAY", "BROWSER"}}
    out = tmp_path / "out"
    pressed, keyboard = os.pipe()
    with out.open("wb") as output:
        command = [sys.executable, "-c", TERMINAL, *DEV]
        process = subprocess.Popen(command, stdin=pressed, stdout=output, stderr=output, env=environ, cwd=tmp_path)

    def press(key: str, *expected: str) -> None:
        """Press a key, and wait until all expected patterns are in the output after it."""
        before = len(text())
        os.write(keyboard, key.encode())
        wait_for(lambda: all(re.search(pattern, text()[before:]) for pattern in expected))

    def text() -> str:
        return re.sub(r"\x1b\[\d*m|\r", "", out.read_text())

    try:
        wait_for(lambda: STARTED in text())
        assert "Keys: e explain last event" in text()
        press("e", "No event yet")
        (words,) = re.findall(r"waybill (send .+)", text())
        assert run(environ, *shlex.split(words)).stdout.startswith("202  ")
        wait_for(lambda: bool(re.search(r"pack-orders +purchase_order.updated .* matched ", text())))
        press("e", r"event [0-9a-f]{32}: ended, matched", r"short-receipt matched")
        press("r", r"nothing_to_do|in_progress|skipped|replayed")
        press("s", r"202  ", r"pack-orders +purchase_order.updated .* (matched|unchanged) ")
        press("o", r"Open http://127\.0\.0\.1:\d+/ in a browser", r"Token: \S+")
        press("q", "Stopped")
        assert process.wait(START_SECONDS_MAX) == 0
    finally:
        process.kill()  # closes the terminal, at which `waybill dev` ends
        process.wait()
        os.close(pressed)
        os.close(keyboard)
