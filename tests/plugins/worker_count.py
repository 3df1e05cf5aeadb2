"""Plugin that starts two pytest workers for each processor with `-n auto`: tests wait about half of their time."""

import os

import pytest


@pytest.hookimpl(tryfirst=True)  # before xdist's own, which counts the processors
def pytest_xdist_auto_num_workers() -> int:
    return 2 * (os.cpu_count() or 1)
