"""Log of a test, written to a pipe."""

import json
import os
from typing import Any

import structlog

from service.log import configure


class LogPipe:
    """Log of the test, written to a pipe. A call returns the lines since the last call."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self.configure()

    def configure(self, level: str = "info") -> None:
        configure("service", level, fd=self.writer)
        structlog.configure(cache_logger_on_first_use=False)

    def __call__(self) -> list[dict[str, Any]]:
        try:
            return [json.loads(line) for line in os.read(self.reader, 1_000_000).splitlines()]
        except BlockingIOError:
            return []
