"""Reload of waybill.yaml by `waybill serve` and `waybill worker`: a new source works, a removed token does not."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from service.dev.processes import ChildProcess
from service.settings import Settings
from tests.one_shard import one_shard_settings
from tests.service.http_responses import head, server_of
from tests.waiting import PATIENCE_SECONDS
from tests.workers.harness import SINK_RULE, open_harness
from tests.workers.worker_processes import WorkerProcesses

pytestmark = pytest.mark.slow

SECRETS = {
    "ERP_TOKEN": "erp-secret-0123456789",
    "OLD": hashlib.sha256(b"old-token").hexdigest(),
    "NEW": hashlib.sha256(b"new-token").hexdigest(),
}
CONFIG = """
platforms:
  erp:
    kind: custom
    base_url: URL
    auth: {type: none}
    records: {purchase_order: {path: "/orders/{id}"}}
sources:
  NAME:
    platform: erp
    verify: {scheme: bearer, secrets: [{env: ERP_TOKEN}]}
    envelope: {kind: custom, id: /id, type: /type, record: {kind: purchase_order, id: /order}}
outbound: {allow_private_hosts: [127.0.0.1]}
admin: {tokens: [{name: ops, role: viewer, sha256: {env: TOKEN}}]}
"""


def config(name: str, url: str, token: str) -> str:
    return CONFIG.replace("NAME", name).replace("URL", url).replace("{env: TOKEN}", f"{{env: {token}}}")


@pytest.fixture
def settings(valkey_url: str) -> Settings:
    return one_shard_settings({"WAYBILL_REDIS_URL": valkey_url})


@pytest.fixture
async def processes(settings: Settings, tmp_path: Path) -> AsyncIterator[WorkerProcesses]:
    async with open_harness(settings) as harness:
        await harness.publish(SINK_RULE)
    text = config("old-shop", "http://127.0.0.1:9", "OLD")
    processes = WorkerProcesses(tmp_path, settings.redis_url, text, SECRETS)
    yield processes
    processes.kill()


async def statuses(ingress: ChildProcess) -> tuple[int, int, int, int]:
    """Return the statuses of a delivery of the old and the new source, and of a request with each token."""
    started = next(line for line in ingress.lines() if line["message"] == "process.started")
    body = {"id": "1", "order": "4711", "type": "order.updated"}
    signed = {"Authorization": f"Bearer {SECRETS['ERP_TOKEN']}"}
    found: list[int] = []
    async with aiohttp.ClientSession() as client:
        for name in ("old-shop", "new-shop"):
            url = f"http://127.0.0.1:{started['port']}/webhooks/{name}"
            async with client.post(url, json=body, headers=signed) as response:
                found.append(response.status)
        for token in ("old-token", "new-token"):
            url = f"http://127.0.0.1:{started['admin_port']}/api/v1/sources"
            async with client.get(url, headers={"Authorization": f"Bearer {token}"}) as response:
                found.append(response.status)
    return found[0], found[1], found[2], found[3]


async def test_files_of_a_folder_are_watched(processes: WorkerProcesses, tmp_path: Path) -> None:
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "a.yaml").write_text(config("old-shop", "http://127.0.0.1:9", "OLD"))
    ingress = await processes.start(command="serve", config=folder)
    assert await statuses(ingress) == (202, 404, 200, 401)
    source = CONFIG[CONFIG.index("sources:") : CONFIG.index("outbound:")].replace("NAME", "new-shop")
    (folder / "b.yaml").write_text(source)
    await processes.wait_for_line(ingress, "config.reloaded")
    assert await statuses(ingress) == (202, 202, 200, 401)
    (folder / "a.yaml").write_text((folder / "a.yaml").read_text() + "ruls: []\n")
    rejected = await processes.wait_for_line(ingress, "config.rejected")
    assert str(folder / "a.yaml") in str(rejected["reason"])


async def test_changed_file_is_used_by_service_and_worker_without_a_restart(
    processes: WorkerProcesses, tmp_path: Path
) -> None:
    ingress, worker = await asyncio.gather(processes.start(command="serve"), processes.start())
    assert await statuses(ingress) == (202, 404, 200, 401)
    record = b'{"id": "4711", "lines": []}'
    async with server_of(head("200 OK", f"Content-Length: {len(record)}") + record) as (url, requests):
        text = config("new-shop", url, "NEW")
        await asyncio.to_thread((tmp_path / "waybill.yaml").write_text, text)
        for child in (ingress, worker):
            await processes.wait_for_line(child, "config.reloaded")
        assert await statuses(ingress) == (404, 202, 401, 200)
        await asyncio.to_thread(
            worker.wait_for,
            lambda line: line["message"] == "attempt.finished" and line["source_name"] == "new-shop",
            PATIENCE_SECONDS,
        )
        assert requests[0].startswith(b"GET /orders/4711 ")
