"""Row `processes`: two workers with different names, and two ingress processes with a port each, compared with one.

Nothing is pinned.
"""

import json
from collections import defaultdict

from tests.bench.material import ten_rules
from tests.bench.row_accepted import PATH, RATE_MAX
from tests.bench.row_whole import check_sink
from tests.bench.seeding import seed_own
from tests.bench.stage import Child, Stage
from tests.bench.table import Line, Sample, faster

ONE = "one worker"
ONE_INGRESS = "one ingress process"
CLIENTS, CONNECTIONS = 2, 32


def measure(stage: Stage, repeats: int, *, quick: bool) -> list[Line]:
    """Let one worker and two workers empty the same queue, in turn."""
    events = 2_000 if quick else 10_000
    stub = stage.listen("stub", None)
    stage.write_config(stub.url)
    runs: dict[str, list[Sample]] = defaultdict(list)
    for _ in range(repeats):
        for side, names in ((ONE, ("one",)), ("waybill", ("one", "two"))):
            seed_own(stage, ten_rules(f"{stub.url}/sink"), events)
            runs[side].append(_empty_queue(stage, names, events))
            check_sink(stub, events)
    stub.stop()
    detail = "worker, store and platform share all cores, so that two workers gain less than on a larger machine"
    lines = [faster("worker, whole event, two processes: events", runs, ONE, 0, detail)]
    return [*lines, _compare_ingress(stage, repeats, 1.5 if quick else 4.0)]


def _compare_ingress(stage: Stage, repeats: int, seconds: float) -> Line:
    """Let two clients send to one ingress process and to two, in turn."""
    servers = [stage.serve(None) for _ in range(CLIENTS)]
    runs: dict[str, list[Sample]] = defaultdict(list)
    for number in range(repeats + 1):
        for side, targets in ((ONE_INGRESS, servers[:1]), ("waybill", servers)):
            sample = _accept(stage, targets, f"{side} {number}", seconds)
            if number:  # the first runs warm up
                runs[side].append(sample)
    for server in servers:
        server.stop()
    detail = f"ingress, store and {CLIENTS} clients of {CONNECTIONS} connections share all cores"
    return faster("ingress, two processes: accepted", runs, ONE_INGRESS, 0, detail)


def _accept(stage: Stage, servers: list[Child], run: str, seconds: float) -> Sample:
    stage.clear()
    clients = [
        stage.run("load", None, json.dumps(_order(servers[number % len(servers)], f"{run} {number}", seconds)))
        for number in range(CLIENTS)
    ]
    results = [client.result() for client in clients]
    if any(set(result["statuses"]) != {"202"} for result in results):
        raise RuntimeError(f"{run} answered {[result['statuses'] for result in results]}")
    rate = sum(result["rate"] for result in results)
    share = sum(result["shares"]["server"] for result in results[: len(servers)])
    return Sample(rate, share / rate * 1_000_000)


def _order(server: Child, run: str, seconds: float) -> dict[str, object]:
    return {
        "port": server.port,
        "path": PATH,
        "run": run,
        "connections": CONNECTIONS,
        "seconds": seconds,
        "requests": int((seconds + 1) * RATE_MAX / CLIENTS),
        "pids": {"server": server.process.pid},
    }


def _empty_queue(stage: Stage, names: tuple[str, ...], events: int) -> Sample:
    workers = [stage.run("own_worker", None, "whole", name) for name in names]
    results = [worker.result() for worker in workers]
    if sum(result["jobs"] for result in results) != events:
        raise RuntimeError(f"{[result['jobs'] for result in results]} jobs ran of {events}")
    # From the readiness of the first worker to the end of the last one.
    began = min(result["ended"] - result["seconds"] for result in results)
    seconds = max(result["ended"] for result in results) - began
    spent = sum(result["cpu_seconds"] for result in results)
    return Sample(events / seconds, spent / events * 1_000_000)
