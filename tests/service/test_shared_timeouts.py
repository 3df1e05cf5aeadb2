"""Shared timeouts: expiry, cancellation and cleanup."""

import asyncio

import pytest

from service.shared_timeouts import SharedTimeout
from tests.waiting import until


async def test_expired_block_raises_timeout_error() -> None:
    timeout = SharedTimeout(0.02)
    with pytest.raises(TimeoutError), timeout.start():
        await asyncio.sleep(10)
    await asyncio.sleep(0)


async def test_finished_timeouts_are_removed() -> None:
    timeout = SharedTimeout(0.5)
    for _ in range(100):
        with timeout.start():
            await asyncio.sleep(0)
    assert len(timeout._timeouts) == 1
    await until(lambda: not timeout._timeouts)


async def test_concurrent_timeouts_expire_independently() -> None:
    timeout = SharedTimeout(0.1)
    loop = asyncio.get_running_loop()

    async def wait_after(delay: float) -> float:
        await asyncio.sleep(delay)
        began = loop.time()
        with pytest.raises(TimeoutError), timeout.start():
            await asyncio.sleep(10)
        return loop.time() - began

    lengths = await asyncio.gather(*[wait_after(number / 50) for number in range(5)])
    assert all(0.09 < length < 5 for length in lengths)


async def test_cancellation_by_another_task_is_not_a_timeout() -> None:
    timeout = SharedTimeout(10)

    async def wait() -> None:
        with timeout.start():
            await asyncio.sleep(10)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_timeout_expires_in_a_task_that_ends_after_its_cancellation() -> None:
    async def wait() -> str:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            with pytest.raises(TimeoutError), SharedTimeout(0.02).start():
                await asyncio.sleep(10)
        return "ended"

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "ended"


async def test_exception_of_the_block_propagates() -> None:
    with pytest.raises(ZeroDivisionError), SharedTimeout(10).start():
        raise ZeroDivisionError


def test_start_outside_a_task_raises_runtime_error() -> None:
    with pytest.raises(RuntimeError):
        SharedTimeout(1).start()
