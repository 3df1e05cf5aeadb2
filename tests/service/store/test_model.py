"""Model test: two workers, replays, discards, erasures, sweeps, crashes, repeated calls and late writes in any order.

Invariants are checked on a real server between calls.
"""

import asyncio
import os
from collections.abc import Coroutine
from random import Random
from typing import Any, TypeVar, cast

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from service.errors import LeaseLost, PermanentError
from service.settings import load_settings
from service.store import (
    DecisionWrite,
    IngestRequest,
    Job,
    JobEnd,
    LaneStep,
    NextEvent,
    SettlementWrite,
    Store,
    encode_order,
)
from service.store.management.replay import Replay
from service.store.queue.outputs import EmittedEvent, Output, StreamEntry
from service.store.queue.serialization import split_ended
from tests.examples import examples
from tests.service.store.builders import WINDOW_MS, decision, make_event, run_on_server, settlement

pytestmark = [pytest.mark.slow, pytest.mark.store]

Result = TypeVar("Result")
RECORDS = "xy"
QUEUE, OPEN = "wb:queue", "wb:open"
STEPS: list[LaneStep] = ["note", "end", "bury", "defer", "postpone", "hold", "release", "behind"]
CHANCE = st.integers(0, 2**32).map(Random)
"""Seeds: drawn values must not depend on replies of the server."""


class Run:
    """Job of a worker. Its lease may be lost."""

    def __init__(self, job: Job, event_id: str) -> None:
        self.job = job
        self.event_id = event_id


class StoreMachine(RuleBasedStateMachine):
    """Calls of the store in any order, repeated and late."""

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
        self.records: dict[str, str] = {}
        self.numbers: dict[str, int] = {}
        self.ends: dict[str, str] = {}
        self.done: dict[str, set[int]] = {}
        self.versions: dict[str, str] = {}
        self.runs: list[Run] = []
        self.plans: list[Replay] = []
        self.erased: set[str] = set()
        self.discards = 0

    def teardown(self) -> None:
        self.do(self.store.close())
        self.runner.close()
        self.server.close()

    def do(self, call: Coroutine[Any, Any, Result]) -> Result:
        return self.runner.run(call)

    # rules of the machine

    @rule(arrivals=st.lists(st.tuples(st.sampled_from(RECORDS), st.integers(0, 40), st.integers(1, 2)), min_size=1))
    def ingest(self, arrivals: list[tuple[str, int, int]]) -> None:
        self.ingest_events(arrivals)

    def ingest_events(self, arrivals: list[tuple[str, int, int]]) -> None:
        for record, claim, times in arrivals:
            event = make_event(record)
            known = self.claims.setdefault(claim, event.id)
            if known == event.id:
                self.add_event(event.id, record)
            for _ in range(times):
                receipt = self.do(self.store.ingest(event, str(claim), WINDOW_MS))
                assert (receipt.event_id, receipt.status == "queued") == (known, known == event.id)

    def add_event(self, event: str, record: str) -> None:
        self.events.append(event)
        self.records[event] = record
        self.numbers[event] = len(self.numbers)

    @initialize(count=st.integers(2, 9))
    def begin(self, count: int) -> None:
        """Ingest first events."""
        self.ingest_events([(RECORDS[number % 2], 100 + number, 1) for number in range(count)])

    @rule(chance=CHANCE)
    def work(self, chance: Random) -> None:
        """Run steps of workers, and requests for replays."""
        for _ in range(chance.randint(5, 25)):
            if self.ends and chance.random() < 0.15:
                self.request_replay(chance)
            if chance.random() < 0.2 or not any(self.has_lease(run) for run in self.runs):
                self.claim(chance)
            if self.runs:
                self.act(chance)
            elif chance.random() < 0.5:
                self.time_passes()
            self.check_store()

    @rule(chance=CHANCE)
    def crash(self, chance: Random) -> None:
        """Expire a lease. Its worker has crashed, or is late and writes again."""
        if not self.runs:
            return
        run = self.pick(chance)
        if self.holds(run):
            self.server.delete(f"arq:in-progress:{run.job.id}")
            self.server.zadd(QUEUE, {run.job.id: 1}, xx=True)
        if chance.random() < 0.5:
            self.runs.remove(run)

    @rule(chance=CHANCE)
    def outage(self, chance: Random) -> None:
        """Release the job of a worker that could not write during its lease."""
        if not self.runs:
            return
        run = self.pick(chance)
        if self.holds(run) and chance.random() < 0.7:
            self.server.delete(f"arq:in-progress:{run.job.id}")
            self.server.zadd(QUEUE, {run.job.id: 1}, xx=True)
        in_progress = [event for event in self.events if self.state(event).get("running") == run.job.token]
        ours = [event for event in in_progress if self.job_of(event) == run.job.id]
        attempts = {event: int(self.state(event)["attempts"]) for event in ours}
        finished = JobEnd(run.job.id, run.job.token, "release")
        assert self.do(self.leases[0].finish([finished])) == [bool(ours)]
        for event in ours:
            assert int(self.state(event)["attempts"]) == attempts[event] - 1
            assert self.lock(run.job.id) is None
        after = self.dump()
        assert self.do(self.leases[0].finish([finished])) == [False]
        assert self.dump() == after

    @rule(chance=CHANCE)
    def late_result(self, chance: Random) -> None:
        """Write late results of a run, and repeat the call. Only effects that nobody started again are settled."""
        if not self.runs:
            return
        run = self.pick(chance)
        held = self.state(run.event_id)
        before = held.get("ledger", "")
        ledger = "".join(chance.choice("psdfuw") for _ in before)
        assert run.job.head is not None
        outputs = [output for place in new_in(ledger, before) for output in self.any_outputs(chance, run, place)]
        item = settlement(run.job, run.event_id, "late", ledger=ledger, outcome=run.job.head.asked, outputs=outputs)
        settled = [place for place, letter in enumerate(before) if letter in "su" and ledger[place] in "dfw"]
        stored, after_crash = self.dump(), held.get("running", run.job.token) != run.job.token
        result = self.do(self.store.lanes.settle_late(item))
        self.record_outputs(item)
        if after_crash or run.job.head.asked != held.get("asked", "") or not settled:
            assert result != "settled"
        if result != "settled":
            assert self.dump() == stored
            return
        letters = [ledger[place] if place in settled else letter for place, letter in enumerate(before)]
        assert self.state(run.event_id)["ledger"] == "".join(letters)
        if held["state"] == "dead":
            self.ends.pop(run.event_id, None)
            assert (self.state(run.event_id)["state"] == "decided") == (
                held["outcome"] == "outcome_unknown" and not {"u", "f"} & set(letters)
            )
        after = self.dump()
        assert self.do(self.store.lanes.settle_late(item)) == "superseded"
        assert self.dump() == after

    @rule()
    def later(self) -> None:
        self.time_passes()

    def time_passes(self) -> None:
        for name in self.jobs():
            if not self.lock(name):
                self.server.zadd(QUEUE, {name: 1}, xx=True)

    @rule(chance=CHANCE, times=st.integers(1, 2))
    def replay(self, chance: Random, times: int) -> None:
        """Replay an event now or later, and repeat the call later."""
        for _ in range(times):
            self.request_replay(chance)

    @rule(chance=CHANCE)
    def discard(self, chance: Random) -> None:
        chosen = chance.sample(self.events, min(2, len(self.events)))
        dead = [event for event in chosen if self.state(event).get("state") == "dead"]
        if chosen:
            self.discards += 1
            reason = f"because {self.discards}"
            assert self.do(self.store.replays.discard(chosen, reason)) == len(dead)
            after = self.dump()
            assert self.do(self.store.replays.discard(chosen, reason)) == len(dead)
            assert self.do(self.store.replays.discard(chosen, "another one")) == 0
            assert self.dump() == after
        self.ends |= dict.fromkeys(dead, "discarded")

    @rule()
    def sweep(self) -> None:
        """Sweep. No crash or late call may cause repairs."""
        before = self.dump()
        swept = self.do(self.store.sweeper.sweep("w0"))
        assert swept is not None
        assert (swept.counts, self.dump()) == ({}, before)

    @rule(chance=CHANCE)
    def erase(self, chance: Random) -> None:
        record = chance.choice(RECORDS)
        lane = f"pack:purchase_order:{record}"
        ours = [event for event in self.events if self.records[event] == record]
        chosen = chance.sample(ours, min(chance.choice([0, 1, 1, 3]), len(ours)))
        waiting = set(self.server.zrange(OPEN, 0, -1))
        in_hand = {
            event
            for event in chosen
            if event in waiting and (self.lock(f"wb:lane:{lane}") or self.lock(f"wb:effects:{event}"))
        }
        erased = self.do(self.store.memory_usage.erase_events(lane, chosen))
        assert (erased.events, erased.in_progress) == (len(chosen) - len(in_hand), len(in_hand))
        gone = set(chosen) - in_hand
        self.events = [event for event in self.events if event not in gone]
        self.erased |= gone
        for event in gone:
            assert self.ask([("exists", f"wb:{kind}:{event}") for kind in ("delivery", "event", "history")]) == [
                0,
                0,
                0,
            ]
            self.ends.pop(event, None)
        if not self.server.exists(f"wb:record:{lane}"):
            self.versions.pop(record, None)

    # operations of management

    def request_replay(self, chance: Random) -> None:
        if self.events:
            self.plans.append(self.any_plan(chance))
        if self.plans:
            self.run_replay(chance.choice(self.plans[-1:] if chance.random() < 0.6 else self.plans))

    def any_plan(self, chance: Random) -> Replay:
        """Plan a replay from the current state, for a call now or later."""
        over = [event for event in self.events if event in self.ends]
        event = chance.choice(over if over and chance.random() < 0.8 else self.events)
        held = self.state(event)
        again = bool(held.get("ledger")) and chance.random() < 0.4
        raised = int(held.get("generation", 0)) if again else None
        return Replay(event, f"pack:purchase_order:{self.records[event]}", held.get("ledger", ""), raised)

    def run_replay(self, plan: Replay) -> None:
        before, held = self.dump(), self.state(plan.event_id)
        (went,) = self.do(self.store.replays.replay([plan]))
        if went not in {"lane", "effects"}:
            assert self.dump() == before
            return
        assert held["state"] in {"ended", "dead"}
        self.ends.pop(plan.event_id, None)
        if plan.generation is not None:
            assert int(held.get("generation", 0)) == plan.generation
            self.done.pop(plan.event_id, None)
        after = self.dump()
        assert self.do(self.store.replays.replay([plan])) == ["open"]
        assert self.dump() == after
        self.check_store()

    # steps of a worker

    def claim(self, chance: Random) -> None:
        leases, limit = chance.choice(self.leases), chance.randint(1, 3)
        locked = {name for name in self.jobs() if self.lock(name)}
        taken = self.do(leases.claim(limit)).jobs
        if chance.random() < 0.5:  # the answer does not arrive; the same call again
            leases._answered = False
            again = self.do(leases.claim(limit)).jobs
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
        if "d" in before and self.has_lease(run):
            self.undo(run, before)
        self.write(run, self.any_settlement(chance, run, before), repeated=chance.random() < 0.5)

    def any_decision(self, chance: Random, run: Run) -> DecisionWrite:
        version, more = chance.choice(["", "1", "2"]), chance.random() < 0.6
        ledger, digest = "s" * chance.randint(0, 2), f"digest{version}"
        order = self.order_of(run.event_id, ledger)
        return decision(run.job, run.event_id, ledger=ledger, version=version, digest=digest, more=more, order=order)

    def order_of(self, event: str, ledger: str) -> str:
        """Return the order of up to two effects: actions of one rule for every third event, of two rules for others."""
        names = [("r", "a"), ("r" if self.numbers[event] % 3 == 0 else "q", "b")]
        return encode_order(f"pack:purchase_order:{self.records[event]}", names[: len(ledger)])

    def any_settlement(self, chance: Random, run: Run, before: str) -> SettlementWrite:
        ledger = "".join("d" if letter == "d" else chance.choice("psdfuwx") for letter in before)
        step, more = chance.choice(STEPS if ledger else STEPS[1:]), chance.random() < 0.6
        outcome = chance.choice(["any", "outcome_unknown"])
        fields: dict[str, Any] = {"delay_ms": chance.choice([0, 60_000]), "history": b'{"n":1}\n', "outcome": outcome}
        outputs = [output for place in new_in(ledger, before) for output in self.any_outputs(chance, run, place)]
        order = self.order_of(run.event_id, before)
        return settlement(run.job, run.event_id, step, ledger=ledger, more=more, outputs=outputs, order=order, **fields)

    def any_outputs(self, chance: Random, run: Run, place: int) -> list[Output]:
        """Return outputs of an effect: a stream entry, and sometimes a derived event."""
        name = f"{run.event_id}.{place}.{self.state(run.event_id).get('generation', '0')}"
        outputs: list[Output] = [StreamEntry(place, "out", 10_000, run.event_id, "rule", name.encode())]
        if chance.random() < 0.3:
            event = make_event(chance.choice(RECORDS), name)
            outputs.append(EmittedEvent(place, IngestRequest(event, event.id, WINDOW_MS)))
        return outputs

    def undo(self, run: Run, ledger: str) -> None:
        """Check that a write that would undo a done effect fails and changes nothing."""
        before = self.dump()
        with pytest.raises(PermanentError):
            self.do(self.store.lanes.settle(settlement(run.job, run.event_id, "end", ledger="w" * len(ledger))))
        assert self.dump() == before

    # how a write is judged

    def pick(self, chance: Random) -> Run:
        """Return a run, mostly one with a valid lease."""
        right = [run for run in self.runs if self.has_lease(run)]
        return chance.choice(right if right and chance.random() < 0.8 else self.runs)

    def has_lease(self, run: Run) -> bool:
        return self.holds(run) and self.state(run.event_id).get("running") == run.job.token

    def write(self, run: Run, item: DecisionWrite | SettlementWrite, *, repeated: bool) -> None:
        before, holds, has_lease = self.dump(), self.holds(run), self.has_lease(run)
        onward = self.send(item)
        if not holds:
            assert onward is None or (not onward.kept and onward.head is None)
            assert self.dump() == before
            return
        assert onward is not None
        self.record_outputs(item)
        if not has_lease:
            assert self.dump().get(run.event_id) == before.get(run.event_id)
        if repeated:
            after = self.dump()
            again = self.send(item)
            assert self.dump() == after
            if again is None:  # a late run released its lease with the first call, so the second one fails
                assert not has_lease
                assert onward.head is None
                return
            assert (again.head and again.head.id) == (onward.head and onward.head.id)
        if onward.head is not None:
            self.runs.append(Run(run.job, onward.head.id))

    def record_outputs(self, item: DecisionWrite | SettlementWrite) -> None:
        for output in item.outputs if isinstance(item, SettlementWrite) else ():
            if isinstance(output, EmittedEvent) and output.request.event.id not in {*self.events, *self.erased}:
                name, record = output.request.event.id, output.request.event.record.id
                if self.server.exists(f"wb:dedupe:shop:{name}"):
                    self.add_event(name, record)

    def send(self, item: DecisionWrite | SettlementWrite) -> NextEvent | None:
        lanes = self.store.lanes
        try:
            return self.do(lanes.decide(item) if isinstance(item, DecisionWrite) else lanes.settle(item))
        except LeaseLost:
            return None

    # invariants

    @invariant()
    def check_store(self) -> None:
        jobs, states, histories = self.jobs(), self.states(), self.histories()
        self.check_every_pending_event_has_one_job(jobs)
        for event, held, history in zip(self.events, states, histories, strict=True):
            self.check_event_is_decided_once(event, held, history)
            self.check_done_effects_stay_done(event, held.get("ledger", ""))
            assert 0 <= int(held.get("worker_crashes", 0)) <= int(held.get("attempts", 0))
        self.check_records_never_go_back()
        self.check_outputs_are_written_once(states)

    def check_every_pending_event_has_one_job(self, jobs: list[str]) -> None:
        lanes = [name for name in jobs if name.startswith("wb:lane:")]
        waiting, ended, dead, *held = self.ask(
            [("zrange", name, 0, -1) for name in (OPEN, "wb:ended", "wb:dead")]
            + [("lrange", lane, 0, -1) for lane in lanes]
            + [("exists", f"arq:job:{name}") for name in jobs]
        )
        ways = [event for lane in held[: len(lanes)] for event in lane]
        ways += [name.removeprefix("wb:effects:") for name in jobs if name.startswith("wb:effects:")]
        ways += self.events_behind(set(waiting) - set(ways))
        assert sorted(ways) == sorted(waiting)
        assert sorted([*waiting, *ended, *dead]) == sorted(self.events)
        assert all(held[len(lanes) :])

    def events_behind(self, events: set[str]) -> list[str]:
        """Return those whose first unfinished effect of every rule is behind another pending event."""
        return [event for event in events if self.is_behind(event)]

    def is_behind(self, event: str) -> bool:
        held, rules = self.state(event), dict[str, list[str] | None]()
        if "queued" not in held:
            return False
        lane, names = held["order"].split("\n")
        for name, letter in zip(names.split(","), held["ledger"], strict=True):
            if letter in "psw":
                rules.setdefault(name.split("/")[0], self.server.lrange(f"wb:order:{lane}:{name}", 0, -1))
            elif letter in "fu":
                rules.setdefault(name.split("/")[0], None)
        first = [queued for queued in rules.values() if queued is not None]
        return bool(first) and all(event in queued[1:] and self.server.zscore(OPEN, queued[0]) for queued in first)

    def check_event_is_decided_once(self, event: str, held: dict[str, str], history: str) -> None:
        assert history.count('"decided"') <= 1
        if held.get("state") in {"ended", "dead"}:
            assert self.ends.setdefault(event, held["outcome"]) == held["outcome"]
        else:
            assert event not in self.ends

    def check_done_effects_stay_done(self, event: str, ledger: str) -> None:
        done = {place for place, letter in enumerate(ledger) if letter == "d"}
        assert self.done.get(event, set()) <= done
        self.done[event] = done

    def check_records_never_go_back(self) -> None:
        for record, held in zip(RECORDS, self.last_states(), strict=True):
            version = held.split("\n")[1] if held else ""
            assert version >= self.versions.get(record, "")
            self.versions[record] = version

    def check_outputs_are_written_once(self, states: list[dict[str, str]]) -> None:
        put_out = [fields["data"] for _, fields in self.server.xrange("wb:stream:out")]
        assert len(put_out) == len(set(put_out))
        for event, held in zip(self.events, states, strict=True):
            generation = held.get("generation", "0")
            for place, letter in enumerate(held.get("ledger", "")):
                assert letter != "d" or f"{event}.{place}.{generation}" in put_out

    # looking at the server

    def ask(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        pipe = self.server.pipeline(transaction=False)
        for name, *arguments in commands:
            getattr(pipe, name)(*arguments)
        return pipe.execute()

    def jobs(self) -> list[str]:
        return self.server.zrange(QUEUE, 0, -1)

    def states(self) -> list[dict[str, str]]:
        held = self.ask([("hgetall", f"wb:event:{event}") for event in self.events])
        return [each or final_fields(history) for each, history in zip(held, self.histories(), strict=True)]

    def histories(self) -> list[str]:
        return [history or "" for history in self.ask([("get", f"wb:history:{event}") for event in self.events])]

    def last_states(self) -> list[str | None]:
        return self.ask([("get", f"wb:record:pack:purchase_order:{record}") for record in RECORDS])

    def job_of(self, event: str) -> str:
        lane = f"wb:lane:pack:purchase_order:{self.records[event]}"
        return lane if event in self.server.lrange(lane, 0, -1) else f"wb:effects:{event}"

    def lock(self, job: str) -> str | None:
        return self.server.get(f"arq:in-progress:{job}")

    def holds(self, run: Run) -> bool:
        return self.lock(run.job.id) == run.job.token

    def state(self, event: str) -> dict[str, str]:
        return self.server.hgetall(f"wb:event:{event}") or final_fields(self.server.get(f"wb:history:{event}") or "")

    def dump(self) -> dict[str, Any]:
        jobs = self.jobs()
        held = self.ask(
            [("get", f"arq:in-progress:{job}") for job in jobs]
            + [("lrange", job, 0, -1) for job in jobs if ":lane:" in job]
        )
        histories = zip(self.states(), self.histories(), strict=True)
        held += self.ask([("zrange", name, 0, -1) for name in (OPEN, "wb:ended", "wb:dead")])
        kept = {"jobs": (jobs, held), "records": self.last_states(), "entries": self.server.xlen("wb:stream:out")}
        return dict(zip(self.events, histories, strict=True)) | kept


def final_fields(history: str) -> dict[str, str]:
    """Return the final fields of an ended event; empty if it has not ended."""
    return split_ended(history.encode())[1]


def new_in(ledger: str, before: str) -> list[int]:
    """Return the indexes of effects that are done in `ledger` and were not in `before`."""
    return [place for place, letter in enumerate(ledger) if letter == "d" and before[place] != "d"]


@pytest.mark.timeout(300)  # finding the shortest way to a failure takes its time
def test_invariants_hold_for_any_order_of_calls_crashes_and_repetitions(valkey_url: str) -> None:
    class Machine(StoreMachine):
        def __init__(self) -> None:
            super().__init__(valkey_url)

    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    run_on_server(valkey_url, "CONFIG", "SET", "appendfsync", "no")  # thousands of calls, and no power is lost here
    count = int(os.environ.pop("WAYBILL_TEST_EXAMPLES", "0")) or examples(60)
    limits = settings(max_examples=count, stateful_step_count=30, deadline=None, suppress_health_check=checks)
    try:
        run_state_machine_as_test(Machine, settings=limits)
    finally:
        run_on_server(valkey_url, "CONFIG", "SET", "appendfsync", "always")
