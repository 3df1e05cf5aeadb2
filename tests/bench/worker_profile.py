"""CPU time of a whole event by area, from samples of the worker of the row `whole`.

    python -m tests.bench.worker_profile [events]

A timer interrupts the worker once per millisecond. The CPU time since the sample before belongs to the area of the
innermost frame that has one. Time in C, kernel included, belongs to the Python function that called it. Time of the
event loop between two callbacks mostly belongs to the next one, because Python handles signals in Python code only.
"""

import json
import os
import signal
import sys
import time
from collections import defaultdict
from types import FrameType

import uvloop

from service.log import configure
from tests.bench.material import ten_rules
from tests.bench.own_worker import run
from tests.bench.row_whole import check_sink
from tests.bench.seeding import seed_own
from tests.bench.stage import MEASURED, OTHERS, open_stage
from workers.worker import LeaseWorker

EVENTS = 20_000
INTERVAL_SECONDS = 0.001
AREAS = {
    "rules, evidence, decision": (
        "service/rules/", "<list loop>", "service/records.py", "workers/processing/decisions.py", "service/lookups.py",
    ),
    "record: JSON, exact decimals, digest": (
        "service/platforms/pack_cloud/", "service/platforms/api/decoding.py", "service/platforms/api/coercion.py",
        "service/timestamps.py",
    ),
    "calls of platform and destination, without the client": (
        "service/platforms/", "service/destinations/", "workers/actions/", "workers/processing/action_calls.py",
        "workers/processing/action_context.py",
    ),
    "HTTP client, two calls": (
        "service/http_client/", "service/http_url.py", "service/egress.py", "service/ssrf_guard.py",
    ),
    "log lines": ("service/log", "service/redaction.py", "/structlog/", "workers/processing/attempt_log.py"),
    "history and compression": (
        "workers/processing/history.py", "workers/processing/exchanges.py", "service/store/queue/serialization.py",
        "service/body_redaction.py", "service/exchange.py",
    ),
    "store calls and claims": ("service/store/", "/redis/", "/asyncio/streams.py", "workers/claims.py"),
    "throttles": ("service/throttles/",),
    "timeouts and tasks of asyncio": ("service/shared_timeouts.py", "/asyncio/timeouts.py", "/_weakrefset.py"),
    "metrics": ("service/metrics/",),
    "the worker's own Python": ("workers/", "service/events.py", "service/tracing/", "service/lease.py"),
}  # fmt: skip
"""Areas by parts of file names. Of several parts in one name, that of the first area counts."""
REST = "event loop and sockets"


class Sampler:
    """Adds up CPU time by area."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._areas: dict[str, str] = {}
        self._last = 0.0

    def start(self) -> None:
        """Start the timer in this process."""
        self._last = time.thread_time()
        signal.signal(signal.SIGALRM, self._sample)
        signal.setitimer(signal.ITIMER_REAL, INTERVAL_SECONDS, INTERVAL_SECONDS)

    def stop(self) -> None:
        """Stop the timer."""
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _sample(self, _signal: int, frame: FrameType | None) -> None:
        spent = time.thread_time() - self._last
        area = ""
        while frame is not None and not area:
            name = frame.f_code.co_filename
            if name not in self._areas:
                self._areas[name] = next((area for area, parts in AREAS.items() if any(p in name for p in parts)), "")
            area, frame = self._areas[name], frame.f_back
        self.seconds[area or REST] += spent
        self._last = time.thread_time()  # the time of the sample itself is not counted


class SampledWorker(LeaseWorker):
    """Worker that is sampled while it runs jobs."""

    sampler = Sampler()

    async def main(self) -> None:
        """Run jobs, as the base class."""
        self.sampler.start()
        try:
            await super().main()
        finally:
            self.sampler.stop()


def work() -> None:
    """Run the worker, and write the CPU time by area as JSON."""
    configure("workers", fd=os.open(os.devnull, os.O_WRONLY))
    result = uvloop.run(run("whole", worker_type=SampledWorker))
    areas = dict(SampledWorker.sampler.seconds)
    sys.stdout.write(json.dumps({"areas": areas, "jobs": result["jobs"]}))


def main(events: int) -> None:
    """Fill the queue, run the worker, and print the table."""
    with open_stage() as stage:
        stub = stage.listen("stub", OTHERS)
        stage.write_config(stub.url)
        seed_own(stage, ten_rules(f"{stub.url}/sink"), events)
        result = stage.run("worker_profile", MEASURED, "work").result()
        check_sink(stub, events)
    areas: dict[str, float] = result["areas"]
    total = sum(areas.values())
    for area, seconds in sorted(areas.items(), key=lambda item: -item[1]):
        sys.stdout.write(f"| {area} | {seconds / events * 1_000_000:.0f} | {seconds / total:.1%} |\n")
    sys.stdout.write(f"{total / events * 1_000_000:.0f} us per event\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["work"]:
        work()
    else:
        main(int((*sys.argv[1:], EVENTS)[0]))
