"""Folders for servers that tests start."""

import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from shutil import disk_usage

MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108 - a file system in memory
MEMORY_FOLDER_BYTES_MIN = 2_000_000_000


@contextmanager
def server_folder() -> Generator[Path]:
    """Make a folder for servers, in memory if there is space: a server calls fsync for each write."""
    has_space = os.access(MEMORY_FOLDER, os.W_OK) and disk_usage(MEMORY_FOLDER).free >= MEMORY_FOLDER_BYTES_MIN
    # A unix socket's path has to stay under 108 bytes, which pytest's own temporary directories do not promise.
    with tempfile.TemporaryDirectory(prefix="wb-", dir=MEMORY_FOLDER if has_space else None) as folder:
        yield Path(folder)
