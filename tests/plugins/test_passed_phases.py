"""The plugins in a run with workers: each way in which a test ends is reported, and processes get interrupts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.slow

TESTS = """
import signal
import subprocess
import pytest

@pytest.fixture
def broken():
    raise LookupError("in setup")

@pytest.fixture
def leaking():
    yield
    raise LookupError("in teardown")

def test_passes(): pass
def test_fails(): assert not "in call"
def test_fails_before(broken): pass
def test_fails_after(leaking): pass
@pytest.mark.system_tool("no-such-tool", package="none")
def test_needs_a_tool(): pass
def test_its_processes_get_interrupts():
    assert subprocess.run(["sh", "-c", "kill -INT $$"]).returncode == -signal.SIGINT
"""
IGNORE_INTERRUPTS = ("sh", "-c", 'trap "" INT && exec "$@"', "sh")
"""Start of a command that runs as in the background of a shell."""


def test_every_failed_phase_is_reported_and_processes_get_interrupts(tmp_path: Path) -> None:
    (tmp_path / "test_all.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    own = [f"tests.plugins.{name}" for name in ("passed_phases", "system_tools", "interrupts")]
    plugins = [f"-p{name}" for name in ("xdist.plugin", *own)]
    command = [*IGNORE_INTERRUPTS, sys.executable, "-m", "pytest", *plugins, "-n1", "--rootdir", tmp_path, tmp_path]
    environ = {name: value for name, value in os.environ.items() if name != "CI"}
    environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    run = subprocess.run(
        command, cwd=Path(__file__).parents[2], env=environ, capture_output=True, text=True, check=False,
        timeout=PATIENCE_SECONDS,
    )  # fmt: skip
    assert run.returncode == 1
    assert "1 failed, 3 passed, 1 skipped, 2 errors" in run.stdout
    assert "1 TESTS WERE NOT RUN: missing no-such-tool" in run.stdout
    assert all(f"in {phase}" in run.stdout for phase in ("setup", "call", "teardown"))
