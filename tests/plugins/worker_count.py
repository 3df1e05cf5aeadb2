"""Plugin that starts three pytest workers for each processor with `-n auto`: slow tests wait most of their time.

The fast tests alone wait about half of their time, and each worker imports all of them: two workers.
"""

import os

import pytest


@pytest.hookimpl(tryfirst=True)  # before xdist's own, which counts the processors
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    return (2 if config.option.markexpr == "not slow" else 3) * (os.cpu_count() or 1)
