"""The sweep mends what somebody else broke, in the same call, and counts it."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable

import pytest
from msgspec import structs

from service.settings import Settings
from service.store import QuarantinedDelivery
from service.store.management.sweep import Sweeper
from tests.workers.harness import SINK_RULE, House, open_house
from workers.housekeeping import run_sweeps as sweep_on

pytestmark = pytest.mark.store

LANE = "wb:lane:pack:purchase_order:po-1"


@pytest.fixture
async def house(make_settings: Callable[..., Settings]) -> AsyncIterator[House]:
    settings = make_settings(
        backoff_base_seconds=0.02, sweep_items_max=2, dead_letter_retention_days=1, decision_retention_days=1
    )
    async with open_house(settings) as opened:
        await opened.publish(SINK_RULE)
        yield opened


async def sweep(house: House) -> dict[str, int]:
    swept = await house.store.sweeper.sweep("w1")
    assert swept is not None
    return swept.counts


async def test_a_sound_store_has_nothing_to_mend(house: House) -> None:
    await house.send()
    assert await sweep(house) == {}
    await house.work()
    assert await sweep(house) == {}


async def test_only_one_sweeps_at_a_time(house: House) -> None:
    assert await house.store.sweeper.sweep("w1") is not None
    assert await house.store.sweeper.sweep("w2") is None


@pytest.mark.parametrize(
    ("harm", "mended"),
    [
        ([("ZREM", "arq:queue", LANE)], "lane_without_job"),
        ([("DEL", LANE)], "open_without_lane"),
        ([("DEL", LANE), ("ZREM", "arq:queue", LANE)], "open_without_lane"),
        ([("DEL", f"arq:job:{LANE}")], "job_without_payload"),
        ([("SET", f"arq:in-progress:{LANE}", "nobody")], "lease_without_expiry"),
    ],
)
async def test_what_was_broken_is_mended_and_the_event_is_processed(
    house: House, harm: list[tuple[str, ...]], mended: str
) -> None:
    event_id = await house.send()
    for command in harm:
        await house.store.client.command(*command)
    assert mended in await sweep(house)
    await house.work()
    assert (await house.story(event_id))["outcome"] == "matched"
    assert len(house.keys()) == 1


async def test_an_event_without_bytes_and_lane_is_a_dead_letter(house: House) -> None:
    event_id = await house.send()
    await house.store.client.command("HSET", f"wb:event:{event_id}", "waiting_for", "account_throttled", "next_ms", 1)
    await house.store.client.command("DEL", LANE, f"wb:delivery:{event_id}")
    assert "open_without_bytes" in await sweep(house)
    story = await house.story(event_id)
    assert (story["state"], story["error_kind"]) == ("dead", "payload_missing")
    assert not story.keys() & {"waiting_for", "next_ms"}  # a dead letter waits for nothing


async def test_a_job_without_events_goes(house: House) -> None:
    await house.store.client.command("ZADD", "arq:queue", 1, LANE)
    assert await sweep(house) == {"job_without_lane": 1}
    assert await house.store.client.command("ZCARD", "arq:queue") == 0


async def test_every_event_gets_its_turn_slice_by_slice(house: House) -> None:
    ids = [await house.send(f"po-{number}") for number in range(7)]
    await house.store.client.command("DEL", "arq:queue")
    counts = [await sweep(house) for _ in range(5)]
    assert sum(count.get("lane_without_job", 0) for count in counts) == 7
    await house.work()
    assert {(await house.story(event_id))["outcome"] for event_id in ids} == {"matched"}


async def test_after_the_clock_was_set_back_nothing_waits_for_it_to_catch_up(house: House) -> None:
    await sweep(house)
    ids = [await house.send(f"po-{number}") for number in range(5)]
    taken = (await house.store.leases("w9").claim(1)).jobs[0]
    hour = 3_600_000
    for job in await house.store.client.command("ZRANGE", "arq:queue", 0, -1):
        await house.store.client.command("ZINCRBY", "arq:queue", hour, job)
    await house.store.client.command("PEXPIRE", f"arq:in-progress:{taken.id}", hour)
    await house.store.client.command("HINCRBY", "wb:sweep", "clock", hour)
    counts = [await sweep(house) for _ in range(4)]
    assert sum(count.get("ahead_of_clock", 0) for count in counts) == 5
    assert (
        await house.store.client.command("PTTL", f"arq:in-progress:{taken.id}") <= house.settings.lease_seconds * 1000
    )
    await house.store.client.command("DEL", f"arq:in-progress:{taken.id}")
    await house.store.client.command("ZADD", "arq:queue", 1, taken.id)
    await house.work()
    assert {(await house.story(event_id))["outcome"] for event_id in ids} == {"matched"}


async def test_what_outlived_its_time_is_forgotten_and_old_dead_letters_expire(house: House) -> None:
    event_id = await house.send()
    await house.work()
    await house.store.client.command("ZADD", "wb:ended", 1, event_id)
    dead = await house.send("po-2")
    await house.store.client.command("DEL", f"wb:delivery:{dead}")
    await house.work()
    await house.store.client.command("ZADD", "wb:dead", 1, dead)
    assert await sweep(house) == {"ended_expired": 1, "dead_letters_expired": 1}
    assert (await house.story(dead))["outcome"] == "expired"
    assert await house.store.events.page("dead", 10) == []


async def test_a_full_slice_says_that_there_is_more_and_the_last_one_that_there_is_not(house: House) -> None:
    for number in range(3):
        await house.send(f"po-{number}")
    swept = [await house.store.sweeper.sweep("w1") for _ in range(2)]
    assert [each and each.more for each in swept] == [True, False]


async def test_as_many_ended_events_are_forgotten_as_a_busy_house_ends(house: House) -> None:
    ended = [part for number in range(45) for part in (1, f"{number:032x}")]
    await house.store.client.command("ZADD", "wb:ended", *ended)
    counts = [await house.store.sweeper.sweep("w1") for _ in range(3)]
    assert [(each.counts, each.more) for each in counts if each] == [
        ({"ended_expired": 20}, True),
        ({"ended_expired": 20}, True),
        ({"ended_expired": 5}, False),
    ]


async def test_sweeps_follow_quickly_while_a_pass_is_not_over(house: House) -> None:
    ended = [part for number in range(200) for part in (1, f"{number:032x}")]
    await house.store.client.command("ZADD", "wb:ended", *ended)
    sweeping = asyncio.create_task(sweep_on(house.worker(), 1.5))
    async with asyncio.timeout(12):  # eleven slices, of which all but the first two come at a thirtieth of the interval
        while await house.store.client.command("ZCARD", "wb:ended"):  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.05)
    sweeping.cancel()
    await asyncio.gather(sweeping, return_exceptions=True)


async def test_a_crowded_lane_does_not_hold_the_server_up_and_still_gets_its_job_back(house: House) -> None:
    store, count = house.store, 40_000
    ids = [f"{number:032x}" for number in range(count)]
    for first in range(0, count, 2_000):
        part = ids[first : first + 2_000]
        await store.client.command("RPUSH", LANE, *part)
        await store.client.command("ZADD", "wb:open", *[cell for event_id in part for cell in (1, event_id)])
    event_id = await house.send()
    await store.client.command("DEL", "arq:queue")
    packed = await store.client.command("GET", f"wb:delivery:{event_id}")
    last = ids[-1000:]
    await store.client.command("MSET", *[cell for each in last for cell in (f"wb:delivery:{each}", packed)])
    await store.client.command("HSET", "wb:sweep", "open", count - 1_000)
    sweeper = Sweeper(store.client, structs.replace(house.settings, sweep_items_max=1_000))
    await store.client.command("CONFIG", "RESETSTAT")
    swept = await sweeper.sweep("w1")
    assert swept is not None
    assert swept.counts["lane_without_job"] == 1
    spent = await store.client.command("INFO", "commandstats")
    (usec,) = re.findall(rb"cmdstat_evalsha:calls=1,usec=(\d+)", spent)
    assert int(usec) < 500_000
    assert re.findall(rb"cmdstat_lpos:calls", spent) == []


async def test_workers_that_vanished_long_ago_and_buried_jobs_past_their_time_are_forgotten(house: House) -> None:
    command = house.store.client.command
    await house.store.queue_stats.heartbeat("gone", 1, time.time() - 90_000, 1)
    await house.store.queue_stats.heartbeat("quiet", 1, time.time() - 60, 1)
    await command("XADD", "wb:dead_jobs", "1-1", "job", "old")
    await command("XADD", "wb:dead_jobs", "*", "job", "new")
    assert await sweep(house) == {"workers_expired": 1, "dead_jobs_expired": 1}
    assert await command("HKEYS", "wb:workers") == [b"quiet"]
    assert [fields for _, fields in await command("XRANGE", "wb:dead_jobs", "-", "+")] == [[b"job", b"new"]]


async def test_an_event_with_names_longer_than_what_is_read_at_first_finds_its_lane_again(house: House) -> None:
    event_id = await house.send("p" * 1_200)
    await house.store.client.command("DEL", f"{LANE[:-4]}{'p' * 1_200}")
    assert await sweep(house) == {"open_without_lane": 1}
    await house.work()
    assert (await house.story(event_id))["state"] in {"ended", "dead"}


async def test_a_quarantine_whose_count_drifted_is_counted_again(house: House) -> None:
    command, name = house.store.client.command, "wb:quarantine:shop"
    for number in (1, 2):
        made = QuarantinedDelivery(
            1, f"r{number}", "shop", "not_verified", 401, time.time(), {}, b"{}" * number, None, whole=True
        )
        await house.store.quarantine.put([made])
    assert await sweep(house) == {}
    count = await house.store.quarantine.count("shop")
    await command("INCRBY", f"{name}:bytes", 7)
    assert await sweep(house) == {"counter_drifted": 1}
    assert await house.store.quarantine.count("shop") == count
    await command("ZREM", name, "r2")
    assert await sweep(house) == {"quarantined_without_index": 1, "counter_drifted": 1}
    assert [each.id for each in await house.store.quarantine.read("shop", ["r1", "r2"])] == ["r1"]
    assert await command("PTTL", f"{name}:bytes") > 0
    await command("DEL", name)
    assert await sweep(house) == {}
    assert await house.store.quarantine.sources() == []
    assert await command("EXISTS", f"{name}:kept", f"{name}:bytes") == 0


async def test_a_states_time_begins_anew_with_each_decision_that_found_nothing_new(house: House) -> None:
    await house.send(identified=False)
    await house.work()
    record = "wb:record:pack:purchase_order:po-1"
    await house.store.client.command("PEXPIRE", record, 60_000)
    unchanged = await house.send(identified=False)
    await house.work()
    assert (await house.story(unchanged))["outcome"] == "unchanged"
    days = await house.store.client.command("PTTL", record) / 86_400_000
    assert house.settings.last_state_retention_days - 1 < days <= house.settings.last_state_retention_days
