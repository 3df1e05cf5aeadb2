"""Without a free file descriptor, a process goes on, and logs and counts that."""

import asyncio
import contextlib
import os
import pathlib
import resource
import socket
from pathlib import Path

import aiohttp
import pytest

from service.metrics.families import FILES_EXHAUSTED
from service.open_files import INTERVAL_SECONDS, is_exhausted, watch_open_files
from tests.open_file_limit import no_free_files
from tests.service.ingress.conftest import Lines, Start
from tests.waiting import until

SOCKETS = 40
CPU_SHARE_MAX = 0.5


async def test_checks_without_a_free_file_are_counted_and_logged_once(lines: Lines) -> None:
    before = FILES_EXHAUSTED.values.get((), 0)
    watch = asyncio.create_task(watch_open_files())
    with no_free_files():
        assert is_exhausted()
        await until(lambda: FILES_EXHAUSTED.values.get((), 0) >= before + 2)
        files_max = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert not is_exhausted()
    watch.cancel()
    (line,) = lines("files.exhausted")
    assert (line["level"], line["files_max"]) == ("error", files_max)
    assert "ulimit -n" in line["fix"]


@pytest.mark.slow
async def test_service_without_free_files_serves_its_connections_and_does_not_spin(
    start: Start,
    valkey_url: str,
    client: aiohttp.ClientSession,
) -> None:
    process = await start(redis_url=valkey_url)
    started = await process.line("process.started")
    pid, port, metrics = process.process.pid, started["port"], f"http://127.0.0.1:{started['admin_port']}/metrics"
    assert "waybill_files_exhausted_total 0.0" in await _get(client, metrics)
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    free = _count_files(pid)
    with contextlib.ExitStack() as stack:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (free, hard))
        began = _cpu_seconds(pid)
        for _ in range(SOCKETS):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        assert (await process.line("files.exhausted"))["files_max"] == free
        await asyncio.sleep(4 * INTERVAL_SECONDS)
        used = _cpu_seconds(pid) - began
        # The connection of the first request is open.
        page = await _get(client, metrics)
    assert used < CPU_SHARE_MAX * 4 * INTERVAL_SECONDS
    assert "waybill_files_exhausted_total 0.0" not in page
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
    async with client.get(f"http://127.0.0.1:{port}/healthz") as response:
        assert response.status == 200


async def _get(client: aiohttp.ClientSession, url: str) -> str:
    async with client.get(url) as response:
        return await response.text()


def _count_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _cpu_seconds(pid: int) -> float:
    with pathlib.Path(f"/proc/{pid}/stat").open(encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
