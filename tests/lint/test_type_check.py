"""Tests of the choice of files whose types are checked, and of the check itself."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.lint.type_check import RECORD, check_types

PROJECT = """[tool.pyright]
include = ["service", "tests"]
typeCheckingMode = "strict"
"""
FILES = {
    "service/__init__.py": "",
    "service/keys.py": "def key() -> str:\n    return 'key'\n",
    "service/queue/__init__.py": "from service.keys import key\n\n__all__ = ['key']\n",
    "service/queue/leases.py": "from . import key\n\nLEASE = key()\n",
    "service/log.py": "import service.queue.leases as leases\n\nLINE: str = leases.LEASE\n",
    "service/alone.py": "ALONE = 1\n",
    "tests/stores.py": "STORE = 1\n",
    "tests/store/deep/test_deep.py": "from .. import names\nimport markers\n",
    "tests/store/names.py": "NAME = 1\n",
    "tests/store/markers.py": "MARKER = 1\n",
    "tests/parent.py": "from .. import stores\n",
    "tests/test_stores.py": "from stores import STORE\n\nNUMBER: int = STORE\n",
}
USERS_OF_KEYS = {"service/keys.py", "service/queue/__init__.py", "service/queue/leases.py", "service/log.py"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a project whose files passed."""
    for path, text in FILES.items() | {("pyproject.toml", PROJECT)}:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert check_types(tmp_path, lambda _paths: 0) == 0
    return tmp_path


def checked(root: Path, code: int = 0) -> set[str] | None:
    """Return the paths that the next check gives to pyright, or None if it is not called."""
    calls: list[list[str]] = []

    def pyright(paths: list[str]) -> int:
        calls.append(paths)
        return code

    assert check_types(root, pyright) == code
    return set(calls[0]) if calls else None


def test_unchanged_files_are_not_checked_again(root: Path) -> None:
    assert checked(root) is None


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("service/keys.py", USERS_OF_KEYS),
        ("service/queue/leases.py", {"service/queue/leases.py", "service/log.py"}),
        ("service/alone.py", {"service/alone.py"}),
        ("tests/stores.py", {"tests/stores.py", "tests/test_stores.py", "tests/parent.py"}),
        ("tests/store/names.py", {"tests/store/names.py", "tests/store/deep/test_deep.py"}),
        ("tests/store/markers.py", {"tests/store/markers.py", "tests/store/deep/test_deep.py"}),
    ],
)
def test_changed_file_is_checked_with_all_files_that_import_it(root: Path, path: str, expected: set[str]) -> None:
    (root / path).write_text("CHANGED = 1\n")
    assert checked(root, code=1) == expected
    assert checked(root) == expected, "files that failed count as passed"
    assert checked(root) is None
    (root / path).write_text(FILES[path])
    assert checked(root) is None, "a reverted edit is checked again"


@pytest.mark.parametrize("text", ["def", "nul = '\0'", "\ufeff\ufeff", "x = " + "-" * 9_000 + "1"])
def test_file_that_is_not_python_is_left_to_pyright(root: Path, text: str) -> None:
    (root / "service/alone.py").write_text(text)
    assert checked(root, code=1) == {"service/alone.py"}


BODIES = """class Lease:
    def __init__(self) -> None:
        self.key = "key"

    def renew(self) -> int:
        seconds = 1
        return seconds


async def read() -> AsyncIterator[str]:
    def inner() -> Iterator[str]:
        key = "key"
        yield key

    for each in inner():
        yield each


class Reader(Protocol):
    def read(self, key: str) -> str:
        text = key
        return text


def count():
    return 1


def wait() -> None:
    raise NotImplementedError


def reset() -> None:
    global number
    number = 1


def short() -> int: return 1
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("seconds = 1", "seconds = 2"),
        ("        seconds = 1\n", ""),
        ("seconds = 1", "seconds, more = 1, len('yield')\n        print(more)"),
        ("yield key", "print(key)\n        yield key"),
        ("yield each", "print(each)\n        yield each"),
        ("return text", "print(text)\n        return text"),
    ],
)
def test_edit_of_a_body_without_types_of_others_is_checked_alone(root: Path, old: str, new: str) -> None:
    path = root / "service/keys.py"
    path.write_text(BODIES)
    checked(root)
    path.write_text(BODIES.replace(old, new))
    assert checked(root) == {"service/keys.py"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("-> int", "-> bool"),
        ("class Lease", "class Claim"),
        ('self.key = "key"', "self.key = 1"),
        ("seconds = 1", "seconds = self.seconds = 1"),
        ("yield each", "print(each)"),
        ("return text", "raise NotImplementedError(text)"),
        ("text = key", "text = key\n# pyright: basic"),
        ("return 1\n\n\ndef wait", "return 2\n\n\ndef wait"),
        ("raise NotImplementedError", "print()"),
        ("number = 1", "number = 2"),
        ("int: return 1", "int: return 2"),
    ],
)
def test_edit_of_an_interface_is_checked_with_its_users(root: Path, old: str, new: str) -> None:
    path = root / "service/keys.py"
    path.write_text(BODIES)
    checked(root)
    path.write_text(BODIES.replace(old, new))
    assert path.read_text() != BODIES
    assert checked(root) == USERS_OF_KEYS


def test_edit_during_the_check_is_checked(root: Path) -> None:
    path = root / "service/alone.py"
    path.write_text("ALONE: int = ''\n")

    def pyright(_paths: list[str]) -> int:
        path.write_text("ALONE = 2\n")
        return 0

    assert check_types(root, pyright) == 0
    path.write_text("ALONE: int = ''\n")
    assert checked(root) == {"service/alone.py"}


def test_link_to_no_file_is_ignored(root: Path) -> None:
    (root / "service/.#alone.py").symlink_to("user@host.1")
    assert checked(root) is None


def test_package_is_imported_with_its_modules(root: Path) -> None:
    (root / "service/__init__.py").write_text("VERSION = 1\n")
    assert checked(root) == USERS_OF_KEYS - {"service/keys.py"} | {"service/__init__.py"}


def test_removed_file_is_found_by_its_users(root: Path) -> None:
    (root / "service/keys.py").unlink()
    assert checked(root) == USERS_OF_KEYS - {"service/keys.py"}


def test_new_file_that_hides_another_is_found_by_its_users(root: Path) -> None:
    (root / "service/keys").mkdir()
    (root / "service/keys/__init__.py").write_text("")
    assert checked(root) == USERS_OF_KEYS - {"service/keys.py"} | {"service/keys/__init__.py"}


@pytest.mark.parametrize("damage", ["settings", "record"])
def test_other_settings_and_a_damaged_record_check_all_files(root: Path, damage: str) -> None:
    path, text = {"settings": ("pyproject.toml", PROJECT.replace("strict", "basic")), "record": (str(RECORD), "{")}[
        damage
    ]
    (root / path).write_text(text)
    assert checked(root) == set(), "pyright checks all files if it is given none"


@pytest.mark.slow
def test_pyright_finds_the_error_in_a_file_that_did_not_change(root: Path) -> None:
    command = [sys.executable, "-m", "tests.lint.type_check"]
    environment = {"PYTHONPATH": str(Path.cwd())}
    (root / "service/keys.py").write_text("def key() -> int:\n    return 1\n")
    run = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 1, run
    assert "4 of 12 files" in run.stdout
    assert 'log.py:3:13 - error: Type "int" is not assignable to declared type "str"' in run.stdout
    assert "1 error," in run.stdout
