"""Limit of open files of this process, without a free descriptor."""

import os
import resource
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def no_free_files() -> Generator[None]:
    """Lower the limit of open files to those that are open, during the block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
