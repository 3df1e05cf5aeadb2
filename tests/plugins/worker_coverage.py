"""Plugin of `make test COVERAGE=1`: measures the lines that the tests run, and those of the processes that they start.

All Python code takes twice the time while it is measured. So neither the controller nor the collection of the tests is:
the processes import the modules, too.
"""

import coverage
import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):
        return
    measured = coverage.Coverage()

    def save() -> None:
        measured.stop()
        measured.save()

    measured.start()
    session.config.add_cleanup(save)
