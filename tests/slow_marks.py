"""The mark `slow`: set where a fixture starts processes, and demanded of every other test that starts one."""

import re
import sys
from collections.abc import Generator
from functools import cache
from pathlib import Path

import pytest

FIXTURES = frozenset(
    {"dev", "fleet", "npm_libraries", "own_valkey", "ports", "stack", "start", "start_server", "waybill"}
)
"""Fixtures that start processes for one test."""
QUICK = frozenset({"git"})
"""Programs that end in no time."""

MODULE_MARK = re.compile(r"^pytestmark = (?:.*|\[[^]]*)\bpytest\.mark\.(?:slow|crash)\b", re.MULTILINE)

started: list[str] = []
"""Programs that the test under way has started."""


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event == "subprocess.Popen":
        started.append(Path(str(arguments[0])).name)


sys.addaudithook(_note)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import a module of slow tests in a run without them, nor the fixtures of a folder with only such modules.

    Some import for a second.
    """
    if config.option.markexpr != "not slow" or not (collection_path.is_dir() or collection_path.suffix == ".py"):
        return None
    modules = collection_path.rglob("test_*.py") if collection_path.is_dir() else [collection_path]
    return True if all(_is_slow(module) for module in modules) else None


@cache
def _is_slow(module: Path) -> bool:
    return MODULE_MARK.search(module.read_text()) is not None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what asks for such a fixture, or kills processes."""
    for item in items:
        if FIXTURES.intersection(getattr(item, "fixturenames", ())) or item.get_closest_marker("crash"):
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test that starts a process and has no mark."""
    started.clear()
    result = yield
    programs = sorted(set(started) - QUICK)
    if programs and not item.get_closest_marker("slow"):
        pytest.fail(f"{item.nodeid} starts {', '.join(programs)}; mark it with pytest.mark.slow", pytrace=False)
    return result
