"""Runs the quickstart of README.md literally in two terminals with clean environments."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from pathlib import Path

import pytest

pytestmark = [pytest.mark.crash, pytest.mark.slow]

ROOT = Path(__file__).parents[1]
SECONDS_MAX = 120.0
RECORDS = "RECORD_TRANSCRIPTS"
"""Variable of tests.docs.transcripts: outputs are recorded, and another output than the shown one is accepted."""
RECORD_SECONDS = 15.0
"""Time after which another output is recorded: an event is processed by then."""
RECORDED: list[tuple[str, str]] = []
"""Shown and actual outputs."""
ID = re.compile(r"\b[0-9a-f]{32}\b")
VARIABLE = re.compile(
    r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b|\b[0-9a-f]{12,32}\b"
    r"|(?<=after )[\d.]+(?= ms)|\d{4}-\d\d-\d\dT[\d:.+]+Z?|(?<=127\.0\.0\.1:)\d+"
)
"""Parts of the output that differ in every run: ids, digests, timestamps, ports and durations."""


def terminals() -> tuple[str, list[tuple[str, str]]]:
    """Return the script of the first terminal, and each command of the second terminal with its shown output."""
    section = (ROOT / "README.md").read_text().partition("\n## Try it\n")[2].partition("\n## ")[0]
    first, second = re.findall(r"^```console\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    script = "\n".join(re.findall(r"^\$ (.+)$", first, re.MULTILINE))
    return script, re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", second, re.MULTILINE)


def is_same_output(shown: str, actual: str) -> bool:
    """Compare two outputs except for the parts that differ in every run. No shown output permits any output."""
    return not shown or VARIABLE.sub("*", shown) == VARIABLE.sub("*", actual)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Return the environment of both terminals. Their folder has a .venv, and `waybill dev` writes its file there."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8"}


@contextlib.contextmanager
def first_terminal(script: str, folder: Path, environ: dict[str, str]) -> Generator["subprocess.Popen[bytes]"]:
    """Run the script, wait until all processes run, and end it with Ctrl-C."""
    with (folder / "out").open("wb") as out:
        command = ["/bin/sh", "-c", script]
        process = subprocess.Popen(command, cwd=folder, env=environ, stdout=out, stderr=out, start_new_session=True)
    try:
        deadline = time.monotonic() + SECONDS_MAX
        while "Ctrl-C stops everything." not in (text := (folder / "out").read_text()):
            assert process.poll() is None, text
            assert time.monotonic() < deadline, text
            time.sleep(0.1)
        yield process
        os.killpg(process.pid, signal.SIGINT)
        process.wait(SECONDS_MAX)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for left in re.findall(r"^config +(\S+)/waybill.yaml", (folder / "out").read_text(), re.MULTILINE):
            shutil.rmtree(left, ignore_errors=True)


def test_quickstart_prints_the_output_of_readme(environ: dict[str, str], tmp_path: Path) -> None:
    script, commands = terminals()
    assert "waybill dev" in script
    assert [command.split()[:2] for command, _ in commands[1:]] == [
        ["waybill", "send"],
        ["waybill", "events"],
        ["waybill", "explain"],
    ]
    ids: dict[str, str] = {}
    outputs: dict[str, str] = {}
    with first_terminal(script, tmp_path, environ):
        activate = commands[0][0]
        for command, shown in commands[1:]:
            script = f"{activate}\n{with_ids(command, ids)}"
            outputs[command] = run_until_same(script, shown, tmp_path, environ)
            ids |= dict(zip(ID.findall(shown), ID.findall(outputs[command]), strict=False))
    listed = next(output for command, output in outputs.items() if "events list" in command)
    assert set(ids.values()) & set(ID.findall(listed))
    assert list(tmp_path.glob(".waybill/dev.json")) == [], "the file is removed at the end"


def with_ids(command: str, ids: Mapping[str, str]) -> str:
    """Replace the ids of README.md by those of this run."""
    return ID.sub(lambda match: ids[match[0]], command)


def run_until_same(script: str, shown: str, folder: Path, environ: dict[str, str]) -> str:
    """Run a script and return its output. Repeat a reading script until the event is processed."""
    is_recording = RECORDS in os.environ
    deadline = time.monotonic() + (RECORD_SECONDS if is_recording else SECONDS_MAX)
    while True:
        done = subprocess.run(
            ["/bin/sh", "-c", script], cwd=folder, env=environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        is_same = is_same_output(shown, done.stdout)
        if is_recording and shown and (is_same or " send " in script or time.monotonic() > deadline):
            RECORDED.append((shown, done.stdout))
            return done.stdout
        if is_same:
            return done.stdout
        assert " send " not in script, done.stdout
        assert time.monotonic() < deadline, done.stdout
        time.sleep(0.2)


def test_different_output_is_found() -> None:
    _, commands = terminals()
    shown = commands[-1][1]
    assert is_same_output(shown, shown.replace("14:49", "15:50"))
    assert not is_same_output(shown, shown.replace("60 units", "61 units"))
    assert not is_same_output(shown, shown.replace("ended, matched", "ended, unmatched"))
