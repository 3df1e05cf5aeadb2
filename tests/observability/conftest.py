"""The run that all tests of this folder look at, played once for all processes that test."""

import pickle
from pathlib import Path

import pytest

from tests.observability.run import Run, run_everything
from tests.taking_turns import turn

HERE = Path(__file__).parent
RUN_SECONDS_MAX = 600


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whichever test is first has to wait for the whole run."""
    for item in items:
        if item.path.parent == HERE and "run" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(RUN_SECONDS_MAX))


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Run:
    """Play the run, or read the one that another process of this test session has played."""
    if worker_id == "master":
        return run_everything()
    played = tmp_path_factory.getbasetemp().parent / "observability.pickle"
    with turn(played.with_suffix(".lock")):
        if not played.exists():
            played.write_bytes(pickle.dumps(run_everything()))
    run = pickle.loads(played.read_bytes())  # noqa: S301 - our own file
    assert isinstance(run, Run)
    return run
