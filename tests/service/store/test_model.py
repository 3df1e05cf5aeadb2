"""Two workers, crashes, repeated calls and late writes in any order.

What must always hold is looked at on the real server between any two calls.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar, cast

import pytest
import redis
from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from service.errors import LeaseLost, PermanentError
from service.settings import load_settings
from service.store import Decided, Job, Onward, Settled, Store
from tests.service.store.givens import WINDOW_MS, decision, make_event, settlement

pytestmark = pytest.mark.store

Result = TypeVar("Result")
QUEUE, OPEN = "arq:queue", "wb:open"
STEPS = st.sampled_from(["note", "end", "bury", "defer", "hold", "release"])
DELAYS_MS = st.sampled_from([0, 60_000])


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
        self.store = Store(load_settings({"WAYBILL_REDIS_URL": url}))
        self.leases = [self.store.leases(name) for name in ("w0", "w1")]
        self.claims: dict[str, str] = {}
        self.records: dict[str, str] = {}
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

    @rule(record=st.sampled_from("xyz"), claim=st.sampled_from("123456"), times=st.integers(1, 2))
    def ingest(self, record: str, claim: str, times: int) -> None:
        event = make_event(record)
        known = self.claims.setdefault(claim, event.id)
        self.records.setdefault(known, record)
        for _ in range(times):
            receipt = self.do(self.store.ingest(event, claim, WINDOW_MS))
            assert (receipt.event_id, receipt.status == "queued") == (known, known == event.id)

    @rule(worker=st.integers(0, 1), jobs_max=st.integers(1, 3), lost=st.booleans())
    def claim(self, worker: int, jobs_max: int, *, lost: bool) -> None:
        locked = {name for name in self.jobs() if self.lock(name)}
        taken = self.do(self.leases[worker].claim(jobs_max)).jobs
        if lost:  # the answer does not arrive; the same call again
            self.leases[worker]._answered = False
            again = self.do(self.leases[worker].claim(jobs_max)).jobs
            assert [(job.id, job.token, job.head) for job in again] == [(job.id, job.token, job.head) for job in taken]
        for job in taken:
            assert job.id not in locked
            assert job.head is not None
            self.runs.append(Run(job, job.head.id))

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), effects=st.integers(0, 2), version=st.sampled_from(["", "1", "2"]), more=st.booleans())
    def decide(self, data: st.DataObject, effects: int, version: str, *, more: bool) -> None:
        run = self.pick(data)
        held = self.state(run.event_id)
        assume(held.get("state") is None)
        digest = f"digest{version}"
        self.write(
            run,
            decision(run.job, run.event_id, ledger="s" * effects, version=version, digest=digest, more=more),
            data.draw(st.booleans()),
        )

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), step=STEPS, delay_ms=DELAYS_MS, more=st.booleans())
    def settle(self, data: st.DataObject, step: Any, delay_ms: int, *, more: bool) -> None:
        run = self.pick(data)
        ledger = "".join(
            "d" if letter == "d" else data.draw(st.sampled_from("psdfuw"))
            for letter in self.state(run.event_id).get("ledger", "")
        )
        assume(step != "note" or ledger)
        settled = settlement(
            run.job, run.event_id, step, ledger=ledger, delay_ms=delay_ms, fate="any", story=b'{"n":1}\n', more=more
        )
        self.write(run, settled, data.draw(st.booleans()))

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def undo(self, data: st.DataObject) -> None:
        """A faulty run that takes back what is known done is told so, and changes nothing."""
        run = self.pick(data)
        held = self.state(run.event_id)
        assume("d" in held.get("ledger", "") and self.is_right(run))
        before = self.dump()
        with pytest.raises(PermanentError):
            self.do(self.store.lanes.settle(settlement(run.job, run.event_id, "end", ledger="w" * len(held["ledger"]))))
        assert self.dump() == before

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        """A lease ends; its holder is dead, or merely late and will write again."""
        run = self.pick(data)
        if self.holds(run):
            self.server.delete(f"arq:in-progress:{run.job.id}")
            self.server.zadd(QUEUE, {run.job.id: 1}, xx=True)
        if data.draw(st.booleans()):
            self.runs.remove(run)

    @rule()
    def time_passes(self) -> None:
        for name in self.jobs():
            if not self.lock(name):
                self.server.zadd(QUEUE, {name: 1}, xx=True)

    # how a write is judged

    def pick(self, data: st.DataObject) -> Run:
        """Mostly a run that is right about what it holds, sometimes one that is late."""
        right = [run for run in self.runs if self.is_right(run)]
        return data.draw(st.sampled_from(right if right and data.draw(st.integers(0, 4)) else self.runs))

    def is_right(self, run: Run) -> bool:
        return self.holds(run) and self.state(run.event_id).get("running") == run.job.token

    def write(self, run: Run, item: Decided | Settled, repeated: bool) -> None:  # noqa: FBT001 - drawn
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
            assert again is not None
            assert (again.head and again.head.id) == (onward.head and onward.head.id)
            assert self.dump() == after
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
    def every_event_is_somewhere_and_every_open_one_has_exactly_one_job(self) -> None:
        waiting, jobs = set(self.server.zrange(OPEN, 0, -1)), self.jobs()
        assert self.server.exists(*(f"arq:job:{name}" for name in jobs)) == len(jobs) if jobs else True
        lanes = [name for name in jobs if name.startswith("wb:lane:")]
        ways = [event for lane in lanes for event in self.server.lrange(lane, 0, -1)]
        ways += [name.removeprefix("wb:effects:") for name in jobs if name.startswith("wb:effects:")]
        assert sorted(ways) == sorted(waiting)
        over = set(self.server.zrange("wb:ended", 0, -1)), set(self.server.zrange("wb:dead", 0, -1))
        assert sorted([*waiting, *over[0], *over[1]]) == sorted(self.records)

    @invariant()
    def an_event_is_decided_once_and_ends_once(self) -> None:
        for event in self.records:
            held = self.state(event)
            assert (self.server.get(f"wb:story:{event}") or "").count('"decided"') <= 1
            if held.get("state") in {"ended", "dead"}:
                assert self.ends.setdefault(event, held["fate"]) == held["fate"]
            else:
                assert event not in self.ends

    @invariant()
    def what_is_known_done_stays_done(self) -> None:
        for event in self.records:
            ledger = self.state(event).get("ledger", "")
            done = {place for place, letter in enumerate(ledger) if letter == "d"}
            assert self.done.get(event, set()) <= done
            self.done[event] = done

    @invariant()
    def a_record_never_goes_back(self) -> None:
        for record in "xyz":
            version = self.server.hget(f"wb:record:pack:purchase_order:{record}", "version") or ""
            assert version >= self.versions.get(record, "")
            self.versions[record] = version

    @invariant()
    def attempts_and_deaths_are_no_more_than_runs(self) -> None:
        for event in self.records:
            held = self.state(event)
            assert 0 <= int(held.get("deaths", 0)) <= max(int(held.get("attempts", 0)), 0)

    # looking at the server

    def jobs(self) -> list[str]:
        return self.server.zrange(QUEUE, 0, -1)

    def lock(self, job: str) -> str | None:
        return self.server.get(f"arq:in-progress:{job}")

    def holds(self, run: Run) -> bool:
        return self.lock(run.job.id) == run.job.token

    def state(self, event: str) -> dict[str, str]:
        return self.server.hgetall(f"wb:event:{event}")

    def dump(self) -> dict[str, Any]:
        held: dict[str, Any] = {
            event: (self.state(event), self.server.get(f"wb:story:{event}")) for event in self.records
        }
        held |= {name: (self.lock(name), self.server.lrange(name, 0, -1)) for name in self.jobs()}
        held |= {record: self.server.hgetall(f"wb:record:pack:purchase_order:{record}") for record in "xyz"}
        return held


def test_no_order_of_calls_crashes_and_repetitions_breaks_what_must_hold(valkey_url: str) -> None:
    class Machine(StoreMachine):
        def __init__(self) -> None:
            super().__init__(valkey_url)

    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    limits = settings(max_examples=50, stateful_step_count=40, deadline=None, suppress_health_check=checks)
    run_state_machine_as_test(Machine, settings=limits)
