"""The sweep mends what somebody else broke, in the same call, and counts it."""

from collections.abc import AsyncIterator, Callable

import pytest

from service.settings import Settings
from tests.workers.house import SINK_RULE, House, open_house

pytestmark = pytest.mark.store

LANE = "wb:lane:pack:purchase_order:po-1"


@pytest.fixture
async def house(make_settings: Callable[..., Settings]) -> AsyncIterator[House]:
    settings = make_settings(backoff_seconds=0.02, sweep_items_max=2, dead_letter_days=1, decision_days=1)
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
        ([("SET", f"arq:in-progress:{LANE}", "nobody")], "lock_without_end"),
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
    assert (await house.story(event_id))["fate"] == "matched"
    assert len(house.keys()) == 1


async def test_an_event_without_bytes_and_lane_is_a_dead_letter(house: House) -> None:
    event_id = await house.send()
    await house.store.client.command("DEL", LANE, f"wb:delivery:{event_id}")
    assert "open_without_bytes" in await sweep(house)
    story = await house.story(event_id)
    assert (story["state"], story["fate"]) == ("dead", "delivery_missing")


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
    assert {(await house.story(event_id))["fate"] for event_id in ids} == {"matched"}


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
    assert {(await house.story(event_id))["fate"] for event_id in ids} == {"matched"}


async def test_what_outlived_its_time_is_forgotten_and_old_dead_letters_expire(house: House) -> None:
    event_id = await house.send()
    await house.work()
    await house.store.client.command("ZADD", "wb:ended", 1, event_id)
    dead = await house.send("po-2")
    await house.store.client.command("DEL", f"wb:delivery:{dead}")
    await house.work()
    await house.store.client.command("ZADD", "wb:dead", 1, dead)
    assert await sweep(house) == {"ended_forgotten": 1, "dead_letters_expired": 1}
    assert (await house.story(dead))["fate"] == "expired"
    assert await house.store.events.page("dead", 10) == []
