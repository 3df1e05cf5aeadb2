"""Computations in a thread: results and exceptions, one at a time, while the event loop continues."""

import asyncio
import threading

import pytest

from service.compute_thread import run_in_thread
from tests.waiting import until


async def test_result_and_exception_are_those_of_the_function() -> None:
    assert await run_in_thread(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await run_in_thread(divmod, 1, 0)


async def test_one_computation_runs_at_a_time_and_the_event_loop_continues() -> None:
    running, most = 0, 0
    started, release = threading.Event(), threading.Event()

    def wait() -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        started.set()
        assert release.wait(30)
        running -= 1
        return threading.current_thread().name

    tasks = [asyncio.create_task(run_in_thread(wait)) for _ in range(3)]
    await until(started.is_set)  # the event loop turns although the thread waits
    release.set()
    assert {name.startswith("waybill-compute") for name in await asyncio.gather(*tasks)} == {True}
    assert most == 1
