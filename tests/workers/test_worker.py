"""Worker and plain arq on one queue: each runs jobs and reads results of the other."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from arq import Retry
from arq.connections import ArqRedis
from arq.jobs import Job, JobStatus
from arq.worker import Worker, func
from structlog.testing import capture_logs

from service.lease import MARGIN_RATIO
from service.settings import Settings
from service.store import JobEnd, Shards, Store, open_shards, open_store
from service.store.queue.arq_jobs import decode_payload, encode
from tests.service.store.builders import run_on_server
from tests.waiting import PATIENCE_SECONDS, until
from workers import claims
from workers.worker import LeaseWorker

pytestmark = pytest.mark.store

RECORD = Path(__file__).parents[2] / "docs/explanation/decisions/0001-arq-worker-with-leases.md"

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
    return ArqRedis(
        connection_pool=store.client.pool,
        job_serializer=encode,
        job_deserializer=decode_payload,
        default_queue_name=store.settings.queue,
    )


async def run_burst(store: Store, ran: Ran) -> LeaseWorker:
    worker = LeaseWorker(make_functions(ran), Shards([store]), "w1", burst=True, handle_signals=False)
    await worker.async_run()
    await worker.close()
    return worker


async def test_job_of_enqueue_job_runs_and_arq_reads_its_result(store: Store) -> None:
    ran: Ran = []
    redis = make_redis(store)
    job = await redis.enqueue_job("note", 21, _job_id="n1")
    assert job is not None
    assert await job.status() == JobStatus.queued
    await run_burst(store, ran)
    assert ran == [("note", 1)]
    assert await job.status() == JobStatus.complete
    assert await job.result(timeout=1) == 42


async def test_arq_retry_is_honored_and_counted(store: Store) -> None:
    ran: Ran = []
    await make_redis(store).enqueue_job("retry_once")
    await run_burst(store, ran)
    assert ran == [("retry_once", 1), ("retry_once", 2)]


async def test_failing_job_is_retried_and_becomes_a_dead_letter_with_its_bytes(
    make_settings: Callable[..., Settings],
) -> None:
    ran: Ran = []
    store = await open_store(make_settings(job_attempts_max=3, backoff_base_seconds=0.01))
    await make_redis(store).enqueue_job("fail", _job_id="f1")
    await run_burst(store, ran)
    assert [attempt for _, attempt in ran] == [1, 2, 3]
    ((_, fields),) = await store.client.command("XRANGE", "wb:dead_jobs", "-", "+")
    assert fields[1] == b"f1"
    assert b"ValueError" in fields[3]
    assert decode_payload(fields[5])["f"] == "fail"
    await store.close()


async def test_burst_runs_jobs_without_a_token_before_its_next_claim_is_due(
    make_settings: Callable[..., Settings],
) -> None:
    ran: list[int] = []

    async def count_down(ctx: Mapping[str, Any], left: int) -> None:
        ran.append(left)
        if left:
            await ctx["redis"].enqueue_job("count_down", left - 1)

    store = await open_store(make_settings(wake_timeout_seconds=3_600, lease_seconds=3_600))
    await make_redis(store).enqueue_job("count_down", 2)
    functions = [func(count_down, name="count_down")]  # type: ignore[arg-type]
    worker = LeaseWorker(functions, Shards([store]), "w1", burst=True, handle_signals=False)
    await asyncio.wait_for(worker.async_run(), PATIENCE_SECONDS)
    await worker.close()
    await store.close()
    assert ran == [2, 1, 0]


@pytest.mark.parametrize("jobs", [0, 1, 3])
async def test_burst_ends_with_its_last_job(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    monkeypatch.setattr(claims, "BURST_CHECK_SECONDS", 3_600)
    ran: Ran = []
    store = await open_store(make_settings(wake_timeout_seconds=3_600, lease_seconds=3_600))
    for number in range(jobs):
        await make_redis(store).enqueue_job("note", number)
    await asyncio.wait_for(run_burst(store, ran), PATIENCE_SECONDS)
    await store.close()
    assert len(ran) == jobs


async def test_burst_runs_a_job_that_another_shard_gets_between_the_reads_of_a_check(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = await open_shards(make_settings(shards=2, wake_timeout_seconds=3_600, lease_seconds=3_600))
    read_first, read_last = shards.stores
    ran: list[str] = []
    ended = asyncio.Event()

    async def add(_: Mapping[str, Any]) -> None:
        await make_redis(read_first).enqueue_job("note", _queue_name=read_first.keys.queue)
        ran.append("add")
        asyncio.get_running_loop().call_later(0.1, ended.set)

    async def note(_: Mapping[str, Any]) -> None:
        ran.append("note")

    has_jobs = claims.Claims._has_jobs

    async def has_jobs_late(self: claims.Claims, queue: claims.ShardQueue) -> bool:
        if queue.store is read_last:  # a server that answers late
            await ended.wait()
        return await has_jobs(self, queue)

    monkeypatch.setattr(claims.Claims, "_has_jobs", has_jobs_late)
    await make_redis(read_last).enqueue_job("add", _queue_name=read_last.keys.queue)
    functions = [func(each, name=each.__name__) for each in (add, note)]  # type: ignore[arg-type]
    worker = LeaseWorker(functions, shards, "w1", burst=True, handle_signals=False)
    await asyncio.wait_for(worker.async_run(), PATIENCE_SECONDS)
    await worker.close()
    await shards.close()
    assert ran == ["add", "note"]


@pytest.mark.parametrize("payload", [b"\x80\x04pickle", b"", encode({"f": "note"}), encode([1])])
async def test_job_with_invalid_payload_becomes_a_dead_letter_with_its_bytes(store: Store, payload: bytes) -> None:
    await store.client.command("SET", "arq:job:bad", payload)
    await store.client.command("ZADD", "wb:queue", 1, "bad")
    await run_burst(store, [])
    ((_, fields),) = await store.client.command("XRANGE", "wb:dead_jobs", "-", "+")
    assert fields[5] == payload
    assert await store.client.command("ZCARD", "wb:queue") == 0


async def test_job_with_unknown_function_or_no_payload_becomes_a_dead_letter(store: Store) -> None:
    await make_redis(store).enqueue_job("unknown", _job_id="u1")
    await store.client.command("ZADD", "wb:queue", 1, "ghost")
    await run_burst(store, [])
    dead = {fields[1] for _, fields in await store.client.command("XRANGE", "wb:dead_jobs", "-", "+")}
    assert dead == {b"u1", b"ghost"}


async def test_plain_arq_worker_skips_a_leased_job_and_arq_reports_it_in_progress(store: Store) -> None:
    ours: Ran = []
    theirs: Ran = []
    redis = make_redis(store)
    await redis.enqueue_job("slow", _job_id="s1")
    worker = LeaseWorker(make_functions(ours), Shards([store]), "w1", handle_signals=False)
    running = asyncio.create_task(worker.async_run())
    await until(lambda: bool(ours))
    plain = Worker(
        make_functions(theirs), redis_pool=redis, handle_signals=False, poll_delay=0.02, job_deserializer=decode_payload
    )
    polling = asyncio.create_task(plain.async_run())
    await asyncio.sleep(0.3)
    assert theirs == []
    assert await Job("s1", redis).status() == JobStatus.in_progress
    while not polling.done():  # arq can lose a cancellation while it waits for the store
        polling.cancel()
        await asyncio.wait([polling], timeout=0.1)
    next(iter(worker.tasks.values())).cancel()
    worker.handle_sig_wait_for_completion(15)  # type: ignore[arg-type]
    await running
    await worker.close()


async def test_claim_takes_at_most_a_quarter_of_the_concurrency(
    make_settings: Callable[..., Settings],
) -> None:
    ran: Ran = []
    store = await open_store(make_settings(concurrency=8, drain_timeout_seconds=0))
    redis = make_redis(store)
    for number in range(9):
        await redis.enqueue_job("slow", _job_id=f"s{number}")
    worker = LeaseWorker(make_functions(ran), Shards([store]), "w1", handle_signals=False)
    running = asyncio.create_task(worker.async_run())
    await until(lambda: len(ran) == 8)
    claims = Counter([await store.client.command("GET", f"arq:in-progress:s{number}") for number in range(9)])
    assert claims == {b"w1:1": 2, b"w1:2": 2, b"w1:3": 2, b"w1:4": 2, None: 1}
    worker.handle_sig_wait_for_completion(15)  # type: ignore[arg-type]
    await running
    await worker.close()
    await store.close()


async def test_drain_does_not_count_the_try(make_settings: Callable[..., Settings]) -> None:
    ran: Ran = []
    store = await open_store(make_settings(drain_timeout_seconds=0))
    await make_redis(store).enqueue_job("slow", _job_id="s1")
    worker = LeaseWorker(make_functions(ran), Shards([store]), "w1", handle_signals=False)
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
async def test_failed_renewal_of_a_lease_is_logged(make_settings: Callable[..., Settings]) -> None:
    ran: Ran = []
    store = await open_store(make_settings(lease_seconds=1.2))
    await make_redis(store).enqueue_job("slow", _job_id="s1")
    worker = LeaseWorker(make_functions(ran), Shards([store]), "w1", handle_signals=False)
    url = store.settings.redis_url
    with capture_logs() as lines:

        def logged(event: str) -> bool:
            return any(line["event"] == event and line["task"] == "leases" for line in lines)

        running = asyncio.create_task(worker.async_run())
        await until(lambda: bool(ran))
        run_on_server(url, "ACL", "SETUSER", "default", "-pexpire")
        await until(lambda: logged("background_task.failed"))
        run_on_server(url, "ACL", "SETUSER", "default", "+pexpire")
        await until(lambda: logged("background_task.recovered"))
    worker.handle_sig_wait_for_completion(15)  # type: ignore[arg-type]
    running.cancel()
    for task in worker.tasks.values():
        task.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await store.close()


@pytest.mark.slow
async def test_lease_is_renewed_while_the_job_runs_and_expires_without_its_worker(
    make_settings: Callable[..., Settings],
) -> None:
    ran: Ran = []
    store = await open_store(make_settings(lease_seconds=1.2))
    await make_redis(store).enqueue_job("slow", _job_id="s1")
    worker = LeaseWorker(make_functions(ran), Shards([store]), "w1", handle_signals=False)
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


async def test_claim_after_a_lost_response_returns_the_same_jobs(store: Store) -> None:
    redis = make_redis(store)
    for number in range(3):
        await redis.enqueue_job("note", number)
    leases = store.leases("w1")
    first = await leases.claim(10)
    leases._answered = False
    again = await leases.claim(10)
    assert [job.id for job in again.jobs] == [job.id for job in first.jobs]
    assert {job.tries for job in again.jobs} == {2}


async def test_only_the_token_of_the_lease_can_finish_a_job(store: Store) -> None:
    await make_redis(store).enqueue_job("note", 1, _job_id="n1")
    await store.client.command(
        "ZADD", "wb:queue", 0, "n1"
    )  # the clock of arq may be a millisecond ahead of the clock of the server
    leases = store.leases("w1")
    (job,) = (await leases.claim(1)).jobs
    await store.client.command("SET", "arq:in-progress:n1", "another token")
    assert await leases.finish([JobEnd(job.id, job.token, "done")]) == [False]
    assert await leases.renew([job]) == [job]


async def test_time_limit_of_a_lease_begins_before_its_claim_and_before_each_renewal(store: Store) -> None:
    await make_redis(store).enqueue_job("note", 1, _job_id="n1")
    await store.client.command("ZADD", "wb:queue", 0, "n1")
    leases, seconds = store.leases("w1"), store.settings.lease_seconds * (1 - MARGIN_RATIO)
    before = time.monotonic()
    await leases.claim(10)
    answered_at = time.monotonic()
    leases._answered = False  # the reply was lost: the repeated call does not start the lease again
    (job,) = (await leases.claim(10)).jobs
    assert before + seconds <= job.lease.expires_at <= answered_at + seconds
    job.lease.expires_at = 0.0
    before = time.monotonic()
    assert await leases.renew([job]) == []
    assert before + seconds <= job.lease.expires_at <= time.monotonic() + seconds
    await store.client.command("SET", "arq:in-progress:n1", "another token")
    expires_at = job.lease.expires_at
    assert (await leases.renew([job]), job.lease.expires_at) == ([job], expires_at)


async def test_job_claimed_again_after_a_lost_lease_runs_under_the_new_lease_only(store: Store) -> None:
    ran: Ran = []
    await make_redis(store).enqueue_job("slow", _job_id="s1")
    worker = LeaseWorker(make_functions(ran), Shards([store]), "w1", handle_signals=False)
    running = asyncio.create_task(worker.async_run())
    await until(lambda: len(ran) == 1)
    await store.client.command("DEL", "arq:in-progress:s1")
    await store.client.command("ZADD", "wb:queue", 0, "s1")
    await store.client.command("LPUSH", "wb:wake", 1)
    await until(lambda: len(ran) == 2)
    await until(lambda: len(worker.tasks) == 1)
    assert worker.leases_lost == 1
    next(iter(worker.tasks.values())).cancel()
    worker.handle_sig_wait_for_completion(15)  # type: ignore[arg-type]
    await running
    await worker.close()


def test_decision_record_lists_every_method_of_arq_as_it_is() -> None:
    listed: dict[str, str] = {}
    for line in RECORD.read_text().splitlines():
        if (row := re.match(r"\| (`[^|]+) \| (extended|inherited|replaced|not called) \|", line)) is not None:
            listed |= dict.fromkeys(re.findall(r"`(\w+)`", row[1]), row[2])
    methods = {name for name, value in vars(Worker).items() if callable(value) or isinstance(value, property)}
    own = methods & vars(LeaseWorker).keys()
    assert listed.keys() == methods
    assert {name for name, how in listed.items() if how in {"extended", "replaced"}} == own


async def test_job_of_another_arq_application_in_the_same_store_is_left_alone(store: Store) -> None:
    other = ArqRedis(connection_pool=store.client.pool)  # pickles its jobs, and uses the default queue of arq
    job = await other.enqueue_job("mine", 1)
    assert job is not None
    await run_burst(store, [])
    assert await job.status() == JobStatus.queued
    assert await store.client.command("XLEN", store.keys.named("dead_jobs")) == 0
