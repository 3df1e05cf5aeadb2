"""Row `cluster`: CPU time per event of ingress, worker and servers, on one server and on clusters, by number of shards.

Runs only by name (`python -m tests.bench cluster`). The servers share one core, so that rates tell nothing: more
primaries have more cores elsewhere.
"""

import json
from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import Any

import uvloop
from msgspec import Struct

from service.dev.embedded_valkey import start_valkey
from service.rules import document_version
from service.settings import Settings, load_settings
from service.store import open_shards
from tests.bench.clock import cpu_seconds
from tests.bench.material import REFERENCE_RULE
from tests.bench.seeding import rule_document
from tests.bench.stage import MEASURED, OTHERS, Stage, free_port, pin
from tests.bench.table import Line, middle
from tests.server_folder import server_folder
from tests.valkey_cluster import running_cluster

PRIMARIES, SHARDS = (1, 3, 6), (1, 4, 16, 32)
SHARDS_OF_CLUSTERS = 16
CONNECTIONS = 64
RATE_MAX = 15_000
RESPONSES_MIN, LOADS_MAX = 400, 5

_runs = count()


class Store(Struct, frozen=True):
    """Store to measure: its address, and the processes of its servers."""

    name: str
    url: str
    shards: int
    pids: tuple[int, ...]


class Cost(Struct, frozen=True):
    """CPU time per event in microseconds."""

    ingress: float
    worker: float
    servers: float


def measure(stage: Stage, repeats: int, *, quick: bool) -> list[Line]:
    """Measure all stores in turn."""
    seconds = 4.0 if quick else 8.0
    costs: dict[str, list[Cost]] = defaultdict(list)
    with running_stores() as stores:
        for _ in range(repeats):
            for store in stores:
                costs[store.name].append(_cost(stage, store, seconds))
    return [_line(name, each) for name, each in costs.items()]


@contextmanager
def running_stores() -> Generator[list[Store]]:
    """Run one server and a cluster for each number of primaries, all in the same kind of folder, over TCP."""
    with ExitStack() as stack:
        port = free_port()
        server = start_valkey(stack.enter_context(server_folder()), "--port", str(port))
        stack.callback(server.kill)
        url = f"redis://127.0.0.1:{port}"
        stores = [Store(f"one server, {shards} shards", url, shards, (server.pid,)) for shards in SHARDS]
        for primaries in PRIMARIES:
            cluster = stack.enter_context(running_cluster(primaries, replicas_each=0))
            pids = tuple(node.process.pid for node in cluster.nodes if node.process)
            name = f"cluster of {primaries} primaries, {SHARDS_OF_CLUSTERS} shards"
            stores.append(Store(name, cluster.url, SHARDS_OF_CLUSTERS, pids))
        for store in stores:
            for pid in store.pids:
                pin(pid, OTHERS)
        yield stores


def _cost(stage: Stage, store: Store, seconds: float) -> Cost:
    number = next(_runs)
    environ = stage.environ(redis_url=store.url, shards=store.shards, key_prefix=f"b{number}:")
    uvloop.run(_publish(load_settings(environ)))
    ingress = stage.serve(MEASURED, environ)
    pids = {str(pid): pid for pid in store.pids} | {"ingress": ingress.process.pid}
    load = {
        "port": ingress.port,
        "path": "/webhooks/pack-orders",
        "run": "cluster",
        "connections": CONNECTIONS,
        "seconds": seconds,
        "requests": int((seconds + 1) * RATE_MAX),
        "pids": pids,
    }
    loaded = _load(stage, load)
    ingress.stop()
    if set(loaded["statuses"]) != {"202"}:
        raise RuntimeError(f"{store.name}: the ingress answered {loaded['statuses']}")
    shares: Mapping[str, float] = loaded["shares"]
    before = sum(map(cpu_seconds, store.pids))
    worked = stage.run("own_worker", MEASURED, "cached", environ=environ).result()
    spent = sum(map(cpu_seconds, store.pids)) - before
    micros = 1_000_000 / loaded["rate"]
    servers = sum(shares[str(pid)] for pid in store.pids) * micros + spent / worked["jobs"] * 1_000_000
    return Cost(shares["ingress"] * micros, worked["cpu_seconds"] / worked["jobs"] * 1_000_000, servers)


def _load(stage: Stage, load: Mapping[str, object]) -> dict[str, Any]:
    """Return the result of a load. Repeat one in which the machine stalled: too few responses show no cost."""
    for number in range(LOADS_MAX):
        run = {**load, "run": f"cluster{number}"}
        try:
            loaded = stage.run("load", OTHERS, json.dumps(run)).result()
        except RuntimeError:
            if number == LOADS_MAX - 1:
                raise
        else:
            if sum(loaded["statuses"].values()) >= RESPONSES_MIN:
                return loaded
    raise RuntimeError(f"{LOADS_MAX} loads had fewer than {RESPONSES_MIN} responses: the machine is too busy")


async def _publish(settings: Settings) -> None:
    shards = await open_shards(settings, check_installation=True)
    document = rule_document(REFERENCE_RULE)
    await shards.home.rulebook.publish(document_version(document), document, "bench", "", None)
    await shards.close()


def _line(name: str, costs: Sequence[Cost]) -> Line:
    ingress, worker, servers = (
        middle([getattr(cost, part) for cost in costs]) for part in ("ingress", "worker", "servers")
    )
    ours = f"ingress {ingress:.0f}, worker {worker:.0f}, servers {servers:.0f} us"
    return Line(name, ours, "-", "-", "-", held=True, cpu_us=ingress + worker + servers)
