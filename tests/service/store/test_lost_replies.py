"""Lost replies: each call is dropped before and after the server runs it; a repeated call has the same result."""

import itertools
import re
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar, get_args

import pytest

from service.errors import StoreUnavailable
from service.store import IngestRequest, JobEnd, NextEvent, Store
from service.store.management.replay import Replay
from service.store.queue.outputs import EmittedEvent, StreamEntry
from tests.service.store.builders import WINDOW_MS, claim_one, contents, decision, make_event, settlement, store_on
from tests.service.store.proxy import Cut, Wire, wire_to

pytestmark = pytest.mark.store

Result = TypeVar("Result")
CALLS = 27


@pytest.fixture
async def wire(valkey_url: str) -> AsyncIterator[Wire]:
    with tempfile.TemporaryDirectory(prefix="wb-") as directory:
        async with wire_to(valkey_url, Path(directory)) as opened:
            yield opened


async def again(call: Callable[[], Awaitable[Result]]) -> Result:
    """Repeat a call that failed, as a worker does."""
    try:
        return await call()
    except StoreUnavailable:
        return await call()


def word(onward: NextEvent) -> tuple[bool, str | None]:
    return onward.kept, onward.head.id if onward.head else None


async def live(store: Store) -> list[Any]:
    """Run a scenario with every script and every step; return the results."""
    facts = zip("abcde", "11122", strict=True)
    arrivals = [IngestRequest(make_event(record, name), name, WINDOW_MS) for name, record in facts]
    said: list[Any] = [await store.ingest_all(arrivals)]
    said.append(await store.ingest(make_event("1", "z"), "a", WINDOW_MS))
    leases, lanes = store.leases("host-1-w1"), store.lanes
    first, second = (await again(lambda: leases.claim(2))).jobs
    said.append([(job.id, job.head.id, job.head.attempts) for job in (first, second) if job.head])
    said.append(await again(lambda: leases.renew([first, second])))
    said.append(word(await lanes.decide(decision(first, "a"))))
    said.append(word(await lanes.decide(decision(first, "b", ledger="ss"))))
    said.append(word(await lanes.settle(settlement(first, "b", "note", ledger="ds", history=b'{"n":1}\n'))))
    said.append(word(await lanes.settle(settlement(first, "b", "defer", ledger="dw", history=b'{"n":2}\n', more=True))))
    said.append(word(await lanes.settle(settlement(first, "c", "bury", outcome="no", history=b'{"n":3}\n', more=True))))
    said.append(word(await lanes.settle(settlement(second, "d", "hold", history=b'{"n":4}\n'))))
    said += await live_on(store)
    return said


async def live_on(store: Store) -> list[Any]:
    leases, lanes = store.leases("host-1-w2"), store.lanes
    jobs = sorted((await again(lambda: leases.claim(9))).jobs, key=lambda job: job.id)
    (deferred, held) = jobs
    said: list[Any] = [(job.id, job.head and (job.head.id, job.head.attempts, job.head.ledger)) for job in jobs]
    said.append(word(await lanes.settle(settlement(deferred, "b", "end", ledger="dd", outcome="matched"))))
    said.append(word(await lanes.settle(settlement(held, "d", "release"))))
    (last,) = (await again(lambda: leases.claim(9))).jobs
    assert last.head
    said.append((last.head.id, last.head.attempts, last.head.worker_crashes))
    said.append(word(await lanes.settle(settlement(last, "d", "end", outcome="ignored", more=True))))
    said.append(word(await lanes.decide(decision(last, "e", more=False))))
    await store.client.command("SET", "arq:job:plain", b"payload")
    await store.client.command("ZADD", "wb:queue", 1, "plain")
    (plain,) = (await again(lambda: leases.claim(9))).jobs
    await store.leases("host-1-w2").finish([JobEnd(plain.id, plain.token, "bury", b"why")])
    said.append(await store.rulebook.publish("v1", b"{}", "me", "", None))
    return said + await live_by_hand(store)


async def live_by_hand(store: Store) -> list[Any]:
    """Run the operations of management: replay, rerun, discard, sweep, erasure."""
    leases, lanes, record = store.leases("host-1-w3"), store.lanes, "pack:purchase_order:1"
    said: list[Any] = [await store.replays.replay([Replay("c", record), Replay("b", record, "dd", 0)])]
    jobs = {job.head.id: job for job in (await again(lambda: leases.claim(9))).jobs if job.head}
    said.append(
        [
            (name, job.head and (job.head.attempts, job.head.ledger, job.head.generation))
            for name, job in sorted(jobs.items())
        ]
    )
    entry, derived = StreamEntry(0, "out", 10, "b", "rule", b"x"), make_event("3", "derived")
    outputs = [entry, EmittedEvent(1, IngestRequest(derived, "derived", WINDOW_MS))]
    note = settlement(jobs["b"], "b", "note", ledger="dp", outputs=outputs[:1])
    said.append(word(await lanes.settle(note)))
    end = settlement(jobs["b"], "b", "end", ledger="dd", outcome="matched", outputs=outputs[1:])
    said.append(word(await lanes.settle(end)))
    said.append(word(await lanes.settle(settlement(jobs["c"], "c", "bury", outcome="no"))))
    said.append(await store.replays.discard(["c", "a"], "why"))
    swept = await again(lambda: store.sweeper.sweep("w3"))
    said.append(swept and swept.counts)
    said.append(await store.memory_usage.erase_events(record, ["a", "b"]))
    return said


@pytest.mark.slow
async def test_every_call_can_be_repeated_after_a_lost_reply(valkey_url: str, wire: Wire) -> None:
    async with store_on(valkey_url) as direct:
        await live(direct)  # the server knows the scripts from here on
        await direct.client.command("FLUSHALL")
        expected, left = await live(direct), await held_by(direct)
    differing: list[tuple[int, Cut, Any]] = []
    cuts = 0
    for number, where in itertools.product(range(CALLS), get_args(Cut)):
        async with store_on(wire.url) as store:
            await store.client.command("FLUSHALL")
            wire.cut(number, where)
            answers, now = await live(store), await held_by(store)
        cuts += wire.cuts
        differing += [(number, where, pair) for pair in zip(answers, expected, strict=True) if pair[0] != pair[1]]
        differing += [(number, where, key) for key in now.keys() | left.keys() if now.get(key) != left.get(key)]
    assert differing == []
    assert cuts == 2 * CALLS


async def held_by(store: Store) -> dict[bytes, Any]:
    held = await contents(store)
    held[b"wb:rulebook"].pop(b"at")
    held[b"wb:sweep"].pop(b"clock")
    held[b"wb:history:c"] = re.sub(rb"[0-9a-f]{16}(:\d+:lane)", rb"asked\1", held[b"wb:history:c"])
    held |= {key: "made at some moment" for key in held if key.startswith(b"arq:job:")}
    held[b"wb:rulebook:history"] = len(held[b"wb:rulebook:history"])
    return {key: value for key, value in held.items() if not key.startswith(b"wb:receipt:")}


async def test_repeated_deferral_does_not_change_a_later_attempt(
    store: Store,
) -> None:
    event = make_event()
    await store.ingest(event, "k", WINDOW_MS)
    await store.ingest(make_event(), "l", WINDOW_MS)
    mine = await claim_one(store, "w1")
    await store.lanes.decide(decision(mine, event.id, ledger="s"))
    deferral = settlement(mine, event.id, "defer", ledger="w", more=True)
    await store.lanes.settle(deferral)
    theirs = await claim_one(store, "w2")
    await store.lanes.settle(settlement(theirs, event.id, "note", ledger="s"))
    await store.lanes.settle(deferral)
    shown = await store.events.get(event.id)
    assert shown is not None
    assert (shown["ledger"], shown["running"]) == ("s", theirs.token)


async def test_unanswered_end_releases_the_next_event(store: Store) -> None:
    events = [make_event(), make_event()]
    for event in events:
        await store.ingest(event, event.id, WINDOW_MS)
    job = await claim_one(store, "w1")
    onward = await store.lanes.settle(settlement(job, events[0].id, "end", outcome="ignored", more=True))
    assert onward.head is not None
    await store.lanes.settle(settlement(job, events[0].id, "release"))
    again_ = await claim_one(store, "w2")
    assert again_.head is not None
    assert (again_.head.id, again_.head.attempts, again_.head.worker_crashes) == (events[1].id, 1, 0)


async def test_late_note_does_not_release_the_running_event(store: Store) -> None:
    first, second = make_event(), make_event()
    for event in (first, second):
        await store.ingest(event, event.id, WINDOW_MS)
    job = await claim_one(store, "w1")
    await store.lanes.decide(decision(job, first.id, ledger="s"))
    note = settlement(job, first.id, "note", ledger="d")
    await store.lanes.settle(note)
    onward = await store.lanes.settle(settlement(job, first.id, "end", ledger="d", outcome="matched", more=True))
    assert onward.head is not None
    await store.lanes.settle(note)  # held up on its way, while the same call was repeated and answered
    assert (await store.leases("w2").claim(1)).jobs == []
    shown = await store.events.get(second.id)
    assert shown is not None
    assert (shown["running"], shown["attempts"]) == (job.token, "1")
    assert (await store.lanes.decide(decision(job, second.id))).head is None


async def test_drain_during_an_end_releases_the_next_event_once(store: Store) -> None:
    first, second = make_event(), make_event()
    for event in (first, second):
        await store.ingest(event, event.id, WINDOW_MS)
    job = await claim_one(store, "w1")
    release = settlement(job, first.id, "release")
    await store.lanes.settle(settlement(job, first.id, "end", outcome="ignored", more=True))
    await store.lanes.settle(release)
    theirs = await claim_one(store, "w2")
    await store.lanes.settle(release)
    shown = await store.events.get(second.id)
    assert shown is not None
    assert (shown["running"], shown["attempts"], shown["worker_crashes"]) == (theirs.token, "1", "0")
