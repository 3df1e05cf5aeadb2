"""Skip the tests that need Helm if no Helm is fetched, with a note in the summary."""

from pathlib import Path

import pytest

from tests.helm.tools import missing

NEEDS_NO_HELM = {"test_generated.py"}
REASON = missing()


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    if REASON and collection_path.parent == Path(__file__).parent and collection_path.name not in NEEDS_NO_HELM:
        return True
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that run Helm as slow."""
    for item in items:
        if item.path.parent == Path(__file__).parent and item.path.name not in NEEDS_NO_HELM:
            item.add_marker(pytest.mark.slow)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if REASON:
        terminalreporter.write_line(f"THE CHART WAS NOT TESTED: {REASON}", red=True, bold=True)
