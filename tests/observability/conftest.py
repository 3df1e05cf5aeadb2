"""Fixture: one run for all tests of this folder, shared by all pytest workers."""

import pickle
from pathlib import Path

import pytest

from tests.observability.run import Run, execute_run
from tests.taking_turns import turn

HERE = Path(__file__).parent
RUN_SECONDS_MAX = 600


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that use the run as slow: the first one waits for the whole run."""
    for item in items:
        if item.path.parent == HERE and "run" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(RUN_SECONDS_MAX))


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Run:
    """Execute the run, or load the one of another pytest worker."""
    if worker_id == "master":
        return execute_run()
    played = tmp_path_factory.getbasetemp().parent / "observability.pickle"
    with turn(played.with_suffix(".lock")):
        if not played.exists():
            played.write_bytes(pickle.dumps(execute_run()))
    run = pickle.loads(played.read_bytes())  # noqa: S301 - our own file
    assert isinstance(run, Run)
    return run
