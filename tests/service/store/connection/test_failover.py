"""Failover by Sentinel: the store follows the primary, and replicated events are not lost."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from service.dev.embedded_valkey import EmbeddedValkey, get_binary_path
from tests.service.store.builders import WINDOW_MS, make_event, retry_until_stored, run_on_server, store_on
from tests.service.store.conftest import StartServer
from tests.waiting import until

pytestmark = pytest.mark.crash

CONFIG = """
port {port}
bind 127.0.0.1
dir {directory}
sentinel monitor mymaster 127.0.0.1 {primary} 1
sentinel down-after-milliseconds mymaster 400
sentinel failover-timeout mymaster 3000
"""


@pytest.fixture
def start_sentinel(tmp_path: Path, server_binary: str | None) -> Iterator[Callable[[int, int], None]]:
    processes: list[subprocess.Popen[bytes]] = []

    def start(port: int, primary: int) -> None:
        file = tmp_path / "sentinel.conf"
        file.write_text(CONFIG.format(port=port, primary=primary, directory=tmp_path))
        command = [server_binary or str(get_binary_path()), str(file), "--sentinel"]
        with (tmp_path / "sentinel.log").open("wb") as log:
            processes.append(subprocess.Popen(command, stdout=log, stderr=log))

    yield start
    for process in processes:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    try:
        return bool(run_on_server(f"redis://127.0.0.1:{port}", "PING"))
    except redis.ConnectionError:
        return False


def in_step(primary: EmbeddedValkey) -> bool:
    """Whether the replica follows and has everything."""
    info = run_on_server(primary.url, "INFO", "replication")
    replica = info.get("slave0", {})
    return replica.get("state") == "online" and replica["offset"] == info["master_repl_offset"]


async def test_failover_is_followed_without_loss_of_replicated_events(
    start_server: StartServer,
    start_sentinel: Callable[[int, int], None],
    free_ports: Callable[[int], list[int]],
) -> None:
    first, second, sentinel = free_ports(3)
    primary = start_server("primary", "--port", str(first), "--repl-diskless-sync-delay", "0")
    replica = start_server("replica", "--port", str(second), "--replicaof", f"127.0.0.1 {first}")
    await until(lambda: in_step(primary))
    start_sentinel(sentinel, first)
    await until(lambda: answers(sentinel))
    url = f"redis://127.0.0.1:{first}/0"
    async with store_on(url, redis_sentinel=f"127.0.0.1:{sentinel}", ingest_timeout_seconds=1) as store:
        await until(lambda: bool(run_on_server(f"redis://127.0.0.1:{sentinel}", "SENTINEL", "REPLICAS", "mymaster")))
        events = [make_event(str(number)) for number in range(20)]
        for event in events:
            await store.ingest(event, event.id, WINDOW_MS)
        await until(lambda: in_step(primary))
        primary.kill()
        later = make_event("later")
        assert (await retry_until_stored(lambda: store.ingest(later, later.id, WINDOW_MS), 15)).status == "queued"
        for event in [*events, later]:
            assert await store.events.get(event.id) is not None
        assert (await store.sample()).pending == 21
        assert run_on_server(replica.url, "ROLE")[0] == b"master"
