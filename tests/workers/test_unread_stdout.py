"""`waybill worker` with a standard output that nobody reads: it runs its events and stops on SIGTERM."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from service.dev.embedded_valkey import EmbeddedValkey
from tests.one_shard import ONE_SHARD, one_shard_settings
from tests.unread_stdout import run_unread
from tests.waiting import until
from tests.workers.harness import open_harness
from tests.workers.test_crashes import CONFIG

pytestmark = pytest.mark.crash

EVENTS = 150
RULE = """
- id: say
  type: purchase_order
  actions:
    - {id: one, do: log, message: "MESSAGE"}
""".replace("MESSAGE", "x" * 1_000)


async def test_worker_with_blocked_stdout_works_and_stops(
    own_valkey: Callable[..., EmbeddedValkey], tmp_path: Path
) -> None:
    server = own_valkey()
    async with open_harness(one_shard_settings({"WAYBILL_REDIS_URL": server.url})) as harness:
        await harness.publish(RULE)
        config = tmp_path / "waybill.yaml"
        config.write_text(CONFIG.format(url=harness.sandbox.base_url("pack_cloud")))
        settings = ONE_SHARD | {
            "WAYBILL_CONFIG": config,
            "WAYBILL_REDIS_URL": server.url,
            "PACK_TOKEN": harness.sandbox.token,
        }

        async def has_ended() -> bool:
            return (await harness.store.sample()).pending == 0

        with run_unread("worker", tmp_path, settings) as process:
            started = await process.wait_for_started()
            for _ in range(EVENTS):
                await harness.send()
            await until(has_ended)
            await process.wait_until_blocked()
            async with aiohttp.request("GET", f"http://127.0.0.1:{started['admin_port']}/healthz") as response:
                assert response.status == 200
            rest = asyncio.create_task(process.read_rest())
            process.process.terminate()
            lines = await rest
            assert await process.wait() == 0
    assert sum(line["message"] == "attempt.finished" for line in lines) == EVENTS
    assert lines[-1]["message"] == "process.stopped"
