"""Store at run time: an ingress and a worker detect a changed setting or lost data, and the correction."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from service.dev.embedded_valkey import EmbeddedValkey
from service.dev.processes import ChildProcess, LogLine
from service.ingress.store_monitor import PROBE_INTERVAL_SECONDS
from service.settings import Settings
from service.store.connection.server import DURABILITY_CHECK_SECONDS
from tests.one_shard import ONE_SHARD, one_shard_settings
from tests.service.store.builders import run_on_server
from tests.waiting import until
from tests.workers.harness import SINK_RULE, open_harness
from tests.workers.worker_processes import WorkerProcesses

pytestmark = pytest.mark.crash

TOKEN = "erp-secret-0123456789"
CONFIG = """
platforms:
  erp:
    kind: custom
    base_url: http://127.0.0.1:9/api
    auth: {type: none}
    records: {purchase_order: {path: "/orders/{id}"}}
sources:
  erp-orders:
    platform: erp
    verify: {scheme: bearer, secrets: [{env: ERP_TOKEN}]}
    envelope: {kind: custom, id: /id, type: /type, record: {kind: purchase_order, id: /order}}
outbound: {allow_private_hosts: [127.0.0.1]}
"""


@pytest.fixture
def server(own_valkey: Callable[..., EmbeddedValkey]) -> EmbeddedValkey:
    return own_valkey()


@pytest.fixture
async def processes(server: EmbeddedValkey, tmp_path: Path) -> AsyncIterator[WorkerProcesses]:
    async with open_harness(one_shard_settings({"WAYBILL_REDIS_URL": server.url})) as harness:
        await harness.publish(SINK_RULE)
    processes = WorkerProcesses(tmp_path, server.url, CONFIG, {"ERP_TOKEN": TOKEN})
    yield processes
    processes.kill()


def started_line(child: ChildProcess) -> LogLine:
    return next(line for line in child.lines() if line["message"] == "process.started")


async def deliver(ingress: ChildProcess) -> int:
    """Send a delivery and return the status of the response."""
    url = f"http://127.0.0.1:{started_line(ingress)['port']}/webhooks/erp-orders"
    body = {"id": "1", "order": "4711", "type": "order.updated"}
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with aiohttp.ClientSession() as client, client.post(url, json=body, headers=headers) as response:
        return response.status


async def start_both(processes: WorkerProcesses) -> tuple[ChildProcess, ChildProcess]:
    """Start an ingress, and a worker that calls the store often."""
    return await asyncio.gather(processes.start(command="serve"), processes.start(wake_timeout_seconds=0.2))


async def ready_status(child: ChildProcess) -> tuple[int, str | None]:
    """Return the status of /readyz, and its reason."""
    url = f"http://127.0.0.1:{started_line(child)['admin_port']}/readyz"
    async with aiohttp.ClientSession() as client, client.get(url) as response:
        return response.status, (await response.json()).get("reason")


async def until_ready(child: ChildProcess) -> None:
    async def is_ready() -> bool:
        return await ready_status(child) == (200, None)

    await until(is_ready)


async def run_command(server: EmbeddedValkey, *arguments: str) -> tuple[str, str]:
    """Run a command of an operator with access to the store. Return its output and its log."""
    command = (sys.executable, "-m", "service", *arguments)
    environ = os.environ | ONE_SHARD | {"WAYBILL_REDIS_URL": server.url}
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE, env=environ)
    output, errors = await process.communicate()
    assert process.returncode == 0, errors
    return output.decode(), errors.decode()


def test_changed_setting_is_detected_within_fifteen_seconds() -> None:
    assert DURABILITY_CHECK_SECONDS + max(PROBE_INTERVAL_SECONDS, Settings().wake_timeout_seconds) <= 15


async def test_changed_setting_stops_ingress_and_worker_until_it_is_corrected(
    processes: WorkerProcesses, server: EmbeddedValkey
) -> None:
    ingress, worker = await start_both(processes)
    assert await deliver(ingress) == 202
    run_on_server(server.url, "CONFIG", "SET", "appendfsync", "everysec")
    for child in (ingress, worker):
        line = await processes.wait_for_line(child, "store.not_durable")
        assert "run CONFIG SET appendfsync always" in line["reason"]
        assert await ready_status(child) == (503, "store_not_durable")
    assert await deliver(ingress) == 503
    run_on_server(server.url, "CONFIG", "SET", "appendfsync", "always")
    await processes.wait_for_line(worker, "store.recovered")
    for child in (ingress, worker):
        await until_ready(child)
        assert len(processes.log_lines("store.not_durable", [child])) == 1
    assert await deliver(ingress) == 202


async def test_emptied_store_stops_ingress_and_worker_until_an_operator_accepts_it(
    processes: WorkerProcesses, server: EmbeddedValkey
) -> None:
    ingress, worker = await start_both(processes)
    assert await deliver(ingress) == 202
    run_on_server(server.url, "FLUSHALL")
    assert await deliver(ingress) == 503
    for child in (ingress, worker):
        line = await processes.wait_for_line(child, "store.lost")
        assert "waybill store accept" in line["reason"]
        assert await ready_status(child) == (503, "store_lost")
    output, errors = await run_command(server, "store", "accept")
    assert "generation 2" in output
    assert "Run: waybill rules apply" in output
    audit = json.loads(errors.splitlines()[-1])
    assert (audit["message"], audit["audit_action"], audit["generation"]) == ("admin.changed", "store.accepted", 2)
    await processes.wait_for_line(worker, "store.recovered")
    for child in (ingress, worker):
        await until_ready(child)
    assert await deliver(ingress) == 202
