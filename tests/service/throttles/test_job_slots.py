"""Job slots of a worker: what calls to targets that do not answer may hold, and what is free for the others."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from math import inf

import pytest

from service.throttles.job_slots import HeldJob, JobSlots, current_job
from service.throttles.slot import ProcessSlots

SIZE = 100
LATER = 1e9


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def target(jobs: JobSlots, clock: Clock, *, slots_max: int = 0, share: float = 1.0) -> ProcessSlots:
    return ProcessSlots(slots_max, share, jobs, clock, 60.0)


async def call(slots: ProcessSlots, release: asyncio.Event) -> bool:
    """Call as a job of its own, until `release`."""
    current_job.set(HeldJob())
    if not await slots.acquire(LATER):
        return False
    try:
        await release.wait()
    finally:
        slots.release()
    return True


@asynccontextmanager
async def calls(slots: ProcessSlots, number: int, release: asyncio.Event) -> AsyncGenerator[list[asyncio.Task[bool]]]:
    """Start calls. Yield those that hold a job: in progress, or waiting in place."""
    tasks = [asyncio.create_task(call(slots, release)) for _ in range(number)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    yield [task for task in tasks if not task.done()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_calls_that_do_not_end_hold_three_quarters_of_the_jobs_at_most() -> None:
    jobs, never = JobSlots(SIZE), asyncio.Event()
    async with calls(target(jobs, Clock()), 3 * SIZE, never) as held:
        assert len(held) == 75
        assert (jobs.free(None), jobs.idle(None)) == (50, 25)
    assert (jobs.free(None), jobs.idle(None)) == (SIZE, SIZE)


async def test_each_further_target_holds_half_of_what_is_free() -> None:
    jobs, clock, never = JobSlots(SIZE), Clock(), asyncio.Event()
    first, second, third = (target(jobs, clock) for _ in range(3))
    free: list[float] = []
    async with calls(first, SIZE, never), calls(second, SIZE, never), calls(third, SIZE, never):
        for _ in range(2):
            free.append(jobs.free(None))
            clock.now += 61
    assert free == [12, 12]
    assert jobs.free(None) == SIZE


async def test_share_of_an_account_is_larger() -> None:
    jobs = JobSlots(SIZE)
    async with calls(target(jobs, Clock(), share=3.0), SIZE, asyncio.Event()):
        assert jobs.free(None) == 25


async def test_job_that_calls_many_targets_holds_one_slot() -> None:
    jobs, clock = JobSlots(1), Clock()
    current_job.set(HeldJob())
    targets = [target(jobs, clock) for _ in range(10)]
    assert [await each.acquire(LATER) for each in targets] == [True] * 10
    assert jobs.free(None) == 0
    for each in targets:
        each.release()
    assert jobs.free(None) == 1
    current_job.set(None)


async def test_end_of_a_call_starts_the_calls_that_wait_for_other_targets() -> None:
    jobs, clock, end, never = JobSlots(8), Clock(), asyncio.Event(), asyncio.Event()
    first, second = target(jobs, clock), target(jobs, clock)
    async with calls(first, 4, end), calls(second, 3, never) as held:
        assert (len(held), jobs.free(None)) == (3, 2)  # two in progress, one waits
        end.set()
        for _ in range(5):
            await asyncio.sleep(0)
        assert jobs.free(None) == 5


async def test_calls_wait_without_a_share_while_others_end() -> None:
    jobs, clock, never = JobSlots(SIZE), Clock(), asyncio.Event()
    slots = target(jobs, clock)
    assert await slots.acquire(LATER)
    slots.add_duration(clock.now)
    slots.release()
    async with calls(slots, SIZE, never) as held:
        assert len(held) == SIZE
        clock.now += 1
        assert not await slots.acquire(LATER)


async def test_cancelled_wait_gives_its_slot_to_the_next_call() -> None:
    jobs, clock, end = JobSlots(inf), Clock(), asyncio.Event()
    slots = target(jobs, clock, slots_max=1)
    async with calls(slots, 3, end) as (_, second, third):
        end.set()
        await asyncio.sleep(0)  # the first call ends and gives its slot to the second
        second.cancel()
        assert await third
        assert jobs.free(None) == inf
    assert await slots.acquire(LATER)
    slots.release()


async def test_pace_is_the_time_without_an_end_while_all_slots_are_held() -> None:
    jobs, clock, never = JobSlots(SIZE), Clock(), asyncio.Event()
    slots = target(jobs, clock)
    usual = slots.seconds_apart, slots.calls_per_second
    assert usual == (pytest.approx(0.004), pytest.approx(250))
    async with calls(slots, SIZE, never):
        assert (slots.seconds_apart, slots.calls_per_second) == usual
        clock.now += 90
        assert (slots.seconds_apart, slots.calls_per_second) == (90, 1)
        assert not await slots.acquire(LATER)
    clock.now += 90
    assert (slots.seconds_apart, slots.calls_per_second) == usual
