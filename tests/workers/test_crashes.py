"""Crash tests: worker processes and the store are killed, stopped and drained. Every event ends exactly once."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from pathlib import Path
from random import Random

import pytest
from aiohttp import web

from service.dev.embedded_valkey import EmbeddedValkey
from service.dev.processes import ChildProcess, start_child
from service.sandbox.faults import Fault
from service.store import Job, SettlementWrite
from tests.one_shard import ONE_SHARD, PREFIX, one_shard_settings
from tests.service.store.builders import retry_until_stored
from tests.waiting import PATIENCE_SECONDS, until
from tests.workers.harness import SINK_RULE, WorkerHarness, open_harness, sent_key
from workers.claims import ShardQueue

pytestmark = [pytest.mark.crash, pytest.mark.store]

LEASE_SECONDS = 2.0
LOCK = f"arq:in-progress:{PREFIX}lane:pack:purchase_order:po-1"
CONFIG = """
platforms:
  pack: {{kind: pack_cloud, base_url: "{url}", organization_id: org_1, token: {{env: PACK_TOKEN}}}}
sources:
  shop: {{platform: pack, verify: {{scheme: basic, username: shop, password: {{env: PACK_TOKEN}}}}, envelope: platform}}
outbound: {{allow_private_hosts: [127.0.0.1]}}
"""


class Fleet:
    """Worker processes on the store, sandbox and rules of a harness."""

    def __init__(self, harness: WorkerHarness, url: str, directory: Path) -> None:
        self.harness = harness
        self.children: list[ChildProcess] = []
        self._directory = directory
        self._url = url
        self._config = directory / "waybill.yaml"
        self._config.write_text(CONFIG.format(url=harness.sandbox.base_url("pack_cloud")))

    async def start(self, count: int = 1, **settings: object) -> list[ChildProcess]:
        """Start workers and wait for `process.started`."""
        values = {"lease_seconds": LEASE_SECONDS, "backoff_base_seconds": 0.05, "config": self._config} | settings
        environ = dict(os.environ) | {f"WAYBILL_{name.upper()}": str(value) for name, value in values.items()}
        environ |= {"WAYBILL_HOST": "127.0.0.1", "WAYBILL_ADMIN_PORT": "0"}
        environ |= ONE_SHARD | {"WAYBILL_REDIS_URL": self._url, "PACK_TOKEN": self.harness.sandbox.token}
        names = [f"w{len(self.children) + number}" for number in range(count)]
        started = [start_child(name, ["worker"], environ, self._directory) for name in names]
        self.children += started
        for child in started:
            await asyncio.to_thread(
                child.wait_for, lambda line: line.get("message") == "process.started", PATIENCE_SECONDS
            )
        return started

    def declare_destination(self, url: str) -> Path:
        """Add the destination `erp` for workers that start later. Return the file of its token."""
        token = self._directory / "token"
        token.write_text("first")
        auth = f"auth: {{type: bearer, token: {{file: {token}}}}}"
        with self._config.open("a") as file:
            file.write(f"destinations: {{erp: {{url: '{url}', {auth}, allow_private_host: true}}}}\n")
        return token

    async def lease_holder(self) -> ChildProcess:
        """Return the worker that has the lease of the lane. The token contains its process id."""
        token = (await self.harness.store.client.command("GET", LOCK)).decode()
        return next(child for child in self.children if f"-{child.process.pid}-" in token)

    async def send_into_fault(self, fault: Fault) -> str:
        """Send an event and wait until its worker runs into `fault`."""
        self.harness.sandbox.sandbox.faults.add(fault)
        event_id = await self.harness.send()
        await until(lambda: not self.harness.sandbox.sandbox.faults.waiting)
        return event_id

    async def wait_for_end(self, event_id: str) -> None:
        async def has_ended() -> bool:
            return (await self.harness.stored_event(event_id))["state"] in {"ended", "dead"}

        await until(has_ended)


@contextlib.asynccontextmanager
async def serving_app(*routes: web.RouteDef) -> AsyncGenerator[str]:
    """Serve routes in this process, and return the URL."""
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def fleet(own_valkey: Callable[..., EmbeddedValkey], tmp_path: Path) -> AsyncIterator[Fleet]:
    server = own_valkey()
    settings = one_shard_settings({"WAYBILL_REDIS_URL": server.url, "WAYBILL_LEASE_SECONDS": str(LEASE_SECONDS)})
    async with open_harness(settings) as harness:
        await harness.publish(SINK_RULE)
        fleet = Fleet(harness, server.url, tmp_path)
        yield fleet
        for child in fleet.children:
            with contextlib.suppress(ProcessLookupError):
                child.process.send_signal(signal.SIGCONT)
            child.kill()


async def test_another_worker_takes_over_after_a_kill_during_a_fetch(fleet: Fleet) -> None:
    await fleet.start(2)
    event_id = await fleet.send_into_fault(Fault(match="/pack_cloud", delay_ms=10_000))
    (await fleet.lease_holder()).kill()
    await fleet.wait_for_end(event_id)
    stored = await fleet.harness.stored_event(event_id)
    assert (stored["outcome"], stored["attempts"]) == ("matched", "2")
    assert fleet.harness.idempotency_keys() == [sent_key(f"{event_id}:short-receipt:claim:0")]


async def test_keyed_effect_runs_again_with_the_same_key_after_a_kill(fleet: Fleet) -> None:
    await fleet.start(2)
    event_id = await fleet.send_into_fault(Fault(match="/_sandbox/sink", delay_ms=4_000))
    (await fleet.lease_holder()).kill()
    await fleet.wait_for_end(event_id)
    await until(lambda: len(fleet.harness.idempotency_keys()) == 2)
    stored = await fleet.harness.stored_event(event_id)
    assert set(fleet.harness.idempotency_keys()) == {sent_key(f"{event_id}:short-receipt:claim:0")}
    assert [line["entry"] for line in stored["history"]].count("decided") == 1
    assert (stored["outcome"], stored["ledger"]) == ("matched", "d")


async def test_drain_finishes_the_running_attempt(fleet: Fleet) -> None:
    (worker,) = await fleet.start()
    event_id = await fleet.send_into_fault(Fault(match="/pack_cloud", delay_ms=400))
    worker.process.terminate()
    assert await asyncio.to_thread(worker.process.wait, PATIENCE_SECONDS) == 0
    stored = await fleet.harness.stored_event(event_id)
    assert (stored["outcome"], stored["attempts"]) == ("matched", "1")
    assert worker.lines()[-1]["message"] == "process.stopped"


async def test_drain_timeout_releases_the_event_without_counting_the_attempt(fleet: Fleet) -> None:
    (worker,) = await fleet.start(drain_timeout_seconds=0.1)
    event_id = await fleet.send_into_fault(Fault(match="/pack_cloud", delay_ms=5_000))
    worker.process.terminate()
    assert await asyncio.to_thread(worker.process.wait, PATIENCE_SECONDS) == 0
    stored = await fleet.harness.stored_event(event_id)
    assert (stored["state"], stored["attempts"], "running" in stored) == ("queued", "0", False)
    assert await fleet.harness.store.client.command("EXISTS", LOCK) == 0
    await fleet.start()
    await fleet.wait_for_end(event_id)
    stored = await fleet.harness.stored_event(event_id)
    assert (stored["outcome"], stored["attempts"]) == ("matched", "1")


async def test_worker_writes_nothing_after_its_lease_expired(fleet: Fleet) -> None:
    await fleet.start(2)
    event_id = await fleet.send_into_fault(Fault(match="/pack_cloud", delay_ms=3_000))
    stopped_worker = await fleet.lease_holder()
    stopped_worker.process.send_signal(signal.SIGSTOP)
    await fleet.wait_for_end(event_id)
    before = await fleet.harness.stored_event(event_id)
    stopped_worker.process.send_signal(signal.SIGCONT)
    await asyncio.to_thread(stopped_worker.wait_for, lambda line: line.get("message") == "lease.lost", PATIENCE_SECONDS)
    assert await fleet.harness.stored_event(event_id) == before
    assert fleet.harness.idempotency_keys() == [sent_key(f"{event_id}:short-receipt:claim:0")]
    again = await fleet.harness.send()
    await fleet.wait_for_end(again)
    assert stopped_worker.process.poll() is None


TOKEN_RULE = """
- {id: put, type: purchase_order, actions: [{id: put, do: http, method: PUT, destination: erp, body: {order: "{id}"}}]}
"""


async def test_worker_suspended_before_a_call_past_its_lease_does_not_send_the_call(fleet: Fleet) -> None:
    answer, calls = asyncio.Event(), list[str]()

    async def put(request: web.Request) -> web.Response:
        calls.append(request.headers["authorization"])
        if len(calls) > 1:
            return web.Response()
        await answer.wait()
        return web.Response(status=401)  # the worker reads its token again, and repeats the call

    async with serving_app(web.put("/", put)) as url:
        token = fleet.declare_destination(url)
        await fleet.harness.publish(TOKEN_RULE)
        await fleet.start(2)
        event_id = await fleet.harness.send()
        await until(lambda: len(calls) == 1)
        stopped_worker = await fleet.lease_holder()
        stopped_worker.process.send_signal(signal.SIGSTOP)
        await fleet.wait_for_end(event_id)
        token.write_text("second")
        answer.set()
        stopped_worker.process.send_signal(signal.SIGCONT)
        await asyncio.to_thread(stopped_worker.wait_for, lambda line: line.get("outcome") == "lost", PATIENCE_SECONDS)
        assert calls == ["Bearer first", "Bearer first"]
        assert (await fleet.harness.stored_event(event_id))["ledger"] == "d"


async def test_worker_and_events_survive_a_restart_of_the_store(
    fleet: Fleet, own_valkey: Callable[..., EmbeddedValkey]
) -> None:
    (worker,) = await fleet.start(lease_seconds=2)
    fleet.harness.sandbox.sandbox.faults.add(Fault(match="/pack_cloud", delay_ms=300, times=30))
    ids = [await fleet.harness.send(f"po-{number}") for number in range(30)]
    await until(lambda: not fleet.harness.sandbox.sandbox.faults.waiting)
    server = int((await fleet.harness.store.client.command("INFO", "server")).split(b"process_id:")[1].split(b"\r")[0])
    os.kill(server, signal.SIGKILL)
    await asyncio.sleep(0.4)
    own_valkey()
    await retry_until_stored(fleet.harness.store.check)
    for event_id in ids:
        await fleet.wait_for_end(event_id)
    stored_events = [await fleet.harness.stored_event(event_id) for event_id in ids]
    assert {stored["state"] for stored in stored_events} == {"ended"}
    assert {[line["entry"] for line in stored["history"]].count("decided") for stored in stored_events} == {1}
    assert worker.process.poll() is None
    keys = fleet.harness.idempotency_keys()
    matched = {stored["id"] for stored in stored_events if stored["outcome"] == "matched"}
    assert set(keys) == {sent_key(f"{event_id}:short-receipt:claim:0") for event_id in matched}


async def test_outage_longer_than_the_lease_counts_no_attempt_and_no_crash(
    fleet: Fleet, own_valkey: Callable[..., EmbeddedValkey]
) -> None:
    await fleet.start(lease_seconds=1)
    fleet.harness.sandbox.sandbox.faults.add(Fault(match="/pack_cloud", delay_ms=400, times=5))
    ids = [await fleet.harness.send(f"po-{number}") for number in range(5)]
    await until(lambda: not fleet.harness.sandbox.sandbox.faults.waiting)
    server = int((await fleet.harness.store.client.command("INFO", "server")).split(b"process_id:")[1].split(b"\r")[0])
    os.kill(server, signal.SIGKILL)
    await asyncio.sleep(3)  # longer than the lease
    own_valkey()
    await retry_until_stored(fleet.harness.store.check)
    for event_id in ids:
        await fleet.wait_for_end(event_id)
    stored_events = [await fleet.harness.stored_event(event_id) for event_id in ids]
    assert {stored["outcome"] for stored in stored_events} == {"matched"}
    assert {stored["attempts"] for stored in stored_events} == {"1"}


UNSAFE_RULE = """
- {id: sync, type: purchase_order, actions: [{id: sync, do: pack_cloud_sync_integration_orders, integration: i1}]}
"""


@pytest.mark.slow
async def test_answer_received_during_an_outage_longer_than_the_lease_settles_its_unsafe_effect(
    fleet: Fleet, own_valkey: Callable[..., EmbeddedValkey]
) -> None:
    (worker,) = await fleet.start(lease_seconds=1, rulebook_refresh_seconds=0.1)
    await fleet.harness.publish(UNSAFE_RULE)
    version = await fleet.harness.version()
    await until(lambda: any(line.get("rulebook") == version for line in worker.lines()))
    fleet.harness.sandbox.sandbox.faults.add(Fault(match="/pack_cloud"))  # the fetch
    event_id = await fleet.send_into_fault(Fault(match="/pack_cloud", delay_ms=500))
    server = int((await fleet.harness.store.client.command("INFO", "server")).split(b"process_id:")[1].split(b"\r")[0])
    os.kill(server, signal.SIGKILL)
    await asyncio.to_thread(worker.wait_for, lambda line: line.get("outcome") == "lost", PATIENCE_SECONDS)
    own_valkey()
    await retry_until_stored(fleet.harness.store.check)
    await fleet.wait_for_end(event_id)
    stored = await fleet.harness.stored_event(event_id)
    assert (stored["outcome"], stored["ledger"], stored["attempts"]) == ("matched", "d", "1")
    await asyncio.to_thread(worker.wait_for, lambda line: line.get("outcome") == "settled", PATIENCE_SECONDS)


async def claim_jobs(harness: WorkerHarness, worker: str) -> dict[str, Job]:
    """Claim all due jobs as a worker of that name. Return them by event id."""
    return {job.head.id: job for job in (await harness.store.leases(worker).claim(200)).jobs if job.head}


async def expire_leases(harness: WorkerHarness, jobs: Iterable[Job]) -> None:
    """Simulate a crash: the leases of the jobs expire at once."""
    for job in jobs:
        await harness.store.client.command("DEL", f"arq:in-progress:{job.id}")
        await harness.store.client.command("ZADD", harness.settings.queue, "XX", 1, job.id)


async def test_event_that_crashes_workers_becomes_a_dead_letter_and_its_lane_continues(fleet: Fleet) -> None:
    harness = fleet.harness
    poison, sound = await harness.send(), await harness.send()
    for number in range(harness.settings.crashes_max):
        await expire_leases(harness, (await claim_jobs(harness, f"crashed-{number}")).values())
    await harness.run_worker()
    stored = await harness.stored_event(poison)
    assert (stored["state"], stored["error_kind"]) == ("dead", "worker_crashed")
    assert (await harness.stored_event(sound))["outcome"] == "matched"


@pytest.mark.parametrize("seed", range(6))
async def test_only_the_events_that_crash_workers_become_dead_letters(fleet: Fleet, seed: int) -> None:
    harness, chance = fleet.harness, Random(seed)
    ids = [await harness.send(f"po-{number % 15}") for number in range(20)]
    poison = set(chance.sample(ids, 3))
    for number in range(200):
        await run_until_crash(harness, f"worker-{number}", poison, chance)
        if not await harness.store.client.command("ZCARD", harness.settings.queue):
            break
    stored_events = {event_id: await harness.stored_event(event_id) for event_id in ids}
    assert {event_id for event_id, stored in stored_events.items() if stored["state"] == "dead"} == poison
    assert {stored_events[event_id]["error_kind"] for event_id in poison} == {"worker_crashed"}
    assert {stored_events[event_id]["outcome"] for event_id in set(ids) - poison} == {"ignored"}


async def run_until_crash(harness: WorkerHarness, name: str, poison: set[str], chance: Random) -> None:
    """Claim and end jobs in the order of LeaseWorker, until a poison event crashes the worker or no job is left."""
    leases, held, suspect = harness.store.leases(name), list[Job](), ""
    while True:
        is_full = len(held) == 4 or bool(suspect) or any(map(leases.is_suspect, held))
        if not held or (not is_full and chance.random() < 0.7):
            claimed = await leases.claim(4 - len(held), len(held), suspect)
            held, suspect = [*held, *claimed.jobs], claimed.suspect
            if not held and claimed.due_ms is None:
                return
            await asyncio.sleep(0 if claimed.jobs else 0.005)
            continue
        job = held.pop(chance.randrange(len(held)))
        assert job.head
        if job.head.worker_crashes >= harness.settings.crashes_max:
            await harness.store.lanes.settle(
                SettlementWrite(job.id, job.token, job.head.id, "bury", outcome="worker_crashed")
            )
        elif job.head.id in poison:
            await expire_leases(harness, [job, *held])
            return
        else:
            await harness.store.lanes.settle(SettlementWrite(job.id, job.token, job.head.id, "end", outcome="ignored"))


async def test_worker_runs_a_suspect_event_alone_and_then_resumes_concurrency(fleet: Fleet) -> None:
    harness = fleet.harness
    suspect = await harness.send("po-suspect")
    for number in range(harness.settings.crashes_max - 1):
        await expire_leases(harness, (await claim_jobs(harness, f"crashed-{number}")).values())
    ids = [await harness.send(f"po-{number}") for number in range(20)]
    harness.sandbox.sandbox.faults.add(Fault(match="/pack_cloud", delay_ms=100, times=21))
    worker = harness.worker(burst=True)
    running_with_suspect: list[int] = []
    start = worker._start

    def start_and_count(queue: ShardQueue, job: Job) -> None:
        start(queue, job)
        if worker.queues[0].leases.is_suspect(job):
            running_with_suspect.append(len(worker.tasks))

    worker.claims._start = start_and_count
    await asyncio.wait_for(worker.async_run(), PATIENCE_SECONDS)
    await worker.close()
    assert running_with_suspect == [1]
    assert {(await harness.stored_event(event_id))["state"] for event_id in [suspect, *ids]} == {"ended"}
    assert (await harness.stored_event(suspect))["attempts"] == str(harness.settings.crashes_max)
