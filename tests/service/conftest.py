"""Fixtures: a sandbox on a free port, the HTTP client, and the log of the test."""

import logging
import os
import sys
from collections.abc import AsyncIterator, Iterator

import pytest
import structlog

from service.http_client import HttpClient
from service.sandbox.server import SandboxHandle, running_sandbox
from service.settings import Settings
from tests.service.log_pipe import LogPipe


@pytest.fixture
async def box() -> AsyncIterator[SandboxHandle]:
    async with running_sandbox() as handle:
        yield handle


@pytest.fixture
async def outbound() -> AsyncIterator[HttpClient]:
    async with HttpClient(Settings(fetch_timeout_seconds=60)) as client:
        yield client


@pytest.fixture
def read() -> Iterator[LogPipe]:
    """Configure logging to a pipe. Return a function that reads the lines."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level, sys.excepthook)
    config = structlog.get_config()
    pipe = LogPipe()
    yield pipe
    root.handlers[:], sys.excepthook = before[0], before[2]
    root.setLevel(before[1])
    logging.captureWarnings(capture=False)
    structlog.configure(**config)
    structlog.contextvars.clear_contextvars()
    os.close(pipe.reader)
    os.close(pipe.writer)
