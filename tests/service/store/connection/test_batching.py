"""Batching: each caller gets its own result, also if the call fails."""

import asyncio
from collections.abc import Sequence

import pytest

from service.store.connection.batching import Batcher

pytestmark = pytest.mark.store


async def test_queued_items_share_a_call_and_get_their_own_results() -> None:
    sent: list[Sequence[int]] = []

    async def double(items: Sequence[int]) -> Sequence[int]:
        sent.append(items)
        return [2 * item for item in items]

    batcher = Batcher(double, batch_max=4, in_flight_max=1)
    assert await asyncio.gather(*(batcher.submit(number) for number in range(6))) == [0, 2, 4, 6, 8, 10]
    assert sent == [[0, 1, 2, 3], [4, 5]]


async def test_call_with_too_few_results_fails_all_items() -> None:
    async def omit_one(items: Sequence[int]) -> Sequence[int]:
        return items[1:]

    batcher = Batcher(omit_one, batch_max=4, in_flight_max=1)
    outcomes = await asyncio.wait_for(
        asyncio.gather(*(batcher.submit(number) for number in range(3)), return_exceptions=True), 1
    )
    assert all(isinstance(outcome, ValueError) for outcome in outcomes)
    with pytest.raises(ValueError, match="zip"):
        await batcher.submit(1)


async def test_item_of_a_cancelled_caller_stays_in_the_batch() -> None:
    sent: list[Sequence[str]] = []

    async def keep(items: Sequence[str]) -> Sequence[str]:
        sent.append(items)
        return items

    batcher = Batcher(keep, batch_max=4, in_flight_max=1)
    leaving = asyncio.create_task(batcher.submit("left"))
    staying = asyncio.create_task(batcher.submit("stayed"))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == "stayed"
    assert sent == [["left", "stayed"]]
