"""Nobody starves: not beside a record that changes all the time, not beside a source that never stops sending."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from service.settings import Settings
from tests.workers.harness import SINK_RULE, House, open_house

pytestmark = pytest.mark.store

JOBS_MAX, LANE_EVENTS_MAX = 2, 5


@pytest.fixture
async def house(make_settings: Callable[..., Settings]) -> AsyncIterator[House]:
    async with open_house(make_settings(concurrency=JOBS_MAX, lane_events_max=LANE_EVENTS_MAX)) as opened:
        await opened.publish(SINK_RULE)
        yield opened


def order_of_ends(house: House) -> list[str]:
    return [line["event_id"] for line in house.said("attempt.finished")]


async def test_a_hot_record_gives_others_their_turn_after_a_bounded_number_of_its_events(house: House) -> None:
    hot = [await house.send("hot") for _ in range(100)]
    others = [await house.send(f"quiet-{number}") for number in range(4)]
    await house.work()
    ends = order_of_ends(house)
    assert sorted(ends) == sorted([*hot, *others])
    assert [event_id for event_id in ends if event_id in hot] == hot  # in their own order all the same
    assert max(ends.index(event_id) for event_id in others) < 2 * LANE_EVENTS_MAX + len(others) + JOBS_MAX


async def test_a_noisy_source_delays_a_quiet_one_by_what_came_before_it_and_no_more(house: House) -> None:
    before = [await house.send(f"noisy-{number}") for number in range(40)]
    quiet = await house.send("quiet")
    await asyncio.sleep(0.002)  # the queue counts in milliseconds: what comes in the same one may go before
    after = [await house.send(f"noisy-{number}") for number in range(40, 120)]
    await house.work()
    ends = order_of_ends(house)
    assert sorted(ends) == sorted([*before, quiet, *after])
    assert ends.index(quiet) <= len(before) + JOBS_MAX
