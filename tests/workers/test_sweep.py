"""Sweep: repairs of an inconsistent store, expiry, and counts."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable

import pytest
from msgspec import structs
from structlog.testing import capture_logs

from service.settings import Settings
from service.store import QuarantinedDelivery
from service.store.management.sweep import Sweeper
from tests.service.store.builders import run_on_server
from tests.waiting import until
from tests.workers.harness import SINK_RULE, WorkerHarness, open_harness
from workers.housekeeping import run_sweeps

pytestmark = pytest.mark.store

LANE = "wb:lane:pack:purchase_order:po-1"


@pytest.fixture
async def harness(make_settings: Callable[..., Settings]) -> AsyncIterator[WorkerHarness]:
    settings = make_settings(
        shards=1, backoff_base_seconds=0.02, sweep_items_max=2, dead_letter_retention_days=1, decision_retention_days=1
    )
    async with open_harness(settings) as opened:
        await opened.publish(SINK_RULE)
        yield opened


async def sweep(harness: WorkerHarness) -> dict[str, int]:
    swept = await harness.store.sweeper.sweep("w1")
    assert swept is not None
    return swept.counts


async def test_sweep_of_a_consistent_store_repairs_nothing(harness: WorkerHarness) -> None:
    await harness.send()
    assert await sweep(harness) == {}
    await harness.run_worker()
    assert await sweep(harness) == {}


async def test_only_one_worker_sweeps_at_a_time(harness: WorkerHarness) -> None:
    assert await harness.store.sweeper.sweep("w1") is not None
    assert await harness.store.sweeper.sweep("w2") is None


@pytest.mark.parametrize(
    ("damage", "repair"),
    [
        ([("ZREM", "wb:queue", LANE)], "lane_without_job"),
        ([("DEL", LANE)], "open_without_lane"),
        ([("DEL", LANE), ("ZREM", "wb:queue", LANE)], "open_without_lane"),
        ([("DEL", f"arq:job:{LANE}")], "job_without_payload"),
        ([("ZADD", "wb:queue", "+inf", LANE)], "job_never_due"),
        ([("SET", f"arq:in-progress:{LANE}", "nobody")], "lease_without_expiry"),
    ],
)
async def test_sweep_repairs_the_store_and_the_event_is_processed(
    harness: WorkerHarness, damage: list[tuple[str, ...]], repair: str
) -> None:
    event_id = await harness.send()
    for command in damage:
        await harness.store.client.command(*command)
    assert repair in await sweep(harness)
    await harness.run_worker()
    assert (await harness.stored_event(event_id))["outcome"] == "matched"
    assert len(harness.idempotency_keys()) == 1


async def test_event_without_bytes_and_lane_becomes_a_dead_letter(harness: WorkerHarness) -> None:
    event_id = await harness.send()
    await harness.store.client.command("HSET", f"wb:event:{event_id}", "waiting_for", "account_throttled", "next_ms", 1)
    await harness.store.client.command("DEL", LANE, f"wb:delivery:{event_id}")
    assert "open_without_bytes" in await sweep(harness)
    stored = await harness.stored_event(event_id)
    assert (stored["state"], stored["error_kind"]) == ("dead", "payload_missing")
    assert not stored.keys() & {"waiting_for", "next_ms"}  # a dead letter has no next attempt


async def test_sweep_removes_a_job_without_events(harness: WorkerHarness) -> None:
    await harness.store.client.command("ZADD", "wb:queue", 1, LANE)
    assert await sweep(harness) == {"job_without_lane": 1}
    assert await harness.store.client.command("ZCARD", "wb:queue") == 0


async def test_sweep_repairs_all_events_in_batches(harness: WorkerHarness) -> None:
    ids = [await harness.send(f"po-{number}") for number in range(7)]
    await harness.store.client.command("DEL", "wb:queue")
    counts = [await sweep(harness) for _ in range(5)]
    assert sum(count.get("lane_without_job", 0) for count in counts) == 7
    await harness.run_worker()
    assert {(await harness.stored_event(event_id))["outcome"] for event_id in ids} == {"matched"}


async def test_sweep_reschedules_jobs_after_the_clock_was_set_back(harness: WorkerHarness) -> None:
    await sweep(harness)
    ids = [await harness.send(f"po-{number}") for number in range(5)]
    claimed = (await harness.store.leases("w9").claim(1)).jobs[0]
    hour = 3_600_000
    for job in await harness.store.client.command("ZRANGE", "wb:queue", 0, -1):
        await harness.store.client.command("ZINCRBY", "wb:queue", hour, job)
    await harness.store.client.command("PEXPIRE", f"arq:in-progress:{claimed.id}", hour)
    await harness.store.client.command("HINCRBY", "wb:sweep", "clock", hour)
    counts = [await sweep(harness) for _ in range(4)]
    assert sum(count.get("ahead_of_clock", 0) for count in counts) == 5
    assert (
        await harness.store.client.command("PTTL", f"arq:in-progress:{claimed.id}")
        <= harness.settings.lease_seconds * 1000
    )
    await harness.store.client.command("DEL", f"arq:in-progress:{claimed.id}")
    await harness.store.client.command("ZADD", "wb:queue", 1, claimed.id)
    await harness.run_worker()
    assert {(await harness.stored_event(event_id))["outcome"] for event_id in ids} == {"matched"}


async def test_ended_events_and_dead_letters_expire_after_their_retention(harness: WorkerHarness) -> None:
    event_id = await harness.send()
    await harness.run_worker()
    await harness.store.client.command("ZADD", "wb:ended", 1, event_id)
    dead = await harness.send("po-2")
    await harness.store.client.command("DEL", f"wb:delivery:{dead}")
    await harness.run_worker()
    await harness.store.client.command("ZADD", "wb:dead", 1, dead)
    assert await sweep(harness) == {"ended_expired": 1, "dead_letters_expired": 1}
    assert (await harness.stored_event(dead))["outcome"] == "expired"
    assert await harness.store.events.page("dead", 10) == []


async def test_sweep_reports_more_until_the_last_batch(harness: WorkerHarness) -> None:
    for number in range(3):
        await harness.send(f"po-{number}")
    swept = [await harness.store.sweeper.sweep("w1") for _ in range(2)]
    assert [each and (each.more, each.expired_left) for each in swept] == [(True, False), (False, False)]


async def test_one_sweep_expires_ten_times_its_batch_of_ended_events(harness: WorkerHarness) -> None:
    ended = [part for number in range(45) for part in (1, f"{number:032x}")]
    await harness.store.client.command("ZADD", "wb:ended", *ended)
    counts = [await harness.store.sweeper.sweep("w1") for _ in range(3)]
    assert [(each.counts, each.expired_left) for each in counts if each] == [
        ({"ended_expired": 20}, True),
        ({"ended_expired": 20}, True),
        ({"ended_expired": 5}, False),
    ]


async def test_shards_divide_the_batch_of_a_sweep(harness: WorkerHarness) -> None:
    ended = [part for number in range(30) for part in (1, f"{number:032x}")]
    await harness.store.client.command("ZADD", "wb:ended", *ended)
    settings = structs.replace(harness.settings, sweep_items_max=33, shards=16)
    swept = await Sweeper(harness.store.client, settings).sweep("w1")
    assert swept is not None
    assert swept.counts == {"ended_expired": 30}  # ten times 3, which is 33 / 16 rounded up


@pytest.mark.slow
async def test_sweeps_run_more_often_within_a_pass(harness: WorkerHarness) -> None:
    ended = [part for number in range(200) for part in (1, f"{number:032x}")]
    await harness.store.client.command("ZADD", "wb:ended", *ended)
    sweeping = asyncio.create_task(run_sweeps(harness.worker(), 1.5))
    async with asyncio.timeout(12):  # eleven batches; after the second, the interval is one thirtieth
        while await harness.store.client.command("ZCARD", "wb:ended"):  # noqa: ASYNC110 - the server sends no notification
            await asyncio.sleep(0.05)
    sweeping.cancel()
    await asyncio.gather(sweeping, return_exceptions=True)


async def test_sweep_that_fails_is_logged_until_it_succeeds(harness: WorkerHarness) -> None:
    url = harness.settings.redis_url
    run_on_server(url, "ACL", "SETUSER", "default", "-hset")
    with capture_logs() as lines:
        sweeping = asyncio.create_task(run_sweeps(harness.worker(), 0.02))
        await until(lambda: [line["event"] for line in lines] == ["background_task.failed"])
        run_on_server(url, "ACL", "SETUSER", "default", "+hset")
        events = ["background_task.failed", "background_task.recovered"]
        await until(lambda: [line["event"] for line in lines] == events)
    sweeping.cancel()
    await asyncio.gather(sweeping, return_exceptions=True)


async def test_sweep_of_a_long_lane_is_fast_and_restores_its_job(harness: WorkerHarness) -> None:
    store, count = harness.store, 40_000
    ids = [f"{number:032x}" for number in range(count)]
    for first in range(0, count, 2_000):
        part = ids[first : first + 2_000]
        await store.client.command("RPUSH", LANE, *part)
        await store.client.command("ZADD", "wb:open", *[cell for event_id in part for cell in (1, event_id)])
    event_id = await harness.send()
    await store.client.command("DEL", "wb:queue")
    delivery = await store.client.command("GET", f"wb:delivery:{event_id}")
    last = ids[-1000:]
    await store.client.command("MSET", *[cell for each in last for cell in (f"wb:delivery:{each}", delivery)])
    await store.client.command("HSET", "wb:sweep", "open", count - 1_000)
    sweeper = Sweeper(store.client, structs.replace(harness.settings, sweep_items_max=1_000))
    await store.client.command("CONFIG", "RESETSTAT")
    swept = await sweeper.sweep("w1")
    assert swept is not None
    assert swept.counts["lane_without_job"] == 1
    stats = await store.client.command("INFO", "commandstats")
    (usec,) = re.findall(rb"cmdstat_evalsha:calls=1,usec=(\d+)", stats)
    assert int(usec) < 5_000_000  # hours for a search of each event in the lane; a busy machine may stop the server
    assert re.findall(rb"cmdstat_lpos:calls", stats) == []


async def test_old_heartbeats_and_dead_jobs_expire(
    harness: WorkerHarness,
) -> None:
    command = harness.store.client.command
    await harness.store.queue_stats.heartbeat("gone", 1, time.time() - 90_000, 1)
    await harness.store.queue_stats.heartbeat("quiet", 1, time.time() - 60, 1)
    await command("XADD", "wb:dead_jobs", "1-1", "job", "old")
    await command("XADD", "wb:dead_jobs", "*", "job", "new")
    assert await sweep(harness) == {"workers_expired": 1, "dead_jobs_expired": 1}
    assert await command("HKEYS", "wb:workers") == [b"quiet"]
    assert [fields for _, fields in await command("XRANGE", "wb:dead_jobs", "-", "+")] == [[b"job", b"new"]]


async def test_sweep_restores_the_lane_of_an_event_with_a_long_record_id(
    harness: WorkerHarness,
) -> None:
    event_id = await harness.send("p" * 1_200)
    await harness.store.client.command("DEL", f"{LANE[:-4]}{'p' * 1_200}")
    assert await sweep(harness) == {"open_without_lane": 1}
    await harness.run_worker()
    assert (await harness.stored_event(event_id))["state"] in {"ended", "dead"}


async def test_sweep_corrects_the_counters_of_the_quarantine(harness: WorkerHarness) -> None:
    command, name = harness.store.client.command, "wb:quarantine:shop"
    for number in (1, 2):
        rejected = QuarantinedDelivery(
            1, f"r{number}", "shop", "not_verified", 401, time.time(), {}, b"{}" * number, None, whole=True
        )
        await harness.store.quarantine.put([rejected])
    assert await sweep(harness) == {}
    count = await harness.store.quarantine.count("shop")
    await command("INCRBY", f"{name}:bytes", 7)
    assert await sweep(harness) == {"counter_drifted": 1}
    assert await harness.store.quarantine.count("shop") == count
    await command("ZREM", name, "r2")
    assert await sweep(harness) == {"quarantined_without_index": 1, "counter_drifted": 1}
    assert [each.id for each in await harness.store.quarantine.read("shop", ["r1", "r2"])] == ["r1"]
    assert await command("PTTL", f"{name}:bytes") > 0
    await command("DEL", name)
    assert await sweep(harness) == {}
    assert await harness.store.quarantine.sources() == []
    assert await command("EXISTS", f"{name}:kept", f"{name}:bytes") == 0


async def test_unchanged_decision_renews_the_retention_of_the_last_state(harness: WorkerHarness) -> None:
    await harness.send(identified=False)
    await harness.run_worker()
    record = "wb:record:pack:purchase_order:po-1"
    await harness.store.client.command("PEXPIRE", record, 60_000)
    unchanged = await harness.send(identified=False)
    await harness.run_worker()
    assert (await harness.stored_event(unchanged))["outcome"] == "unchanged"
    days = await harness.store.client.command("PTTL", record) / 86_400_000
    assert harness.settings.last_state_retention_days - 1 < days <= harness.settings.last_state_retention_days
