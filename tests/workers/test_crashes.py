"""Real workers are killed, stopped and drained, and so is their store; every event still ends, and ends once."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from random import Random

import pytest

from service.dev.embedded_valkey import EmbeddedValkey
from service.dev.processes import ChildProcess, start_child
from service.sandbox.faults import Fault
from service.settings import load_settings
from service.store import Job, SettlementWrite
from tests.service.store.builders import retry_until_stored
from tests.waiting import PATIENCE_SECONDS, until
from tests.workers.harness import SINK_RULE, House, open_house

pytestmark = [pytest.mark.crash, pytest.mark.store]

LEASE_SECONDS = 2.0
LOCK = "arq:in-progress:wb:lane:pack:purchase_order:po-1"
CONFIG = """
platforms:
  pack: {{kind: pack_cloud, base_url: "{url}", organization_id: org_1, token: {{env: PACK_TOKEN}}}}
sources:
  shop: {{platform: pack, verify: {{scheme: basic, username: shop, password: {{env: PACK_TOKEN}}}}, envelope: platform}}
outbound: {{allow_private_hosts: [127.0.0.1]}}
"""


class Fleet:
    """Workers as processes beside a house, which has the store, the sandbox and the rules."""

    def __init__(self, house: House, url: str, directory: Path) -> None:
        self.house = house
        self.children: list[ChildProcess] = []
        self._directory = directory
        self._url = url
        self._config = directory / "waybill.yaml"
        self._config.write_text(CONFIG.format(url=house.sandbox.base_url("pack_cloud")))

    async def start(self, count: int = 1, **settings: object) -> list[ChildProcess]:
        """Start workers and wait until they take jobs."""
        values = {"lease_seconds": LEASE_SECONDS, "backoff_base_seconds": 0.05, "config": self._config} | settings
        environ = dict(os.environ) | {f"WAYBILL_{name.upper()}": str(value) for name, value in values.items()}
        environ |= {"WAYBILL_HOST": "127.0.0.1", "WAYBILL_ADMIN_PORT": "0"}
        environ |= {"WAYBILL_REDIS_URL": self._url, "PACK_TOKEN": self.house.sandbox.token}
        names = [f"w{len(self.children) + number}" for number in range(count)]
        started = [start_child(name, ["worker"], environ, self._directory) for name in names]
        self.children += started
        for child in started:
            await asyncio.to_thread(child.wait_for, lambda line: line.get("message") == "process.started", 15)
        return started

    async def holder(self) -> ChildProcess:
        """The worker that holds the lane's lease; its process id stands in the token."""
        token = (await self.house.store.client.command("GET", LOCK)).decode()
        return next(child for child in self.children if f"-{child.process.pid}-" in token)

    async def meets(self, fault: Fault) -> str:
        """Send an event and wait until its worker is in the middle of `fault`."""
        self.house.sandbox.sandbox.faults.add(fault)
        event_id = await self.house.send()
        await until(lambda: not self.house.sandbox.sandbox.faults.waiting)
        return event_id

    async def ends(self, event_id: str) -> None:
        async def over() -> bool:
            return (await self.house.story(event_id))["state"] in {"ended", "dead"}

        await until(over)


@pytest.fixture
async def fleet(own_valkey: Callable[..., EmbeddedValkey], tmp_path: Path) -> AsyncIterator[Fleet]:
    server = own_valkey()
    settings = load_settings({"WAYBILL_REDIS_URL": server.url, "WAYBILL_LEASE_SECONDS": str(LEASE_SECONDS)})
    async with open_house(settings) as house:
        await house.publish(SINK_RULE)
        fleet = Fleet(house, server.url, tmp_path)
        yield fleet
        for child in fleet.children:
            with contextlib.suppress(ProcessLookupError):
                child.process.send_signal(signal.SIGCONT)
            child.kill()


async def test_a_worker_killed_in_the_middle_of_a_fetch_is_replaced_by_another(fleet: Fleet) -> None:
    await fleet.start(2)
    event_id = await fleet.meets(Fault(match="/pack_cloud", delay_ms=10_000))
    (await fleet.holder()).kill()
    await fleet.ends(event_id)
    story = await fleet.house.story(event_id)
    assert (story["outcome"], story["attempts"]) == ("matched", "2")
    assert fleet.house.keys() == [f"{event_id}:short-receipt:claim:0"]


async def test_a_keyed_effect_whose_worker_was_killed_is_repeated_with_the_same_key(fleet: Fleet) -> None:
    await fleet.start(2)
    event_id = await fleet.meets(Fault(match="/_sandbox/sink", delay_ms=4_000))
    (await fleet.holder()).kill()
    await fleet.ends(event_id)
    await until(lambda: len(fleet.house.keys()) == 2)
    story = await fleet.house.story(event_id)
    assert set(fleet.house.keys()) == {f"{event_id}:short-receipt:claim:0"}
    assert [line["entry"] for line in story["history"]].count("decided") == 1
    assert (story["outcome"], story["ledger"]) == ("matched", "d")


async def test_a_drain_lets_the_attempt_under_way_come_to_its_end(fleet: Fleet) -> None:
    (worker,) = await fleet.start()
    event_id = await fleet.meets(Fault(match="/pack_cloud", delay_ms=400))
    worker.process.terminate()
    assert await asyncio.to_thread(worker.process.wait, PATIENCE_SECONDS) == 0
    story = await fleet.house.story(event_id)
    assert (story["outcome"], story["attempts"]) == ("matched", "1")
    assert worker.lines()[-1]["message"] == "process.stopped"


async def test_a_drain_without_time_gives_the_attempt_back_and_the_event_to_another(fleet: Fleet) -> None:
    (worker,) = await fleet.start(drain_timeout_seconds=0.1)
    event_id = await fleet.meets(Fault(match="/pack_cloud", delay_ms=5_000))
    worker.process.terminate()
    assert await asyncio.to_thread(worker.process.wait, PATIENCE_SECONDS) == 0
    story = await fleet.house.story(event_id)
    assert (story["state"], story["attempts"], "running" in story) == ("queued", "0", False)
    assert await fleet.house.store.client.command("EXISTS", LOCK) == 0
    await fleet.start()
    await fleet.ends(event_id)
    story = await fleet.house.story(event_id)
    assert (story["outcome"], story["attempts"]) == ("matched", "1")


async def test_a_worker_that_slept_through_its_lease_writes_nothing_when_it_wakes_up(fleet: Fleet) -> None:
    await fleet.start(2)
    event_id = await fleet.meets(Fault(match="/pack_cloud", delay_ms=3_000))
    sleeper = await fleet.holder()
    sleeper.process.send_signal(signal.SIGSTOP)
    await fleet.ends(event_id)
    before = await fleet.house.story(event_id)
    sleeper.process.send_signal(signal.SIGCONT)
    await asyncio.to_thread(sleeper.wait_for, lambda line: line.get("message") == "lease.lost", PATIENCE_SECONDS)
    assert await fleet.house.story(event_id) == before
    assert fleet.house.keys() == [f"{event_id}:short-receipt:claim:0"]
    again = await fleet.house.send()
    await fleet.ends(again)
    assert sleeper.process.poll() is None


async def test_a_store_killed_and_restarted_is_ridden_out_by_worker_and_events(
    fleet: Fleet, own_valkey: Callable[..., EmbeddedValkey]
) -> None:
    (worker,) = await fleet.start(lease_seconds=2)
    fleet.house.sandbox.sandbox.faults.add(Fault(match="/pack_cloud", delay_ms=300, times=30))
    ids = [await fleet.house.send(f"po-{number}") for number in range(30)]
    await until(lambda: not fleet.house.sandbox.sandbox.faults.waiting)
    server = int((await fleet.house.store.client.command("INFO", "server")).split(b"process_id:")[1].split(b"\r")[0])
    os.kill(server, signal.SIGKILL)
    await asyncio.sleep(0.4)
    own_valkey()
    await retry_until_stored(fleet.house.store.check)
    for event_id in ids:
        await fleet.ends(event_id)
    stories = [await fleet.house.story(event_id) for event_id in ids]
    assert {story["state"] for story in stories} == {"ended"}
    assert {[line["entry"] for line in story["history"]].count("decided") for story in stories} == {1}
    assert worker.process.poll() is None
    keys = fleet.house.keys()
    matched = {story["id"] for story in stories if story["outcome"] == "matched"}
    assert {key.split(":")[0] for key in keys} == matched


async def test_an_outage_longer_than_the_lease_uses_up_no_attempt_and_is_nobodys_death(
    fleet: Fleet, own_valkey: Callable[..., EmbeddedValkey]
) -> None:
    await fleet.start(lease_seconds=1)
    fleet.house.sandbox.sandbox.faults.add(Fault(match="/pack_cloud", delay_ms=400, times=5))
    ids = [await fleet.house.send(f"po-{number}") for number in range(5)]
    await until(lambda: not fleet.house.sandbox.sandbox.faults.waiting)
    server = int((await fleet.house.store.client.command("INFO", "server")).split(b"process_id:")[1].split(b"\r")[0])
    os.kill(server, signal.SIGKILL)
    await asyncio.sleep(3)  # the runs give up once their leases are over
    own_valkey()
    await retry_until_stored(fleet.house.store.check)
    for event_id in ids:
        await fleet.ends(event_id)
    stories = [await fleet.house.story(event_id) for event_id in ids]
    assert {story["outcome"] for story in stories} == {"matched"}
    assert {story["attempts"] for story in stories} == {"1"}


async def take_up(house: House, worker: str) -> dict[str, Job]:
    """Claim whatever is due, as a worker of that name; jobs by their events."""
    return {job.head.id: job for job in (await house.store.leases(worker).claim(200)).jobs if job.head}


async def die(house: House, jobs: Iterable[Job]) -> None:
    """Be gone without a word; the leases are over at once."""
    for job in jobs:
        await house.store.client.command("DEL", f"arq:in-progress:{job.id}")
        await house.store.client.command("ZADD", house.settings.queue, "XX", 1, job.id)


async def test_an_event_that_takes_its_workers_down_is_a_dead_letter_and_its_lane_goes_on(fleet: Fleet) -> None:
    house = fleet.house
    poison, sound = await house.send(), await house.send()
    for number in range(house.settings.crashes_max):
        await die(house, (await take_up(house, f"dead-{number}")).values())
    await house.work()
    story = await house.story(poison)
    assert (story["state"], story["error_kind"]) == ("dead", "worker_crashed")
    assert (await house.story(sound))["outcome"] == "matched"


@pytest.mark.parametrize("seed", range(6))
async def test_none_that_share_their_workers_with_poison_are_buried_with_it(fleet: Fleet, seed: int) -> None:
    house, chance = fleet.house, Random(seed)
    ids = [await house.send(f"po-{number % 15}") for number in range(20)]
    poison = set(chance.sample(ids, 3))
    for number in range(200):
        await live(house, f"life-{number}", poison, chance)
        if not await house.store.client.command("ZCARD", house.settings.queue):
            break
    stories = {event_id: await house.story(event_id) for event_id in ids}
    assert {event_id for event_id, story in stories.items() if story["state"] == "dead"} == poison
    assert {stories[event_id]["error_kind"] for event_id in poison} == {"worker_crashed"}
    assert {stories[event_id]["outcome"] for event_id in set(ids) - poison} == {"ignored"}


async def live(house: House, name: str, poison: set[str], chance: Random) -> None:
    """One worker's life, in the order that LeaseWorker keeps, until it meets poison or nothing is left."""
    leases, held, suspect = house.store.leases(name), list[Job](), ""
    while True:
        is_full = len(held) == 4 or bool(suspect) or any(map(leases.is_suspect, held))
        if not held or (not is_full and chance.random() < 0.7):
            taken = await leases.claim(4 - len(held), len(held), suspect)
            held, suspect = [*held, *taken.jobs], taken.suspect
            if not held and taken.due_ms is None:
                return
            await asyncio.sleep(0 if taken.jobs else 0.005)
            continue
        job = held.pop(chance.randrange(len(held)))
        assert job.head
        if job.head.worker_crashes >= house.settings.crashes_max:
            await house.store.lanes.settle(
                SettlementWrite(job.id, job.token, job.head.id, "bury", outcome="worker_crashed")
            )
        elif job.head.id in poison:
            await die(house, [job, *held])
            return
        else:
            await house.store.lanes.settle(SettlementWrite(job.id, job.token, job.head.id, "end", outcome="ignored"))


async def test_a_real_worker_runs_a_suspect_beside_nothing_else_and_then_all_at_once_again(fleet: Fleet) -> None:
    house = fleet.house
    suspect = await house.send("po-suspect")
    for number in range(house.settings.crashes_max - 1):
        await die(house, (await take_up(house, f"dead-{number}")).values())
    ids = [await house.send(f"po-{number}") for number in range(20)]
    house.sandbox.sandbox.faults.add(Fault(match="/pack_cloud", delay_ms=100, times=21))
    worker = house.worker(burst=True)
    beside: list[int] = []
    start = worker._start

    def noting(job: Job) -> None:
        start(job)
        if worker.leases.is_suspect(job):
            beside.append(len(worker.tasks))

    worker._start = noting
    await asyncio.wait_for(worker.async_run(), PATIENCE_SECONDS)
    await worker.close()
    assert beside == [1]
    assert {(await house.story(event_id))["state"] for event_id in [suspect, *ids]} == {"ended"}
    assert (await house.story(suspect))["attempts"] == str(house.settings.crashes_max)
