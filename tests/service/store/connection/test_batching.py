"""Many callers, one call: each gets its own result, and none is left waiting whatever the call does."""

import asyncio
from collections.abc import Sequence

import pytest

from service.store.connection.batching import Batcher

pytestmark = pytest.mark.store


async def test_what_waits_goes_out_together_and_each_gets_its_own_result() -> None:
    sent: list[Sequence[int]] = []

    async def double(items: Sequence[int]) -> Sequence[int]:
        sent.append(items)
        return [2 * item for item in items]

    batcher = Batcher(double, batch_max=4, in_flight_max=1)
    assert await asyncio.gather(*(batcher.submit(number) for number in range(6))) == [0, 2, 4, 6, 8, 10]
    assert sent == [[0, 1, 2, 3], [4, 5]]


async def test_a_call_that_answers_for_too_few_fails_all_instead_of_leaving_them_waiting() -> None:
    async def forget_one(items: Sequence[int]) -> Sequence[int]:
        return items[1:]

    batcher = Batcher(forget_one, batch_max=4, in_flight_max=1)
    outcomes = await asyncio.wait_for(
        asyncio.gather(*(batcher.submit(number) for number in range(3)), return_exceptions=True), 1
    )
    assert all(isinstance(outcome, ValueError) for outcome in outcomes)
    with pytest.raises(ValueError, match="zip"):
        await batcher.submit(1)


async def test_a_caller_that_was_cancelled_leaves_its_item_in_the_batch() -> None:
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
