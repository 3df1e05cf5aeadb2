"""Worker of the other side: plain arq, with defaults or tuned.

    python -m tests.bench.rival_worker default|tuned empty|whole|idle [stub]

`empty` and `whole` run until the queue is empty. `idle` prints a line when it has started and runs until SIGTERM. The
last output is one JSON line.
"""

import asyncio
import contextlib
import json
import os
import sys
import time
from typing import Any

import uvloop
from arq.connections import RedisSettings
from arq.worker import Worker, func

from tests.bench.rival_job import close_client, open_client, whole_job

TUNED: dict[str, Any] = {"max_jobs": 100, "poll_delay": 0.01}


class Jobs:
    """Functions of the jobs, and the times of their starts."""

    def __init__(self, stub: str) -> None:
        self._stub = stub
        self.moments: dict[str, float] = {}

    async def open(self, ctx: dict[Any, Any]) -> None:
        ctx["stub"] = self._stub
        await open_client(ctx)

    async def empty(self, ctx: dict[Any, Any], body: bytes, record_id: str) -> None:
        """Do nothing."""

    async def timed(self, ctx: dict[Any, Any], body: bytes, record_id: str) -> None:
        self.moments[record_id] = time.monotonic()
        await whole_job(ctx, body, record_id)


async def run(tuning: str, what: str, stub: str) -> dict[str, Any]:
    jobs = Jobs(stub)
    function = {"empty": jobs.empty, "whole": whole_job, "idle": jobs.timed}[what]
    worker = Worker(
        [func(function, name="whole_job")],  # type: ignore[arg-type]
        redis_settings=RedisSettings(unix_socket_path=os.environ["WAYBILL_REDIS_URL"].removeprefix("unix://")),
        burst=what != "idle",
        on_startup=None if what == "empty" else jobs.open,
        on_shutdown=None if what == "empty" else close_client,
        **(TUNED if tuning == "tuned" else {}),
    )
    if what == "idle":
        sys.stdout.write("begun\n")
        sys.stdout.flush()
    began, spent = time.perf_counter(), time.process_time()
    with contextlib.suppress(asyncio.CancelledError):
        await worker.async_run()
    seconds, spent = time.perf_counter() - began, time.process_time() - spent
    await worker.close()
    counts = {"jobs": worker.jobs_complete, "failed": worker.jobs_failed}
    return {"seconds": seconds, "cpu_seconds": spent, **counts, "moments": jobs.moments}


def main() -> None:
    tuning, what, stub = (*sys.argv[1:], "")[:3]
    runner = uvloop.run if tuning == "tuned" else asyncio.run
    sys.stdout.write(json.dumps(runner(run(tuning, what, stub))))


if __name__ == "__main__":
    main()
