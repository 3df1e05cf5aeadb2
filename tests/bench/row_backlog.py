"""Row `backlog`: memory of a million pending events, latency of a 202 and a claim beside them, and script calls.

Runs only by name (`python -m tests.bench backlog`), because it takes minutes and gigabytes.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

import uvloop

from service.settings import Settings
from service.store import IngestRequest, Job, SettlementWrite, Shards, Store, open_store
from tests.bench.clock import percentile
from tests.bench.material import stored_event
from tests.bench.stage import MEASURED, Stage, pin
from tests.bench.table import Line, middle, within

EVENTS, QUICK_EVENTS = 1_000_000, 100_000
EVENTS_PER_CALL = 500
CALLS_IN_FLIGHT = 4
WINDOW_MS = 259_200_000
ACKS = 1_500
CLAIMS, JOBS_PER_CLAIM = 60, 50
FLEETS = (1, 4, 8)
EVENTS_PER_FLEET = 4_000


def measure(stage: Stage, repeats: int, *, quick: bool) -> list[Line]:
    """Fill the store once. Latencies are medians over the repeats of a p99."""
    pin(stage.valkey.pid, MEASURED)
    return uvloop.run(_measure(stage, repeats, QUICK_EVENTS if quick else EVENTS))


async def _measure(stage: Stage, repeats: int, events: int) -> list[Line]:
    store = await open_store(stage.settings(backlog_events_max=events * 2, shards=1))
    await _ack_ms(store, 10_000_000)  # scripts loaded, connections made
    empty_ack = middle([await _ack_ms(store, 20_000_000 + turn * ACKS) for turn in range(repeats)])
    await _process_backlog(store, "empty", 1)
    await fill(store, 30_000_000, CLAIMS * JOBS_PER_CLAIM)
    empty_claim = await _claim_us(store, "few")
    await _process_backlog(store, "few", 1)
    before, began = stage.memory_bytes(), time.perf_counter()
    await fill(store, 0, events)
    filled_seconds = time.perf_counter() - began
    per_event = (stage.memory_bytes() - before) / events - len(stored_event(0).body)
    full_ack = middle([await _ack_ms(store, 40_000_000 + turn * ACKS) for turn in range(repeats)])
    full_claim = await _claim_us(store, "many")
    costs = [await _cost(stage, workers) for workers in FLEETS]
    began, left = time.perf_counter(), (await store.sample()).pending
    await _process_backlog(store, "last", 4)
    worked_seconds = time.perf_counter() - began
    if (await store.sample()).pending:
        raise RuntimeError("events are left")
    await store.close()
    detail = (
        f"{events:,} ingested at {events / filled_seconds:,.0f}/s; {left:,} ended at {left / worked_seconds:,.0f}/s"
    )
    commands = ", ".join(f"{count} workers {cost:.2f}" for count, cost in zip(FLEETS, costs, strict=True))
    acks = f"p99 {empty_ack:.2f} ms with none, {full_ack:.2f} ms with {events:,} waiting"
    claims = f"{empty_claim:.1f} us a job with {CLAIMS * JOBS_PER_CLAIM:,}, {full_claim:.1f} us with {events:,}"
    return [
        within(f"backlog of {events:,}: beyond its body, each", per_event, "B", 700, detail),
        within("backlog: ack p99 against an empty queue's", full_ack / empty_ack, "times", 2, acks),
        within("backlog: claim against that of a short queue", full_claim / empty_claim, "times", 2, claims),
        within("backlog: script calls an event, 8 workers against 1", costs[-1] / costs[0], "times", 1.5, commands),
    ]


async def fill(store: Store | Shards, first: int, count: int) -> None:
    """Ingest `count` events, each with a lane of its own, numbered from `first`."""
    semaphore = asyncio.Semaphore(CALLS_IN_FLIGHT)

    async def ingest(start: int) -> None:
        async with semaphore:
            numbers = range(start, min(start + EVENTS_PER_CALL, first + count))
            await store.ingest_all([_request(number) for number in numbers])

    for chunk in range(first, first + count, EVENTS_PER_CALL * 100):
        end = min(chunk + EVENTS_PER_CALL * 100, first + count)
        await asyncio.gather(*(ingest(start) for start in range(chunk, end, EVENTS_PER_CALL)))


def _request(number: int) -> IngestRequest:
    event = stored_event(number)
    return IngestRequest(event, event.id[-24:], WINDOW_MS)


async def _ack_ms(store: Store, first: int) -> float:
    """Return the p99 of the store's part of a 202, with eight concurrent senders."""
    taken: list[float] = []

    async def send(numbers: Sequence[int]) -> None:
        for number in numbers:
            request = _request(number)
            began = time.perf_counter()
            await store.ingest_all([request])
            taken.append((time.perf_counter() - began) * 1000)

    await asyncio.gather(*(send(range(first + part, first + ACKS, 8)) for part in range(8)))
    return percentile(taken, 0.99)


async def _claim_us(store: Store, name: str) -> float:
    """Return the time of a claim per job. The ends of the jobs are not measured."""
    leases, seconds = store.leases(name), 0.0
    for _ in range(CLAIMS):
        began = time.perf_counter()
        claimed = await leases.claim(JOBS_PER_CLAIM)
        seconds += time.perf_counter() - began
        await _end(store, claimed.jobs)
    return seconds / (CLAIMS * JOBS_PER_CLAIM) * 1_000_000


async def _end(store: Store, jobs: Sequence[Job]) -> None:
    ends = [
        SettlementWrite(job.id, job.token, job.head.id, "end", history=b'{"entry":"received"}\n', outcome="unmatched")
        for job in jobs
        if job.head
    ]
    await asyncio.gather(*(store.lanes.settle(write) for write in ends))


async def _process_backlog(store: Store, name: str, workers: int, events_max: int = 1 << 40) -> None:
    remaining = Counter(left=events_max)

    async def one(leases_name: str) -> None:
        leases = store.leases(leases_name)
        while remaining["left"] > 0 and (claimed := await leases.claim(100)).jobs:
            remaining["left"] -= len(claimed.jobs)
            await _end(store, claimed.jobs)

    await asyncio.gather(*(one(f"{name}-{number}") for number in range(workers)))


async def _cost(stage: Stage, workers: int) -> float:
    """Return the script calls per event while `workers` with separate connections process a part of the backlog."""
    stores = [await open_store(_settings(stage)) for _ in range(workers)]
    before = _calls(stage)
    share = EVENTS_PER_FLEET // workers
    await asyncio.gather(
        *(_process_backlog(store, f"w{workers}-{number}", 1, share) for number, store in enumerate(stores))
    )
    calls = _calls(stage) - before
    for one in stores:
        await one.close()
    return calls / EVENTS_PER_FLEET


def _settings(stage: Stage) -> Settings:
    return stage.settings(backlog_events_max=10 * EVENTS, shards=1)


def _calls(stage: Stage) -> int:
    stats = cast("dict[str, dict[str, int]]", cast("Any", stage.redis).info("commandstats"))
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("evalsha", "eval"))
