"""Plugin for tests that need a tool of the operating system: without the tool they are skipped, and in CI they fail.

`@pytest.mark.system_tool("promtool", package="prometheus")` names the tool and the Debian package that holds it.
"""

import os
import shutil

import pytest

MISSING = "missing system tool"
"""Key of the property that a report carries for each missing tool."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "system_tool(name, package): needs a tool of the operating system")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("system_tool"):
        (tool,), package = mark.args, mark.kwargs["package"]
        if shutil.which(tool):
            continue
        if os.environ.get("CI") == "true":
            pytest.fail(f"{tool} is missing (Debian package {package}); in CI no test may be left out", pytrace=False)
        item.user_properties.append((MISSING, f"{tool} (Debian package {package})"))
        pytest.skip(f"{tool} is missing (Debian package {package})")


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    tools: set[str] = set()
    count = 0
    for report in terminalreporter.getreports("skipped"):
        missing = {str(tool) for key, tool in report.user_properties if key == MISSING}
        tools |= missing
        count += bool(missing)
    if tools:
        line = f"{count} TESTS WERE NOT RUN: missing {', '.join(sorted(tools))}. Fix: install them"
        terminalreporter.write_line(line, red=True, bold=True)
