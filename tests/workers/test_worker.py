"""The worker and plain arq on one queue: each runs, reads and respects what the other made."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from arq import Retry
from arq.connections import ArqRedis
from arq.jobs import Job, JobStatus
from arq.worker import Worker, func

from service.settings import Settings
from service.store import JobEnd, Store, open_store
from service.store.queue.arq_jobs import decode_payload, encode
from tests.waiting import until
from workers.worker import LeaseWorker

pytestmark = pytest.mark.store

Ran = list[tuple[str, int]]


def make_functions(ran: Ran) -> list[Any]:
    async def note(ctx: Mapping[str, Any], value: int) -> int:
        ran.append(("note", ctx["job_try"]))
        return value * 2

    async def retry_once(ctx: Mapping[str, Any]) -> None:
        ran.append(("retry_once", ctx["job_try"]))
        if ctx["job_try"] == 1:
            raise Retry(defer=0.01)

    async def fail(ctx: Mapping[str, Any]) -> None:
        ran.append(("fail", ctx["job_try"]))
        raise ValueError("no")

    async def slow(ctx: Mapping[str, Any]) -> None:
        ran.append(("slow", ctx["job_try"]))
        await asyncio.sleep(30)

    return [
        func(note, name="note"),
        func(retry_once, name="retry_once"),
        func(fail, name="fail"),
        func(slow, name="slow"),
    ]


def make_redis(store: Store) -> ArqRedis:
    return ArqRedis(connection_pool=store.client.pool, job_serializer=encode, job_deserializer=decode_payload)


async def run_burst(store: Store, ran: Ran) -> LeaseWorker:
    worker = LeaseWorker(make_functions(ran), store, "w1", burst=True, handle_signals=False)
    await worker.async_run()
    await worker.close()
    return worker


async def test_a_job_of_plain_enqueue_job_is_run_and_its_result_read_by_arq(store: Store) -> None:
    ran: Ran = []
    redis = make_redis(store)
    job = await redis.enqueue_job("note", 21, _job_id="n1")
    assert job is not None
    assert await job.status() == JobStatus.queued
    await run_burst(store, ran)
    assert ran == [("note", 1)]
    assert await job.status() == JobStatus.complete
    assert await job.result(timeout=1) == 42


async def test_retry_is_obeyed_and_counted(store: Store) -> None:
    ran: Ran = []
    await make_redis(store).enqueue_job("retry_once")
    await run_burst(store, ran)
    assert ran == [("retry_once", 1), ("retry_once", 2)]


async def test_an_error_is_retried_and_then_buried_with_its_bytes(make_settings: Callable[..., Settings]) -> None:
    ran: Ran = []
    store = await open_store(make_settings(attempts_max=3, backoff_base_seconds=0.01))
    await make_redis(store).enqueue_job("fail", _job_id="f1")
    await run_burst(store, ran)
    assert [attempt for _, attempt in ran] == [1, 2, 3]
    ((_, fields),) = await store.client.command("XRANGE", "wb:dead_jobs", "-", "+")
    assert fields[1] == b"f1"
    assert b"ValueError" in fields[3]
    assert decode_payload(fields[5])["f"] == "fail"
    await store.close()


@pytest.mark.parametrize("payload", [b"\x80\x04pickle", b"", encode({"f": "note"}), encode([1])])
async def test_a_payload_that_cannot_be_read_is_buried_with_its_bytes(store: Store, payload: bytes) -> None:
    await store.client.command("SET", "arq:job:bad", payload)
    await store.client.command("ZADD", "arq:queue", 1, "bad")
    await run_burst(store, [])
    ((_, fields),) = await store.client.command("XRANGE", "wb:dead_jobs", "-", "+")
    assert fields[5] == payload
    assert await store.client.command("ZCARD", "arq:queue") == 0


async def test_a_function_nobody_has_is_buried_and_so_is_a_job_without_payload(store: Store) -> None:
    await make_redis(store).enqueue_job("unheard_of", _job_id="u1")
    await store.client.command("ZADD", "arq:queue", 1, "ghost")
    await run_burst(store, [])
    buried = {fields[1] for _, fields in await store.client.command("XRANGE", "wb:dead_jobs", "-", "+")}
    assert buried == {b"u1", b"ghost"}


async def test_a_plain_arq_worker_leaves_our_leased_job_alone_and_arq_sees_it_in_progress(store: Store) -> None:
    ours: Ran = []
    theirs: Ran = []
    redis = make_redis(store)
    await redis.enqueue_job("slow", _job_id="s1")
    worker = LeaseWorker(make_functions(ours), store, "w1", handle_signals=False)
    running = asyncio.create_task(worker.async_run())
    await until(lambda: bool(ours))
    plain = Worker(
        make_functions(theirs), redis_pool=redis, handle_signals=False, poll_delay=0.02, job_deserializer=decode_payload
    )
    polling = asyncio.create_task(plain.async_run())
    await asyncio.sleep(0.3)
    assert theirs == []
    assert await Job("s1", redis).status() == JobStatus.in_progress
    polling.cancel()
    await asyncio.gather(polling, return_exceptions=True)
    next(iter(worker.tasks.values())).cancel()
    worker.handle_sig_wait_for_completion(15)  # type: ignore[arg-type]
    await running
    await worker.close()


async def test_a_claim_takes_up_a_quarter_of_what_may_run_at_once_and_all_of_it_runs(
    make_settings: Callable[..., Settings],
) -> None:
    ran: Ran = []
    store = await open_store(make_settings(concurrency=8, drain_timeout_seconds=0))
    redis = make_redis(store)
    for number in range(9):
        await redis.enqueue_job("slow", _job_id=f"s{number}")
    worker = LeaseWorker(make_functions(ran), store, "w1", handle_signals=False)
    running = asyncio.create_task(worker.async_run())
    await until(lambda: len(ran) == 8)
    claims = Counter([await store.client.command("GET", f"arq:in-progress:s{number}") for number in range(9)])
    assert claims == {b"w1:1": 2, b"w1:2": 2, b"w1:3": 2, b"w1:4": 2, None: 1}
    worker.handle_sig_wait_for_completion(15)  # type: ignore[arg-type]
    await running
    await worker.close()
    await store.close()


async def test_a_drain_gives_the_try_back(make_settings: Callable[..., Settings]) -> None:
    ran: Ran = []
    store = await open_store(make_settings(drain_timeout_seconds=0))
    await make_redis(store).enqueue_job("slow", _job_id="s1")
    worker = LeaseWorker(make_functions(ran), store, "w1", handle_signals=False)
    running = asyncio.create_task(worker.async_run())
    await until(lambda: bool(ran))
    worker.handle_sig_wait_for_completion(15)  # type: ignore[arg-type]
    await running
    await worker.close()
    assert await store.client.command("GET", "arq:retry:s1") == b"0"
    assert await store.client.command("EXISTS", "arq:in-progress:s1") == 0
    assert len((await store.leases("w2").claim(10)).jobs) == 1
    await store.close()


@pytest.mark.slow
async def test_a_lease_outlives_its_first_term_while_the_job_runs_and_ends_with_a_holder_that_is_gone(
    make_settings: Callable[..., Settings],
) -> None:
    ran: Ran = []
    store = await open_store(make_settings(lease_seconds=1.2))
    await make_redis(store).enqueue_job("slow", _job_id="s1")
    worker = LeaseWorker(make_functions(ran), store, "w1", handle_signals=False)
    running = asyncio.create_task(worker.async_run())
    await until(lambda: bool(ran))
    await asyncio.sleep(2)
    other = store.leases("w2")
    assert not (await other.claim(10)).jobs
    running.cancel()
    next(iter(worker.tasks.values())).cancel()
    await asyncio.gather(running, return_exceptions=True)

    async def is_claimed() -> bool:
        return bool((await other.claim(10)).jobs)

    await until(is_claimed)
    await store.close()


async def test_a_claim_whose_answer_was_lost_gives_the_same_jobs_again(store: Store) -> None:
    redis = make_redis(store)
    for number in range(3):
        await redis.enqueue_job("note", number)
    leases = store.leases("w1")
    first = await leases.claim(10)
    leases._answered = False
    again = await leases.claim(10)
    assert [job.id for job in again.jobs] == [job.id for job in first.jobs]
    assert {job.tries for job in again.jobs} == {2}


async def test_only_the_token_of_the_lease_may_finish(store: Store) -> None:
    await make_redis(store).enqueue_job("note", 1, _job_id="n1")
    await store.client.command("ZADD", "arq:queue", 0, "n1")  # arq's clock may be a millisecond ahead of the server's
    leases = store.leases("w1")
    (job,) = (await leases.claim(1)).jobs
    await store.client.command("SET", "arq:in-progress:n1", "somebody else")
    assert await leases.finish([JobEnd(job.id, job.token, "done")]) == [False]
    assert await leases.renew([(job.id, job.token)]) == ["n1"]


async def test_a_job_that_comes_back_to_the_worker_that_lost_it_runs_under_its_new_lease_alone(store: Store) -> None:
    ran: Ran = []
    await make_redis(store).enqueue_job("slow", _job_id="s1")
    worker = LeaseWorker(make_functions(ran), store, "w1", handle_signals=False)
    running = asyncio.create_task(worker.async_run())
    await until(lambda: len(ran) == 1)
    await store.client.command("DEL", "arq:in-progress:s1")
    await store.client.command("ZADD", "arq:queue", 0, "s1")
    await store.client.command("LPUSH", "wb:wake", 1)
    await until(lambda: len(ran) == 2)
    await until(lambda: len(worker.tasks) == 1)
    assert worker.leases_lost == 1
    next(iter(worker.tasks.values())).cancel()
    worker.handle_sig_wait_for_completion(15)  # type: ignore[arg-type]
    await running
    await worker.close()
