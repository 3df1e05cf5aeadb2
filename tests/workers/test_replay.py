"""Replays and discards, by a person's wish, on a real store with a real sink."""

from collections.abc import AsyncIterator, Callable

import pytest

from service.sandbox.faults import Fault
from service.settings import Settings
from service.store.management.replay import Replay, plan_replay
from tests.workers.harness import SINK_RULE, House, open_house

pytestmark = pytest.mark.store

TWO_RULES = SINK_RULE + SINK_RULE.replace("short-receipt", "other").replace("claims", "other")


@pytest.fixture
async def house(make_settings: Callable[..., Settings]) -> AsyncIterator[House]:
    async with open_house(make_settings(backoff_base_seconds=0.02, attempts_max=2, lease_seconds=2)) as opened:
        yield opened


async def plan(house: House, event_id: str, *, again: bool = False) -> Replay | str:
    return plan_replay(await house.story(event_id), rerun_done=again)


async def replay(house: House, event_id: str, *, again: bool = False) -> str:
    planned = await plan(house, event_id, again=again)
    assert isinstance(planned, Replay), planned
    return (await house.store.replays.replay([planned]))[0]


async def dead_after_fetch(house: House) -> str:
    await house.publish(SINK_RULE)
    house.sandbox.sandbox.faults.add(Fault(match="/pack_cloud", status=500, times=2))
    event_id = await house.send()
    await house.work()
    assert (await house.story(event_id))["state"] == "dead"
    return event_id


async def dead_after_one_of_two_effects(house: House) -> str:
    await house.publish(TWO_RULES)
    house.sandbox.sandbox.faults.add(Fault(match="/_sandbox/sink/claims", status=400))
    event_id = await house.send()
    await house.work()
    assert (await house.story(event_id))["state"] == "dead"
    return event_id


async def test_an_event_under_way_is_not_replayed(house: House) -> None:
    await house.publish(SINK_RULE)
    event_id = await house.send()
    assert await plan(house, event_id) == "it is in progress"
    assert await house.store.replays.replay([Replay(event_id, "pack:purchase_order:po-1")]) == ["open"]


async def test_an_event_the_store_does_not_know_is_gone(house: House) -> None:
    assert await house.store.replays.replay([Replay("0" * 32, "pack:purchase_order:po-1")]) == ["gone"]


async def test_an_event_whose_effects_are_all_done_is_replayed_only_on_again(house: House) -> None:
    await house.publish(SINK_RULE)
    event_id = await house.send()
    await house.work()
    assert "rerun_done" in str(await plan(house, event_id))
    assert await replay(house, event_id, again=True) == "effects"
    await house.work()
    assert house.keys() == [f"{event_id}:short-receipt:claim:{generation}" for generation in (0, 1)]
    assert (await house.story(event_id))["state"] == "ended"


async def test_a_dead_letter_that_was_never_decided_is_decided_after_its_replay(house: House) -> None:
    event_id = await dead_after_fetch(house)
    assert await replay(house, event_id) == "lane"
    await house.work()
    story = await house.story(event_id)
    assert (story["state"], story["outcome"], story["attempts"]) == ("ended", "matched", "1")
    assert await house.store.events.page("dead", 10) == []
    assert len(house.keys()) == 1


async def test_a_replay_finishes_only_what_is_unfinished_and_does_not_decide_again(house: House) -> None:
    event_id = await dead_after_one_of_two_effects(house)
    assert house.keys() == [f"{event_id}:other:claim:0"]
    assert await replay(house, event_id) == "effects"
    await house.work()
    assert sorted(house.keys()) == [f"{event_id}:other:claim:0", f"{event_id}:short-receipt:claim:0"]
    assert [line["entry"] for line in (await house.story(event_id))["history"]].count("decided") == 1


async def test_a_replay_made_twice_is_made_once(house: House) -> None:
    event_id = await dead_after_one_of_two_effects(house)
    planned = await plan(house, event_id)
    assert isinstance(planned, Replay)
    assert await house.store.replays.replay([planned, planned]) == ["effects", "open"]
    await house.work()
    assert len(house.keys()) == 2


async def test_a_replay_asked_again_after_it_was_done_does_nothing_a_second_time(house: House) -> None:
    event_id = await dead_after_one_of_two_effects(house)
    planned = await plan(house, event_id)
    assert isinstance(planned, Replay)
    for went in ("effects", "over"):  # the first answer was lost, and a worker was quicker than the second call
        assert await house.store.replays.replay([planned]) == [went]
        await house.work()
    assert sorted(house.keys()) == [f"{event_id}:other:claim:0", f"{event_id}:short-receipt:claim:0"]
    assert (await house.story(event_id))["ledger"] == "dd"


async def test_again_asked_once_is_done_once_although_the_call_is_repeated(house: House) -> None:
    await house.publish(SINK_RULE)
    event_id = await house.send()
    await house.work()
    planned = await plan(house, event_id, again=True)
    assert isinstance(planned, Replay)
    for went in ("effects", "over"):
        assert await house.store.replays.replay([planned]) == [went]
        await house.work()
    assert house.keys() == [f"{event_id}:short-receipt:claim:{generation}" for generation in (0, 1)]


async def test_an_event_that_was_decided_after_its_replay_is_not_decided_again_by_the_repeated_call(
    house: House,
) -> None:
    event_id = await dead_after_fetch(house)
    planned = await plan(house, event_id)
    assert isinstance(planned, Replay)
    for went in ("lane", "over"):
        assert await house.store.replays.replay([planned]) == [went]
        await house.work()
    assert [line["entry"] for line in (await house.story(event_id))["history"]].count("decided") == 1
    assert len(house.keys()) == 1


async def test_what_another_replay_did_meanwhile_stays_done(house: House) -> None:
    event_id = await dead_after_one_of_two_effects(house)
    planned = await plan(house, event_id)
    assert isinstance(planned, Replay)
    house.sandbox.sandbox.faults.add(Fault(match="/_sandbox/sink/claims", status=400))
    assert await replay(house, event_id) == "effects"
    await house.work()
    assert (await house.story(event_id))["state"] == "dead"
    assert await house.store.replays.replay([planned]) == ["effects"]
    await house.work()
    assert sorted(house.keys()) == [f"{event_id}:other:claim:0", f"{event_id}:short-receipt:claim:0"]


async def test_effects_are_finished_although_the_bytes_were_dropped(house: House) -> None:
    event_id = await dead_after_one_of_two_effects(house)
    await house.store.client.command("DEL", f"wb:delivery:{event_id}")
    assert await replay(house, event_id) == "effects"
    await house.work()
    assert (await house.story(event_id))["outcome"] == "matched"


async def test_a_discarded_dead_letter_ends_with_its_reason_and_its_bytes_go(house: House) -> None:
    event_id = await dead_after_fetch(house)
    assert await house.store.replays.discard([event_id, "0" * 32], "sent by mistake") == 1
    story = await house.story(event_id)
    assert (story["state"], story["outcome"], story["reason"]) == ("ended", "discarded", "sent by mistake")
    assert await house.store.client.command("PTTL", f"wb:delivery:{event_id}") > 0
    assert await house.store.replays.discard([event_id], "again") == 0


async def test_a_page_tells_of_an_event_from_its_story_once_its_bytes_are_dropped(house: House) -> None:
    event_id = await dead_after_fetch(house)
    (before,) = await house.store.events.page("dead", 10)
    await house.store.client.command("DEL", f"wb:delivery:{event_id}")
    (after,) = await house.store.events.page("dead", 10)
    assert after == before
    assert (after.source, after.record) == ("shop", "pack:purchase_order:po-1")


async def test_events_that_died_in_one_millisecond_are_all_found(house: House) -> None:
    ids = [f"{number:032x}" for number in range(450)]
    for event_id in ids:
        await house.store.client.command("ZADD", "wb:dead", 1_000, event_id)
    assert sorted(await house.store.events.ids_of("dead", "")) == ids
