"""Worker of Waybill, with the dependencies of `waybill worker`.

    python -m tests.bench.own_worker cached|whole|large|idle [name]

`cached` has records in memory, `whole` and `large` fetch them; all run until the queue is empty. `large` also measures
the longest block of the event loop. `idle` runs until SIGTERM.
Log lines go to /dev/null. The output is one JSON line; `idle` prints a line before it when the worker has started.
"""

import asyncio
import hashlib
import json
import os
import sys
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from arq.worker import func
from msgspec import structs

from service.config.startup import extend_retention_to_dedupe_windows
from service.configuration import load_config
from service.events import Delivery, Fact, RecordRef
from service.garbage import tune_garbage_collector
from service.log import configure
from service.platforms.base import CallContext, FetchedRecord, Platform, RecordPage
from service.settings import load_settings
from service.store.queue.ingest import EFFECTS_FUNCTION, LANE_FUNCTION
from service.tracing.startup import send_traces
from tests.bench.material import decoded_order, order_json
from workers.commands import background_task, open_dependencies, open_resources
from workers.processing.process import finish_effects, process_lane
from workers.recovery import run_recovery
from workers.worker import LeaseWorker

TICK_SECONDS = 0.002
STATE_DIGEST = hashlib.sha256(b"state").hexdigest()

_moments: dict[str, float] = {}


class Cached:
    """Platform with the record in memory."""

    account = "pack"
    hints = frozenset[str]()

    def __init__(self) -> None:
        raw = msgspec.json.decode(order_json("po"))
        self._fetched = FetchedRecord(
            decoded_order("po"), raw, "2026-03-02T10:00:00.000000Z", STATE_DIGEST, 200, "bench.purchase_order.get", 0.0
        )

    def read(self, delivery: Delivery) -> tuple[Fact, ...]:
        raise NotImplementedError(delivery.source)

    async def resolve(self, ref: RecordRef, context: CallContext) -> tuple[RecordRef, ...]:
        _ = context
        return (ref,)

    async def fetch(self, ref: RecordRef, context: CallContext) -> FetchedRecord:
        _ = ref, context
        return self._fetched

    async def list_records(self, kind: str, cursor: str | None, context: CallContext) -> RecordPage:
        raise NotImplementedError(kind)


async def timed(ctx: Mapping[str, Any], record: str) -> None:
    _moments[record.rpartition(":")[2]] = time.monotonic()
    await process_lane(ctx, record)


async def measure_blocks(blocks_ms: list[float], blocks_cpu_ms: list[float]) -> None:
    """Measure how late a timer is, and the CPU time of the process meanwhile. A block of the event loop delays it.

    The CPU time does not contain the time in which other processes run, on a busy machine.
    """
    while True:
        began, spent = time.perf_counter(), time.process_time()
        await asyncio.sleep(TICK_SECONDS)
        blocks_ms.append((time.perf_counter() - began - TICK_SECONDS) * 1000)
        blocks_cpu_ms.append((time.process_time() - spent) * 1000)


async def run(what: str, name: str = "bench", *, worker_type: type[LeaseWorker] = LeaseWorker) -> dict[str, Any]:
    settings = load_settings(os.environ)
    config = load_config(Path(settings.config), os.environ)
    async with AsyncExitStack() as stack:
        settings = extend_retention_to_dedupe_windows(settings, config)
        resources = await stack.enter_async_context(open_resources(settings, config))
        tools = await stack.enter_async_context(open_dependencies(resources, config, os.environ))
        if what == "cached":
            cached: Platform = Cached()  # typed, since the types of `replace` are not checked
            tools = structs.replace(tools, platforms={"pack": cached})
        await tools.rules.wait_for_first()
        lane = timed if what == "idle" else process_lane
        functions = [func(lane, name=LANE_FUNCTION), func(finish_effects, name=EFFECTS_FUNCTION)]  # type: ignore[arg-type]
        worker = worker_type(functions, tools.intake, name, burst=what != "idle", ctx={"dependencies": tools})
        tune_garbage_collector()
        if what == "idle":
            sys.stdout.write("begun\n")
            sys.stdout.flush()
        blocks_ms, cpu_ms = [0.0], [0.0]
        loop = asyncio.get_running_loop()
        ticks = loop.create_task(measure_blocks(blocks_ms, cpu_ms)) if what == "large" else None
        # A call that waits too long for its target, on a busy machine, is parked.
        await stack.enter_async_context(background_task(run_recovery(resources.shards, tools.throttles.rates)))
        began, spent = time.perf_counter(), time.process_time()
        await worker.async_run()
        seconds, spent = time.perf_counter() - began, time.process_time() - spent
        ended = time.monotonic()
        if ticks is not None:
            ticks.cancel()
        await worker.close()
        counts = {"jobs": worker.jobs_complete, "block_ms": max(blocks_ms), "block_cpu_ms": max(cpu_ms)}
        return {"seconds": seconds, "cpu_seconds": spent, "ended": ended, **counts, "moments": _moments}


def main() -> None:
    configure("workers", fd=os.open(os.devnull, os.O_WRONLY))
    with send_traces("workers", os.environ, enabled=load_settings(os.environ).traces):
        result = uvloop.run(run(*sys.argv[1:]))
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main()
