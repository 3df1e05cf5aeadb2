"""Two workers, crashes, repeated calls and late writes in any order.

What must always hold is looked at on the real server between any two calls.
"""

import asyncio
from collections.abc import Coroutine
from random import Random
from typing import Any, TypeVar, cast

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from service.errors import LeaseLost, PermanentError
from service.settings import load_settings
from service.store import Decided, Job, Onward, Settled, Step, Store
from tests.service.store.givens import WINDOW_MS, ask_server, decision, make_event, settlement

pytestmark = pytest.mark.store

Result = TypeVar("Result")
RECORDS = "xy"
QUEUE, OPEN = "arq:queue", "wb:open"
STEPS: list[Step] = ["note", "end", "bury", "defer", "postpone", "hold", "release"]
CHANCE = st.integers(0, 2**32).map(Random)
"""Drawn as one number: what is drawn must not hang on what the server says."""


class Run:
    """What one worker believes it holds; it may be mistaken."""

    def __init__(self, job: Job, event_id: str) -> None:
        self.job = job
        self.event_id = event_id


class StoreMachine(RuleBasedStateMachine):
    """The store's calls, as often and as late as may be."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.server = cast("Any", redis.Redis(unix_socket_path=url.removeprefix("unix://"), decode_responses=True))
        self.server.flushall()
        self.runner = asyncio.Runner()
        self.store = Store(
            load_settings({"WAYBILL_REDIS_URL": url, "WAYBILL_DURABILITY": "declared", "WAYBILL_LEASE_SECONDS": "600"})
        )
        self.leases = [self.store.leases(name) for name in ("w0", "w1")]
        self.claims: dict[int, str] = {}
        self.events: list[str] = []
        self.ends: dict[str, str] = {}
        self.done: dict[str, set[int]] = {}
        self.versions: dict[str, str] = {}
        self.runs: list[Run] = []

    def teardown(self) -> None:
        self.do(self.store.close())
        self.runner.close()
        self.server.close()

    def do(self, call: Coroutine[Any, Any, Result]) -> Result:
        return self.runner.run(call)

    # what may happen

    @rule(arrivals=st.lists(st.tuples(st.sampled_from(RECORDS), st.integers(0, 40), st.integers(1, 2)), min_size=1))
    def ingest(self, arrivals: list[tuple[str, int, int]]) -> None:
        for record, claim, times in arrivals:
            event = make_event(record)
            known = self.claims.setdefault(claim, event.id)
            if known == event.id:
                self.events.append(event.id)
            for _ in range(times):
                receipt = self.do(self.store.ingest(event, str(claim), WINDOW_MS))
                assert (receipt.event_id, receipt.status == "queued") == (known, known == event.id)

    @rule(chance=CHANCE, times=st.integers(1, 10))
    def work(self, chance: Random, times: int) -> None:
        """Whatever workers may do next, several times over."""
        for _ in range(times):
            if chance.random() < 0.2 or not any(self.is_right(run) for run in self.runs):
                self.claim(chance)
            if self.runs:
                self.act(chance)
            self.look()

    @rule(chance=CHANCE)
    def crash(self, chance: Random) -> None:
        """A lease ends; its holder is dead, or merely late and will write again."""
        if not self.runs:
            return
        run = self.pick(chance)
        if self.holds(run):
            self.server.delete(f"arq:in-progress:{run.job.id}")
            self.server.zadd(QUEUE, {run.job.id: 1}, xx=True)
        if chance.random() < 0.5:
            self.runs.remove(run)

    @rule()
    def time_passes(self) -> None:
        for name in self.jobs():
            if not self.lock(name):
                self.server.zadd(QUEUE, {name: 1}, xx=True)

    # what a worker does

    def claim(self, chance: Random) -> None:
        leases, jobs_max = chance.choice(self.leases), chance.randint(1, 3)
        locked = {name for name in self.jobs() if self.lock(name)}
        taken = self.do(leases.claim(jobs_max)).jobs
        if chance.random() < 0.5:  # the answer does not arrive; the same call again
            leases._answered = False
            again = self.do(leases.claim(jobs_max)).jobs
            assert [(job.id, job.token, job.head) for job in again] == [(job.id, job.token, job.head) for job in taken]
        for job in taken:
            assert job.id not in locked
            assert job.head is not None
            self.runs.append(Run(job, job.head.id))

    def act(self, chance: Random) -> None:
        run = self.pick(chance)
        held = self.state(run.event_id)
        if "state" not in held and chance.random() < 0.7:
            self.write(run, self.any_decision(chance, run), repeated=chance.random() < 0.5)
            return
        before = held.get("ledger", "")
        if "d" in before and self.is_right(run):
            self.undo(run, before)
        self.write(run, self.any_settlement(chance, run, before), repeated=chance.random() < 0.5)

    def any_decision(self, chance: Random, run: Run) -> Decided:
        version, more = chance.choice(["", "1", "2"]), chance.random() < 0.6
        ledger, digest = "s" * chance.randint(0, 2), f"digest{version}"
        return decision(run.job, run.event_id, ledger=ledger, version=version, digest=digest, more=more)

    def any_settlement(self, chance: Random, run: Run, before: str) -> Settled:
        ledger = "".join("d" if letter == "d" else chance.choice("psdfuw") for letter in before)
        step, more = chance.choice(STEPS if ledger else STEPS[1:]), chance.random() < 0.6
        delay_ms, story = chance.choice([0, 60_000]), b'{"n":1}\n'
        return settlement(
            run.job, run.event_id, step, ledger=ledger, delay_ms=delay_ms, fate="any", story=story, more=more
        )

    def undo(self, run: Run, ledger: str) -> None:
        """A faulty run that takes back what is known done is told so, and changes nothing."""
        before = self.dump()
        with pytest.raises(PermanentError):
            self.do(self.store.lanes.settle(settlement(run.job, run.event_id, "end", ledger="w" * len(ledger))))
        assert self.dump() == before

    # how a write is judged

    def pick(self, chance: Random) -> Run:
        """Mostly a run that is right about what it holds, sometimes one that is late."""
        right = [run for run in self.runs if self.is_right(run)]
        return chance.choice(right if right and chance.random() < 0.8 else self.runs)

    def is_right(self, run: Run) -> bool:
        return self.holds(run) and self.state(run.event_id).get("running") == run.job.token

    def write(self, run: Run, item: Decided | Settled, *, repeated: bool) -> None:
        before, holds, is_right = self.dump(), self.holds(run), self.is_right(run)
        onward = self.send(item)
        if not holds:
            assert onward is None or (not onward.kept and onward.head is None)
            assert self.dump() == before
            return
        assert onward is not None
        if not is_right:
            assert self.dump()[run.event_id] == before[run.event_id]
        if repeated:
            after = self.dump()
            again = self.send(item)
            assert self.dump() == after
            if again is None:  # a late run gave its lease back with the first call, and is told so by the second
                assert not is_right
                assert onward.head is None
                return
            assert (again.head and again.head.id) == (onward.head and onward.head.id)
        if onward.head is not None:
            self.runs.append(Run(run.job, onward.head.id))

    def send(self, item: Decided | Settled) -> Onward | None:
        lanes = self.store.lanes
        try:
            return self.do(lanes.decide(item) if isinstance(item, Decided) else lanes.settle(item))
        except LeaseLost:
            return None

    # what must hold between any two calls

    @invariant()
    def look(self) -> None:
        jobs, states, stories = self.jobs(), self.states(), self.stories()
        self.every_event_is_somewhere_and_every_open_one_has_exactly_one_job(jobs)
        for event, held, story in zip(self.events, states, stories, strict=True):
            self.an_event_is_decided_once_and_ends_once(event, held, story)
            self.what_is_known_done_stays_done(event, held.get("ledger", ""))
            assert 0 <= int(held.get("deaths", 0)) <= int(held.get("attempts", 0))
        self.a_record_never_goes_back()

    def every_event_is_somewhere_and_every_open_one_has_exactly_one_job(self, jobs: list[str]) -> None:
        lanes = [name for name in jobs if name.startswith("wb:lane:")]
        waiting, ended, dead, *held = self.ask(
            [("zrange", name, 0, -1) for name in (OPEN, "wb:ended", "wb:dead")]
            + [("lrange", lane, 0, -1) for lane in lanes]
            + [("exists", f"arq:job:{name}") for name in jobs]
        )
        ways = [event for lane in held[: len(lanes)] for event in lane]
        ways += [name.removeprefix("wb:effects:") for name in jobs if name.startswith("wb:effects:")]
        assert sorted(ways) == sorted(waiting)
        assert sorted([*waiting, *ended, *dead]) == sorted(self.events)
        assert all(held[len(lanes) :])

    def an_event_is_decided_once_and_ends_once(self, event: str, held: dict[str, str], story: str) -> None:
        assert story.count('"decided"') <= 1
        if held.get("state") in {"ended", "dead"}:
            assert self.ends.setdefault(event, held["fate"]) == held["fate"]
        else:
            assert event not in self.ends

    def what_is_known_done_stays_done(self, event: str, ledger: str) -> None:
        done = {place for place, letter in enumerate(ledger) if letter == "d"}
        assert self.done.get(event, set()) <= done
        self.done[event] = done

    def a_record_never_goes_back(self) -> None:
        for record, held in zip(RECORDS, self.last_states(), strict=True):
            version = held.get("version", "")
            assert version >= self.versions.get(record, "")
            self.versions[record] = version

    # looking at the server

    def ask(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        pipe = self.server.pipeline(transaction=False)
        for name, *arguments in commands:
            getattr(pipe, name)(*arguments)
        return pipe.execute()

    def jobs(self) -> list[str]:
        return self.server.zrange(QUEUE, 0, -1)

    def states(self) -> list[dict[str, str]]:
        return self.ask([("hgetall", f"wb:event:{event}") for event in self.events])

    def stories(self) -> list[str]:
        return [story or "" for story in self.ask([("get", f"wb:story:{event}") for event in self.events])]

    def last_states(self) -> list[dict[str, str]]:
        return self.ask([("hgetall", f"wb:record:pack:purchase_order:{record}") for record in RECORDS])

    def lock(self, job: str) -> str | None:
        return self.server.get(f"arq:in-progress:{job}")

    def holds(self, run: Run) -> bool:
        return self.lock(run.job.id) == run.job.token

    def state(self, event: str) -> dict[str, str]:
        return self.server.hgetall(f"wb:event:{event}")

    def dump(self) -> dict[str, Any]:
        jobs = self.jobs()
        held = self.ask(
            [("get", f"arq:in-progress:{job}") for job in jobs]
            + [("lrange", job, 0, -1) for job in jobs if ":lane:" in job]
        )
        stories = zip(self.states(), self.stories(), strict=True)
        return dict(zip(self.events, stories, strict=True)) | {"jobs": (jobs, held), "records": self.last_states()}


@pytest.mark.timeout(300)  # finding the shortest way to a failure takes its time
def test_no_order_of_calls_crashes_and_repetitions_breaks_what_must_hold(valkey_url: str) -> None:
    class Machine(StoreMachine):
        def __init__(self) -> None:
            super().__init__(valkey_url)

    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    ask_server(valkey_url, "CONFIG", "SET", "appendfsync", "no")  # thousands of calls, and no power is lost here
    limits = settings(max_examples=60, stateful_step_count=20, deadline=None, suppress_health_check=checks)
    try:
        run_state_machine_as_test(Machine, settings=limits)
    finally:
        ask_server(valkey_url, "CONFIG", "SET", "appendfsync", "always")
