"""Crash test of look-ups: a kill between a look-up and the decision repeats the look-up, and no effect."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from service.dev.embedded_valkey import EmbeddedValkey
from tests.one_shard import one_shard_settings
from tests.waiting import until
from tests.workers.lookup_systems import FOLDER, SECRETS, config_text, decision_of, open_lookups, running_systems
from tests.workers.worker_processes import WorkerProcesses

pytestmark = pytest.mark.crash

LEASE_SECONDS = 2.0
STOCK = "/v1/stock/B"


async def test_a_kill_during_the_lookups_repeats_them_and_no_effect(
    own_valkey: Callable[..., EmbeddedValkey], tmp_path: Path
) -> None:
    server = own_valkey()
    settings = one_shard_settings({"WAYBILL_REDIS_URL": server.url})
    folder = tmp_path / "workers"
    folder.mkdir()
    async with running_systems() as (systems, url), open_lookups(settings, tmp_path) as opened:
        (folder / "orders.yaml").write_text((FOLDER / "orders.yaml").read_text())
        processes = WorkerProcesses(folder, server.url, config_text(url), SECRETS)
        try:
            killed = await processes.start(lease_seconds=LEASE_SECONDS)
            systems.held[STOCK] = asyncio.Event()
            event_id = await opened.ingest()
            await until(lambda: len(systems.calls) == 4)
            killed.kill()
            assert (await opened.harness.stored_event(event_id))["state"] == "queued", "nothing was decided"
            systems.held.pop(STOCK).set()
            await processes.start(lease_seconds=LEASE_SECONDS)

            async def has_ended() -> bool:
                return (await opened.harness.stored_event(event_id))["state"] == "ended"

            await until(has_ended)
        finally:
            processes.kill()
        stored = await opened.harness.stored_event(event_id)
        assert len(decision_of(stored)["lookups"]) == 3
        assert sorted(systems.calls) == sorted(2 * ["/api/orders/PO-1", "/api/suppliers/S-1", "/v1/stock/A", STOCK])
        assert len(await opened.published("approvals")) == len(await opened.published("reorders")) == 1
