"""Fixtures of whatever calls out: a sandbox on a free port, and the one client."""

from collections.abc import AsyncIterator

import pytest

from service.http_client import HttpClient
from service.sandbox.server import SandboxHandle, running_sandbox
from service.settings import Settings


@pytest.fixture
async def box() -> AsyncIterator[SandboxHandle]:
    async with running_sandbox() as handle:
        yield handle


@pytest.fixture
async def outbound() -> AsyncIterator[HttpClient]:
    async with HttpClient(Settings(fetch_timeout_seconds=10)) as client:
        yield client
