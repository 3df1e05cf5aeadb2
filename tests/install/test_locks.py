"""Every lock is complete: an old pip installs it from an index that offers newer versions, and resolves nothing."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution, distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.install.lock_files import REQUIREMENTS, Entry, make_wheels, read_lock, write_lock
from tests.taking_turns import turn

INSTALLED_TOGETHER = ["runtime", "local", "build", "dev"]
DOWNLOADED_ONLY = {"helm", "oldpip"}
LOCKS = {path.stem for path in REQUIREMENTS.glob("*.txt")} - DOWNLOADED_ONLY
ENVIRONMENTS = [INSTALLED_TOGETHER, *([name] for name in sorted(LOCKS - set(INSTALLED_TOGETHER)))]
"""Locks of each environment. Those of the development environment are installed together, as `make` does."""
OLD_PIP = REQUIREMENTS.parent / ".venv" / "share" / "old-pip"

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def old_pip() -> Path:
    """Give the wheel of the old pip; it is downloaded once, its hash checked, and no network is needed after that."""
    OLD_PIP.mkdir(parents=True, exist_ok=True)
    if not list(OLD_PIP.glob("pip-*.whl")):
        with tempfile.TemporaryDirectory(dir=OLD_PIP) as folder:
            options = ["--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--dest", folder]
            lock = REQUIREMENTS / "oldpip.txt"
            subprocess.run([sys.executable, "-m", "pip", "download", *options, "--requirement", lock], check=True)
            (downloaded,) = Path(folder).glob("pip-*.whl")
            downloaded.replace(OLD_PIP / downloaded.name)  # whole or not there, for processes that test in parallel
    (wheel,) = OLD_PIP.glob("pip-*.whl")
    return wheel


@pytest.fixture(scope="module")
def compiled(old_pip: Path) -> Path:
    """Give a virtual environment that has the old pip, compiled, and nothing else; it is made once."""
    made = OLD_PIP / f"{old_pip.stem}-{sys.implementation.cache_tag}"
    with turn(OLD_PIP / "lock"):
        if not made.exists():
            with tempfile.TemporaryDirectory(dir=OLD_PIP) as folder:
                environment = Path(folder) / "environment"
                subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
                (packages,) = environment.glob("lib/python*/site-packages")
                with zipfile.ZipFile(old_pip) as wheel:
                    wheel.extractall(packages)
                subprocess.run([sys.executable, "-m", "compileall", "-q", packages], check=True)
                environment.replace(made)  # whole or not there
    return made


@pytest.fixture
def environment(compiled: Path, tmp_path: Path) -> Path:
    return shutil.copytree(compiled, tmp_path / "environment", symlinks=True)


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    return folder


def only(wheels: Path) -> dict[str, str]:
    """Give an environment in which pip knows the made-up wheels alone."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    return environ | {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}


def entries_of(names: list[str]) -> list[Entry]:
    entries = [entry for name in names for entry in read_lock(name)]
    unique = {(entry.name, entry.marker): entry for entry in entries}
    assert {entry.version for entry in entries if unique[entry.name, entry.marker].version != entry.version} == set()
    return list(unique.values())


@pytest.mark.slow
@pytest.mark.parametrize("names", ENVIRONMENTS, ids="-".join)
def test_an_old_pip_installs_the_locked_versions_where_newer_ones_are_offered(
    names: list[str], environment: Path, wheels: Path, tmp_path: Path
) -> None:
    entries = entries_of(names)
    lock = write_lock(tmp_path / "lock.txt", entries, make_wheels(wheels, entries))
    command = [REQUIREMENTS / "install", environment, lock]
    done = subprocess.run(command, env=only(wheels), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (packages,) = environment.glob("lib/python*/site-packages")
    found = distributions(path=[str(packages)])
    installed = {canonicalize_name(each.name): each.version for each in found if each.name != "pip"}
    assert installed == {entry.name: entry.version for entry in entries if entry.applies()}


@pytest.mark.slow
@pytest.mark.parametrize("names", [INSTALLED_TOGETHER, ["bench"]], ids=["development", "bench"])
def test_the_old_pip_refuses_a_lock_whose_extras_are_stripped(
    names: list[str], environment: Path, wheels: Path, tmp_path: Path
) -> None:
    entries = entries_of(names)
    lock = write_lock(tmp_path / "lock.txt", entries, make_wheels(wheels, entries), extras=False)
    command = [environment / "bin" / "python", "-m", "pip", "install", "--require-hashes", "-r", lock]
    done = subprocess.run(command, env=only(wheels), capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "all requirements must have their versions pinned" in done.stderr


def test_every_extra_that_a_locked_package_asks_for_is_in_the_lock() -> None:
    locked = {entry.name: entry for name in INSTALLED_TOGETHER for entry in read_lock(name)}
    asked = {(canonicalize_name(needed.name), extra) for needed in _needed() for extra in needed.extras}
    assert {("redis", "hiredis"), ("coverage", "toml")} <= asked
    assert [(name, extra) for name, extra in asked if extra not in locked[name].extras] == []


def _needed() -> Iterator[Requirement]:
    """Give what the project, the *.in files and the installed packages require on this machine."""
    project = tomllib.loads((REQUIREMENTS.parent / "pyproject.toml").read_text())["project"]
    yield from map(Requirement, project["dependencies"])
    for name in INSTALLED_TOGETHER[1:]:
        lines = (REQUIREMENTS / f"{name}.in").read_text().splitlines()
        yield from (Requirement(line) for line in lines if re.match(r"\w", line))
    for name in INSTALLED_TOGETHER:
        for entry in filter(lambda entry: entry.applies(), read_lock(name)):
            for needed in map(Requirement, distribution(entry.name).requires or []):
                if not needed.marker or any(needed.marker.evaluate({"extra": extra}) for extra in entry.extras | {""}):
                    yield needed
