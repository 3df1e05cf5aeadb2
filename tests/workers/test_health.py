"""Health endpoints of a worker: process, store and drain."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import msgspec
import pytest

from service.dev.embedded_valkey import EmbeddedValkey
from service.errors import ConfigError
from service.settings import Settings
from service.store import Shards, Store
from workers.health import health_server

CONFIG = """\
platforms:
  pack: {kind: pack_cloud, organization_id: org_1, token: {env: TOKEN}}
sources:
  pack-orders: {platform: pack, verify: {scheme: basic, username: u, password: {env: TOKEN}}}
"""


async def get_json(port: int, path: str) -> tuple[int, dict[str, str]]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
        return response.status, await response.json()


async def test_start_fails_if_the_port_is_in_use(make_settings: Callable[..., Settings], store: Store) -> None:
    settings = make_settings(admin_port=0)
    async with health_server(settings, Shards([store]), lambda: False) as port:
        taken = make_settings(admin_port=port)
        with pytest.raises(ConfigError, match=r"WAYBILL_ADMIN_PORT: cannot listen on .* need different ports"):
            await health_server(taken, Shards([store]), lambda: False).__aenter__()


async def test_worker_is_unready_but_healthy_without_a_store(
    own_valkey: Callable[..., EmbeddedValkey],
) -> None:
    server = own_valkey()
    settings = msgspec.structs.replace(Settings(), redis_url=server.url, host="127.0.0.1", admin_port=0)
    store = Store(settings)
    async with health_server(settings, Shards([store]), lambda: False) as port:
        assert await get_json(port, "/readyz") == (200, {"status": "ready"})
        server.kill()
        assert await get_json(port, "/readyz") == (503, {"status": "unready", "reason": "store_unavailable"})
        assert await get_json(port, "/healthz") == (200, {"status": "up"})
    await store.close()


async def test_worker_is_unready_if_the_store_hangs(own_valkey: Callable[..., EmbeddedValkey]) -> None:
    server = own_valkey()
    settings = msgspec.structs.replace(Settings(), redis_url=server.url, host="127.0.0.1", admin_port=0)
    store = Store(settings)
    await store.check()
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        async with health_server(settings, Shards([store]), lambda: False) as port:
            assert (await get_json(port, "/readyz"))[0] == 503
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    await store.close()


async def test_draining_worker_is_not_ready(make_settings: Callable[..., Settings], store: Store) -> None:
    async with health_server(make_settings(admin_port=0), Shards([store]), lambda: True) as port:
        assert await get_json(port, "/readyz") == (503, {"status": "unready", "reason": "stopping"})


@pytest.fixture
def worker(tmp_path: Path, valkey_url: str) -> Iterator[subprocess.Popen[bytes]]:
    (tmp_path / "waybill.yaml").write_text(CONFIG)
    environ = os.environ | {
        "WAYBILL_CONFIG": str(tmp_path / "waybill.yaml"), "WAYBILL_REDIS_URL": valkey_url,
        "WAYBILL_HOST": "127.0.0.1", "WAYBILL_ADMIN_PORT": "0", "TOKEN": "t",
    }  # fmt: skip
    command = [sys.executable, "-m", "service", "worker"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE) as process:
        yield process
        process.terminate()


@pytest.mark.slow
async def test_worker_without_rulebook_logs_its_port_and_is_ready(worker: subprocess.Popen[bytes]) -> None:
    assert worker.stdout
    lines = (msgspec.json.decode(line) for line in worker.stdout)
    started = next(line for line in lines if line["message"] == "process.started")
    assert await get_json(started["admin_port"], "/readyz") == (200, {"status": "ready"})
