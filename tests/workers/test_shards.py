"""A worker over many shards: each job runs once, no shard starves another, and idle workers wait with few calls."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import pytest
from arq.jobs import Job, JobStatus
from arq.worker import Function, func

from service.errors import ConfigError, StoreUnavailable
from service.settings import Settings, load_settings
from service.store import Shards, Store, open_shards
from service.store.queue.arq_jobs import decode_payload, encode_job
from tests.service.store.builders import run_on_server
from tests.valkey_cluster import ValkeyCluster, running_cluster
from tests.waiting import PATIENCE_SECONDS, until
from workers.worker import LeaseWorker

pytestmark = pytest.mark.store

Ran = list[str]

HOT_JOBS = 1_000


@pytest.fixture
async def shards(make_settings: Callable[..., Settings]) -> AsyncIterator[Shards]:
    opened = await open_shards(
        make_settings(shards=16, concurrency=8, drain_timeout_seconds=0), check_installation=True
    )
    yield opened
    await opened.close()


async def enqueue(store: Store, name: str, function: str = "note") -> str:
    """Add a plain job to a shard. Its id has the hash tag of the shard."""
    job = f"{store.keys.prefix}{name}"
    await store.client.command("SET", f"arq:job:{job}", encode_job(function, ()))
    await store.client.command("ZADD", store.keys.queue, 1, job)
    await store.client.command("LPUSH", store.keys.named("wake"), 1)
    return job


def functions_of(ran: Ran, hold: asyncio.Event) -> list[Function]:
    async def note(ctx: Mapping[str, Any]) -> None:
        ran.append(ctx["job_id"])

    async def wait(ctx: Mapping[str, Any]) -> None:
        ran.append(ctx["job_id"])
        await hold.wait()

    async def pause(ctx: Mapping[str, Any]) -> None:
        await asyncio.sleep(0.01)
        ran.append(ctx["job_id"])

    return [func(each, name=each.__name__) for each in (note, wait, pause)]  # type: ignore[arg-type]


def make_worker(
    shards: Shards, ran: Ran, hold: asyncio.Event | None = None, *, name: str = "w1", burst: bool = False
) -> LeaseWorker:
    functions = functions_of(ran, hold or asyncio.Event())
    return LeaseWorker(functions, shards, name, burst=burst, handle_signals=False)


async def stop(worker: LeaseWorker, running: "asyncio.Task[None]") -> None:
    worker.handle_sig_wait_for_completion(15)  # type: ignore[arg-type]
    await running
    await worker.close()


async def test_burst_runs_the_jobs_of_all_shards_once(shards: Shards) -> None:
    jobs = [await enqueue(store, f"n{number}") for store in shards.stores for number in range(3)]
    ran: Ran = []
    worker = make_worker(shards, ran, burst=True)
    await asyncio.wait_for(worker.async_run(), PATIENCE_SECONDS)
    await worker.close()
    assert sorted(ran) == sorted(jobs)


async def test_idle_worker_is_woken_by_each_shard(shards: Shards) -> None:
    ran: Ran = []
    worker = make_worker(shards, ran)
    running = asyncio.create_task(worker.async_run())
    for number in range(3):
        jobs = [await enqueue(store, f"n{number}") for store in shards.stores]
        await until(lambda jobs=jobs: set(jobs) <= set(ran))
    await stop(worker, running)
    assert max(Counter(ran).values()) == 1


@pytest.mark.slow
async def test_shard_with_many_jobs_does_not_delay_the_others(shards: Shards) -> None:
    ran: Ran = []
    hot, *others = shards.stores
    await asyncio.gather(*(enqueue(hot, f"hot{number}", "pause") for number in range(HOT_JOBS)))
    worker = make_worker(shards, ran)
    running = asyncio.create_task(worker.async_run())
    await until(lambda: len(ran) >= 20)
    jobs = await asyncio.gather(*(enqueue(store, "cold") for store in others))
    await until(lambda: len(ran) == HOT_JOBS + len(jobs))
    await stop(worker, running)
    # While a busy machine wakes the worker for the other shards, tens of the short jobs run.
    assert max(ran.index(job) for job in jobs) < HOT_JOBS / 2


async def test_full_worker_leaves_wake_ups_to_others(shards: Shards) -> None:
    ran: Ran = []
    hold = asyncio.Event()
    busy, idle = make_worker(shards, ran, hold), make_worker(shards, ran, name="w2")
    for store in shards.stores[:8]:
        await enqueue(store, "held", "wait")
    tasks = [asyncio.create_task(busy.async_run())]
    await until(lambda: len(busy.tasks) == 8)
    tasks.append(asyncio.create_task(idle.async_run()))
    jobs = [await enqueue(store, f"n{number}") for store in shards.stores for number in range(4)]
    await until(lambda: set(jobs) <= set(ran))
    assert len(busy.tasks) == 8
    hold.set()
    await stop(busy, tasks[0])
    await stop(idle, tasks[1])


async def test_worker_bound_to_shards_runs_only_their_jobs(
    shards: Shards, make_settings: Callable[..., Settings]
) -> None:
    jobs = {store.name: await enqueue(store, "n") for store in shards.stores}
    ran: Ran = []
    bound = await open_shards(make_settings(shards=16, worker_shards="00,17"), check_installation=True)
    worker = make_worker(bound, ran, burst=True)
    await asyncio.wait_for(worker.async_run(), PATIENCE_SECONDS)
    await worker.close()
    await bound.close()
    assert sorted(ran) == sorted((jobs["00"], jobs["17"]))


async def test_unknown_shard_of_a_worker_is_rejected(make_settings: Callable[..., Settings]) -> None:
    opened = await open_shards(make_settings(shards=16, worker_shards="00,77"))
    with pytest.raises(ConfigError, match="there is no shard 77"):
        make_worker(opened, [])
    await opened.close()


@pytest.mark.slow
async def test_idle_worker_makes_few_calls(shards: Shards) -> None:
    worker = make_worker(shards, [])
    running = asyncio.create_task(worker.async_run())
    await asyncio.sleep(1)
    before = await calls_of(shards)
    await asyncio.sleep(2)
    calls = await calls_of(shards) - before
    await stop(worker, running)
    assert calls <= 32  # each shard is claimed every 5 seconds; INFO of this test counts, too


@pytest.mark.parametrize("number", [16, 32])
async def test_leftover_wake_tokens_cost_an_idle_worker_few_calls(
    make_settings: Callable[..., Settings], number: int
) -> None:
    shards = await open_shards(make_settings(shards=number, wake_timeout_seconds=600), check_installation=True)
    for store in shards.stores:
        await store.client.command("LPUSH", store.keys.named("wake"), *[1] * 32)
    before = await calls_of(shards)
    worker = make_worker(shards, [])
    running = asyncio.create_task(worker.async_run())

    async def are_gone() -> bool:
        lengths = [await store.client.command("LLEN", store.keys.named("wake")) for store in shards.stores]
        return not any(lengths) and not any(queue.is_ready for queue in worker.queues)

    await until(are_gone)
    calls = await calls_of(shards) - before
    await stop(worker, running)
    await shards.close()
    assert calls <= number * 6  # 1 token was a claim and a call that waits: 64 calls for each shard


async def test_stop_ends_a_claim_that_waits_for_its_turn(
    make_settings: Callable[..., Settings], valkey_url: str
) -> None:
    shards = await open_shards(make_settings(shards=2, wake_timeout_seconds=600), check_installation=True)
    worker = make_worker(shards, [])
    running = asyncio.create_task(worker.async_run())
    await until(lambda: not any(queue.is_ready for queue in worker.queues))
    run_on_server(valkey_url, "CLIENT", "PAUSE", "60000", "WRITE")
    for queue in worker.queues:  # the claim of the first is in progress, the second waits for its turn
        queue.woken.set()
    await until(lambda: worker.claims.claiming)
    stopping = asyncio.create_task(stop(worker, running))
    await asyncio.sleep(0.1)
    run_on_server(valkey_url, "CLIENT", "UNPAUSE")
    await asyncio.wait_for(stopping, 30)
    await shards.close()


async def calls_of(shards: Shards) -> int:
    info: bytes = await shards.home.client.command("INFO", "commandstats")
    lines = [line for line in info.decode().splitlines() if line.startswith(("cmdstat_evalsha", "cmdstat_blpop"))]
    return sum(int(line.split("calls=")[1].split(",")[0]) for line in lines)


@pytest.fixture(scope="module")
def cluster() -> Iterator[ValkeyCluster]:
    with running_cluster() as running:
        yield running


@pytest.mark.slow
async def test_arq_reaches_every_shard_of_a_cluster_with_an_address_that_is_down(
    cluster: ValkeyCluster, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.store.shards.CHECK_SECONDS_MAX", PATIENCE_SECONDS)
    url = f"redis://127.0.0.1:{free_port},127.0.0.1:{cluster.nodes[0].port}"
    environ = {"WAYBILL_REDIS_URL": url, "WAYBILL_SHARDS": "16", "WAYBILL_KEY_PREFIX": "arq:"}
    shards = await open_shards(load_settings(environ), check_installation=True)
    worker = make_worker(shards, [])
    running = asyncio.create_task(worker.async_run())
    await until(lambda: not any(queue.is_ready for queue in worker.queues) and "redis" in worker.ctx)
    for store in shards.stores:
        options = {"_job_id": f"{store.keys.prefix}x", "_queue_name": store.keys.queue}
        job = await worker.ctx["redis"].enqueue_job("note", **options)
        await store.client.command("LPUSH", store.keys.named("wake"), 1)
        same = Job(job.job_id, worker.ctx["redis"], _queue_name=store.keys.queue, _deserializer=decode_payload)
        assert await same.result(timeout=PATIENCE_SECONDS, poll_delay=0.01) is None
        assert await same.status() == JobStatus.complete
    await stop(worker, running)
    await shards.close()


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["kill", "freeze", "failover", "move"])
async def test_worker_of_a_cluster_runs_every_job_through_a_fault(
    cluster: ValkeyCluster, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.store.shards.CHECK_SECONDS_MAX", PATIENCE_SECONDS)  # the machine may be busy
    environ = {"WAYBILL_REDIS_URL": cluster.url, "WAYBILL_SHARDS": "16", "WAYBILL_STORE_TIMEOUT_SECONDS": "1"}
    environ["WAYBILL_KEY_PREFIX"] = f"{fault}:"
    shards = await open_shards(load_settings(environ), check_installation=True)
    ran: Ran = []
    worker = make_worker(shards, ran)
    running = asyncio.create_task(worker.async_run())
    before = [await retry_enqueue(store, f"a{number}") for store in shards.stores for number in range(5)]
    await until(lambda: set(before) <= set(ran))
    slot = shards.stores[5].client.slot
    victim = await asyncio.to_thread(cluster.primary_of, slot)
    others = [store for store in shards.stores if cluster.primary_of(store.client.slot) is not victim]
    faults = list[asyncio.Task[None]]()
    if fault == "kill":
        victim.kill()
    elif fault == "freeze":
        faults.append(asyncio.create_task(asyncio.to_thread(victim.freeze, 8)))
    elif fault == "failover":
        replica = next(node for node in cluster.nodes if not node.is_primary)
        replica.call("CLUSTER", "FAILOVER")
    else:
        target = cluster.primary_of(others[0].client.slot)
        await asyncio.to_thread(cluster.move_slots, [slot], target)
    during = [await retry_enqueue(store, "b") for store in (others if fault in {"kill", "freeze"} else shards.stores)]
    await until(lambda: set(during) <= set(ran))
    after = [await retry_enqueue(store, "c") for store in shards.stores]
    await until(lambda: set(after) <= set(ran))
    if fault == "kill":
        await asyncio.to_thread(victim.start)
    await asyncio.gather(*faults)
    await stop(worker, running)
    await shards.close()
    await asyncio.to_thread(cluster.wait_until_healthy)


async def retry_enqueue(store: Store, name: str) -> str:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                return await enqueue(store, name)
            except StoreUnavailable:
                await asyncio.sleep(0.05)
