"""Worker whose store rejects a command of a script: it waits for a lease, then continues from the stored state."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from service.settings import Settings
from service.store import Store
from tests.waiting import until
from tests.workers.harness import SINK_RULE, open_harness

pytestmark = pytest.mark.store

LEASE_SECONDS = 1.0


def count_failures(lines: Sequence[Mapping[str, Any]]) -> int:
    """Return the number of failed attempts on the first record."""
    return sum(line["event"] == "store.unavailable" and line["job"].endswith(":po-1") for line in lines)


async def has_two_members(store: Store, key: str) -> bool:
    return await store.client.command("ZCARD", key) == 2


@pytest.mark.slow
async def test_event_whose_end_fails_is_tried_once_a_lease(make_settings: Callable[..., Settings]) -> None:
    async with open_harness(make_settings(lease_seconds=LEASE_SECONDS)) as harness:
        await harness.publish(SINK_RULE)
        ended = harness.store.keys.named("ended")
        await harness.store.client.command("SET", ended, "another type")
        event_id = await harness.send()
        worker = harness.worker()
        with capture_logs() as lines:
            running = asyncio.create_task(worker.async_run())
            await until(lambda: count_failures(lines) == 1)
            failed_at = time.monotonic()
            await harness.send("po-2")  # wakes the worker
            await until(lambda: count_failures(lines) == 2)
            assert time.monotonic() - failed_at > LEASE_SECONDS / 2
            await harness.store.client.command("DEL", ended)
            await until(lambda: has_two_members(harness.store, ended))
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await worker.close()
        stored = await harness.stored_event(event_id)
        assert (stored["outcome"], stored["attempts"]) == ("matched", "1")
        assert len(harness.sink_bodies()) == 2
