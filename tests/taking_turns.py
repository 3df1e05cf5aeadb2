"""Turns of the processes that run tests: one does what all need once, such as an installation; the others wait."""

import fcntl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def turn(path: Path) -> Generator[None]:
    """Hold the lock on a file, which is made if need be."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
