"""Difference of the clocks of a process and of the store: metric, log line, heartbeat, and `waybill doctor`."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from service.clock_difference import CLOCK_DIFFERENCE_SECONDS_MAX, ClockCheck
from service.log import configure
from service.metrics.families import CLOCK_DIFFERENCE_SECONDS
from service.store import Shards, Store
from service.store.management.status import StoreInspector
from tests.waiting import until
from tests.workers.test_worker import make_functions
from workers.housekeeping import send_heartbeats
from workers.worker import LeaseWorker

SetClock = Callable[[float], None]


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """Set the clock of this process by seconds against that of the store."""
    now = time.time
    return lambda seconds: monkeypatch.setattr(time, "time", lambda: now() + seconds)


@pytest.fixture
def lines(capfd: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    configure("workers")
    return lambda: [json.loads(line) for line in capfd.readouterr().out.splitlines()]


async def test_clocks_that_differ_are_logged_once_until_they_agree(
    store: Store, set_clock: SetClock, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    check = ClockCheck()
    set_clock(-CLOCK_DIFFERENCE_SECONDS_MAX / 2)
    assert 0 <= await check.measure(Shards([store])) <= CLOCK_DIFFERENCE_SECONDS_MAX / 2
    assert lines() == []
    set_clock(-3_600)
    for _ in range(2):
        assert await check.measure(Shards([store, store])) == pytest.approx(3_600, abs=60)
    (line,) = lines()
    assert (line["message"], line["level"]) == ("clock.skewed", "warning")
    assert line["difference_ms"] == pytest.approx(3_600_000, abs=60_000)
    assert CLOCK_DIFFERENCE_SECONDS.values[()] == pytest.approx(3_600, abs=60)
    set_clock(0)
    assert await check.measure(Shards([store])) == pytest.approx(0, abs=0.5)
    set_clock(3_600)
    assert await check.measure(Shards([store])) == pytest.approx(-3_600, abs=60)
    assert [line["message"] for line in lines()] == ["clock.skewed"]


async def test_heartbeats_follow_the_clock_of_the_store(store: Store, set_clock: SetClock) -> None:
    worker = LeaseWorker(make_functions([]), Shards([store]), "w1", handle_signals=False)
    inspector = StoreInspector(store.client, store.keys)
    set_clock(-5 * 3_600)
    beating = asyncio.create_task(send_heartbeats(worker, 600))

    async def has_heartbeat() -> bool:
        return bool(await inspector.heartbeats())

    await until(has_heartbeat)
    assert (await store.sample()).workers == 1
    set_clock(5 * 3_600)
    (heartbeat,) = await inspector.heartbeats()
    assert (heartbeat.worker, heartbeat.alive) == ("w1", True)
    assert heartbeat.clock_difference_seconds == pytest.approx(5 * 3_600, abs=60)
    assert (await store.sample()).workers == 1
    beating.cancel()
    await worker.close()
