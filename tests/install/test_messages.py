"""Everything that keeps `make` from installing is reported in one line that names the fix."""

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.install.lock_files import REQUIREMENTS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = REQUIREMENTS.parent
TOOLS = ["awk", "cat", "chmod", "dirname", "env", "grep", "make", "mkdir", "rm", "sh", "touch"]
NOBODY = 65534
INDEX = "http://127.0.0.1:9/simple"
"""An index that refuses every connection."""


@pytest.fixture
def clone() -> Iterator[Path]:
    """Copy what installs into a folder that other users can enter."""
    with tempfile.TemporaryDirectory(prefix="wb-clone-") as folder:
        clone = Path(folder)
        clone.chmod(0o755)
        for name in ("Makefile", "pyproject.toml"):
            shutil.copy(ROOT / name, clone)
        shutil.copytree(REQUIREMENTS, clone / "requirements")
        yield clone


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Make a folder that holds the tools of the recipes, and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found, name
        (folder / name).symlink_to(found)
    return folder


def make(clone: Path, environ: Mapping[str, str], user: int | None = None) -> list[str]:
    """Run `make demo`, which has to fail, and give the lines that it and its recipes print."""
    done = subprocess.run(
        ["make", "demo"],  # noqa: S607 - the one on the path
        cwd=clone,
        env={"PIP_CONFIG_FILE": os.devnull, "HOME": str(clone), **environ},
        user=user,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    return [line for line in done.stdout.splitlines() if not line.startswith("make: ***")]


def test_no_python(clone: Path, path: Path) -> None:
    (line,) = make(clone, {"PATH": str(path)})
    assert "python3 is missing or older than Python 3.11. Fix: " in line
    assert "apt-get install python3 python3-venv" in line


def test_a_python_that_is_too_old(clone: Path, path: Path) -> None:
    _python(path, "exit 1")
    (line,) = make(clone, {"PATH": str(path)})
    assert "older than Python 3.11. Fix: " in line


def test_a_python_that_is_named_and_missing(clone: Path, path: Path) -> None:
    (line,) = make(clone, {"PATH": str(path), "PYTHON": "/usr/local/no/python3"})
    assert line.startswith("/usr/local/no/python3 is missing or older than Python 3.11. Fix: ")


def test_no_venv_module(clone: Path, path: Path) -> None:
    _python(path, 'case "$2" in *venv*) exit 1;; esac')
    (line,) = make(clone, {"PATH": str(path)})
    assert line == "python3 has no module venv. Fix: install it (on Debian and Ubuntu: apt-get install python3-venv)"


def test_no_network_and_an_environment_whose_python_was_removed(clone: Path) -> None:
    environment = clone / ".venv"
    (environment / "bin").mkdir(parents=True)
    (environment / "bin" / "python").symlink_to("/usr/local/no/python3")
    (environment / ".installed").touch()
    environ = {"PATH": os.environ["PATH"], "PIP_INDEX_URL": INDEX, "PIP_RETRIES": "1"}
    first, line = make(clone, environ)
    assert first.startswith("Installing up to ")
    assert line.startswith("the package index cannot be reached (details: .venv/install.log). Fix: ")
    assert "refused" in (environment / "install.log").read_text()
    assert subprocess.run([environment / "bin" / "python", "-c", "import pip"], check=False).returncode == 0


def test_a_folder_that_cannot_be_written(clone: Path) -> None:
    clone.chmod(0o555)
    (line,) = make(clone, {"PATH": os.environ["PATH"]}, user=None if os.getuid() else NOBODY)
    assert line.startswith(".venv cannot be written. Fix: ")


def _python(path: Path, body: str) -> None:
    script = path / "python3"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
