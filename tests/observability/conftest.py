"""The run that all tests of this folder look at, played once."""

import pytest

from tests.observability.run import Run, run_everything

RUN_SECONDS_MAX = 240


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whichever test is first has to wait for the whole run."""
    for item in items:
        if "run" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(RUN_SECONDS_MAX))


@pytest.fixture(scope="session")
def run() -> Run:
    return run_everything()
