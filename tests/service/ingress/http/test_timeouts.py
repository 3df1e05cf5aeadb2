"""Waits end on time, in order, and leave nothing behind."""

import asyncio

import pytest

from service.ingress.http.timeouts import SharedTimeout
from tests.waiting import until


async def test_a_wait_that_takes_too_long_leaves_by_timeout_error() -> None:
    deadlines = SharedTimeout(0.02)
    with pytest.raises(TimeoutError), deadlines.start():
        await asyncio.sleep(10)
    await asyncio.sleep(0)


async def test_waits_that_end_in_time_are_left_alone_and_forgotten() -> None:
    deadlines = SharedTimeout(0.5)
    for _ in range(100):
        with deadlines.start():
            await asyncio.sleep(0)
    assert len(deadlines._waits) == 1
    await until(lambda: not deadlines._waits)


async def test_each_of_many_waits_has_its_own_time() -> None:
    deadlines = SharedTimeout(0.1)
    loop = asyncio.get_running_loop()

    async def late(delay: float) -> float:
        await asyncio.sleep(delay)
        began = loop.time()
        with pytest.raises(TimeoutError), deadlines.start():
            await asyncio.sleep(10)
        return loop.time() - began

    lengths = await asyncio.gather(*[late(number / 50) for number in range(5)])
    assert all(0.09 < length < 5 for length in lengths)


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    deadlines = SharedTimeout(10)

    async def wait() -> None:
        with deadlines.start():
            await asyncio.sleep(10)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_inside_passes_unchanged() -> None:
    with pytest.raises(ZeroDivisionError), SharedTimeout(10).start():
        raise ZeroDivisionError


def test_a_wait_outside_of_a_task_is_a_mistake() -> None:
    with pytest.raises(RuntimeError):
        SharedTimeout(1).start()
