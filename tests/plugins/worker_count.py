"""Plugin that starts three pytest workers for each processor with `-n auto`: slow tests wait most of their time.

The fast tests wait less, and each worker takes 4 s of processor time to start: three workers for two processors.
"""

import os

import pytest


@pytest.hookimpl(tryfirst=True)  # before xdist's own, which counts the processors
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    processors = os.cpu_count() or 1
    return processors * 3 // 2 if config.option.markexpr == "not slow" else processors * 3
