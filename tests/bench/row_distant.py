"""Row `distant`: whole events with a round trip of 2.3 ms to the store, compared with tuned arq."""

import time
from collections import defaultdict

import redis

from tests.bench.clock import percentile
from tests.bench.material import ten_rules
from tests.bench.row_whole import check_sink
from tests.bench.row_worker import parse_result
from tests.bench.seeding import seed_arq, seed_own
from tests.bench.stage import MEASURED, OTHERS, START_SECONDS_MAX, Child, Stage
from tests.bench.table import Line, Sample, faster

ROUND_TRIP_MS = 2.3
PINGS = 200


def measure(stage: Stage, repeats: int, *, quick: bool) -> list[Line]:
    """Fill the queue without latency, then let one worker empty it with latency, in turn."""
    own, theirs = (1_500, 150) if quick else (5_000, 500)
    stub = stage.listen("stub", OTHERS)
    stage.write_config(stub.url)
    path = str(stage.directory / "far.sock")
    proxy = stage.run("distance", OTHERS, path, stage.valkey.url.removeprefix("unix://"), ROUND_TRIP_MS)
    pinged = _await_ping(path, proxy)
    far = {"WAYBILL_REDIS_URL": f"unix://{path}"}
    runs: dict[str, list[Sample]] = defaultdict(list)
    for _ in range(repeats):
        seed_own(stage, ten_rules(f"{stub.url}/sink"), own)
        worker = stage.run("own_worker", MEASURED, "whole", environ=far)
        runs["waybill"].append(parse_result(worker.result(), own))
        check_sink(stub, own)
        seed_arq(stage, theirs)
        worker = stage.run("rival_worker", MEASURED, "tuned", "whole", stub.url, environ=far)
        runs["tuned arq"].append(parse_result(worker.result(), theirs))
        check_sink(stub, theirs)
    for child in (stub, proxy):
        child.stop()
    detail = f"a PING through the proxy took {pinged:.2f} ms at the median"
    what = f"worker, whole event, {ROUND_TRIP_MS} ms to the store and back: events"
    return [faster(what, runs, "tuned arq", 15, detail)]


def _await_ping(path: str, proxy: Child) -> float:
    """Wait until the proxy responds. Return the median of its round trips in ms."""
    deadline, taken = time.monotonic() + START_SECONDS_MAX, list[float]()
    with redis.Redis(unix_socket_path=path) as client:
        while len(taken) < PINGS:
            began = time.perf_counter()
            try:
                client.ping()  # pyright: ignore[reportUnknownMemberType] - redis-py's types have holes
            except redis.ConnectionError:
                if time.monotonic() > deadline or proxy.process.poll() is not None:
                    raise
                time.sleep(0.02)
            else:
                taken.append((time.perf_counter() - began) * 1000)
    return percentile(taken, 0.5)
