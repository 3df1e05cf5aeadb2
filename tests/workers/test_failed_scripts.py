"""Worker whose store rejects a command of a script: it waits for a lease, then continues from the stored state."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from service.settings import Settings
from service.store import Store
from tests.service.store.builders import run_on_server
from tests.waiting import until
from tests.workers.harness import SINK_RULE, open_harness

pytestmark = [pytest.mark.slow, pytest.mark.store]

LEASE_SECONDS = 1.0
ALL_KEYS_BUT_ENDED = ("~wb:", "~wb:[^e]*", "~wb:e[^n]*", "~arq:*")


def count_failures(lines: Sequence[Mapping[str, Any]]) -> int:
    """Return the number of failed attempts on the first record."""
    return sum(line["event"] == "store.unavailable" and line["job"].endswith(":po-1") for line in lines)


async def has_two_members(store: Store, key: str) -> bool:
    return await store.client.command("ZCARD", key) == 2


@contextlib.contextmanager
def ended_events_denied(url: str) -> Generator[None]:
    """Deny the store's user the index of ended events."""
    run_on_server(url, "ACL", "SETUSER", "default", "resetkeys", *ALL_KEYS_BUT_ENDED)
    try:
        yield
    finally:
        run_on_server(url, "ACL", "SETUSER", "default", "resetkeys", "~*")


async def test_event_whose_end_fails_is_tried_once_a_lease(make_settings: Callable[..., Settings]) -> None:
    async with open_harness(make_settings(lease_seconds=LEASE_SECONDS)) as harness:
        await harness.publish(SINK_RULE)
        ended = harness.store.keys.named("ended")
        event_id = await harness.send()
        worker = harness.worker()
        with capture_logs() as lines:
            with ended_events_denied(harness.settings.redis_url):
                running = asyncio.create_task(worker.async_run())
                await until(lambda: count_failures(lines) == 1)
                failed_at = time.monotonic()
                await harness.send("po-2")  # wakes the worker
                await until(lambda: count_failures(lines) == 2)
                assert time.monotonic() - failed_at > LEASE_SECONDS / 2
            await until(lambda: has_two_members(harness.store, ended))
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await worker.close()
        stored = await harness.stored_event(event_id)
        assert (stored["outcome"], stored["attempts"]) == ("matched", "1")
        assert len(harness.sink_bodies()) == 2
