"""Fleet with a primary, a replica and a sentinel. A proxy can delay the replication."""

import asyncio
import contextlib
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import redis

from service.dev.embedded_valkey import EmbeddedValkey, get_binary_path, read_log_tail
from service.settings import Settings, load_settings
from tests.chaos.fleet import TIMEOUT_SECONDS, Fleet
from tests.chaos.proxy import FaultProxy
from tests.chaos.tally import Tally
from tests.free_ports import find_free_ports
from tests.service.store.builders import run_on_server
from tests.waiting import until

SENTINEL = """
port {port}
bind 127.0.0.1
dir {directory}
sentinel monitor mymaster 127.0.0.1 {primary} 1
sentinel down-after-milliseconds mymaster 600000
sentinel failover-timeout mymaster 3000
"""
DOWN_AFTER_MS, NEVER_DOWN_AFTER_MS = "400", "600000"
"""Time without a reply after which the sentinel fails over: once the primary was killed, and before and after that.

A server that is only slow, on a busy machine, must not be replaced.
"""


class FailoverFleet(Fleet):
    """Fleet that finds the primary through the sentinel. The replication passes through a proxy."""

    def __init__(self, directory: Path, tally: Tally, durability: str) -> None:
        super().__init__(directory, tally, durability)
        self._server_ports = find_free_ports(3)
        self.to_replica = FaultProxy(self._server_ports[0])
        self._replica: EmbeddedValkey | None = None
        self._sentinel: subprocess.Popen[bytes] | None = None

    async def start_store(self) -> None:
        """Start primary, replica and sentinel."""
        first, second, _ = self._server_ports
        await self.to_replica.start()
        self.valkey = await self.start_server("data", *_options(first))
        self._replica = await self.start_server("replica", *_options(second), *_replica_of(self.to_replica.port))
        await self._wait_until(lambda: _has_replica(first))
        await self._wait_until(lambda: _replica_confirms(first))
        await self._start_sentinel()

    async def _start_sentinel(self) -> None:
        first, _, port = self._server_ports
        file = self.directory / "sentinel.conf"
        file.write_text(SENTINEL.format(port=port, primary=first, directory=self.directory))
        command = [str(get_binary_path()), str(file), "--sentinel"]
        with self._logs()[port].open("wb") as log:
            self._sentinel = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: ASYNC220 - the call does not block
        await self._wait_until(lambda: bool(_ask(port, "SENTINEL", "REPLICAS", "mymaster")))

    async def fail_over(self, lag_seconds: float) -> None:
        """Delay the replication by `lag_seconds`, kill the primary, and add a replica to the new primary."""
        first, second, sentinel = self._server_ports
        assert self.valkey
        if lag_seconds:
            self.to_replica.mode = "hang"
            await asyncio.sleep(lag_seconds)
        self.valkey.kill()
        self.to_replica.break_all()
        await asyncio.to_thread(_set_down_after, sentinel, DOWN_AFTER_MS)
        await self._wait_until(lambda: _ask(second, "ROLE")[0] == b"master")
        await asyncio.to_thread(_set_down_after, sentinel, NEVER_DOWN_AFTER_MS)
        self.valkey = await self.start_server("data", *_options(first), *_replica_of(second))
        await self._wait_until(lambda: _has_replica(second))

    async def _wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until the servers are in a state. A full synchronization takes long while the disk is busy."""
        try:
            await until(lambda: asyncio.to_thread(_holds, condition), TIMEOUT_SECONDS)
        except TimeoutError as error:
            states = await asyncio.to_thread(_describe, self._logs())
            raise TimeoutError(
                f"the servers are not in the expected state after {TIMEOUT_SECONDS:g} s\n{states}"
            ) from error

    def _logs(self) -> Mapping[int, Path]:
        """Return the log file of each port: first server, second server, sentinel."""
        names = ("data/valkey.log", "replica/valkey.log", "sentinel.log")
        return dict(zip(self._server_ports, (self.directory / name for name in names), strict=True))

    async def stop(self) -> None:
        """Stop all processes."""
        await super().stop()
        await self.to_replica.stop()
        if self._replica:
            self._replica.kill()
        if self._sentinel:
            self._sentinel.kill()
            self._sentinel.wait()

    def settings(self) -> Settings:
        """Return the settings of this process, with the sentinel."""
        names = ("REDIS_URL", "REDIS_SENTINEL", "DURABILITY")
        environ = self.make_environ()
        return load_settings({f"WAYBILL_{name}": environ[f"WAYBILL_{name}"] for name in names})

    def make_environ(self) -> dict[str, str]:
        """Return the environment of the processes."""
        sentinel = {"WAYBILL_REDIS_URL": "redis://127.0.0.1/0"}
        sentinel["WAYBILL_REDIS_SENTINEL"] = f"127.0.0.1:{self._server_ports[2]}"
        return super().make_environ() | sentinel


def _options(port: int) -> tuple[str, ...]:
    return "--port", str(port), "--repl-diskless-sync-delay", "0"


def _replica_of(port: int) -> tuple[str, ...]:
    return "--replicaof", f"127.0.0.1 {port}"


def _ask(port: int, *command: str) -> list[bytes]:
    return run_on_server(f"redis://127.0.0.1:{port}", *command)


def _set_down_after(sentinel: int, milliseconds: str) -> None:
    run_on_server(
        f"redis://127.0.0.1:{sentinel}", "SENTINEL", "SET", "mymaster", "down-after-milliseconds", milliseconds
    )


def _has_replica(port: int) -> bool:
    info = run_on_server(f"redis://127.0.0.1:{port}", "INFO", "replication")
    return any(info.get(f"slave{index}", {}).get("state") == "online" for index in range(2))


def _replica_confirms(port: int) -> bool:
    """Write and ask whether the replica has the write on disk. A new replica first writes its append-only file."""
    server = cast("Any", redis.Redis)  # redis-py types it with holes
    with server.from_url(f"redis://127.0.0.1:{port}", single_connection_client=True) as client:
        client.execute_command("SET", "replica-confirms", "1", "PX", 1)
        return client.execute_command("WAITAOF", 1, 1, 500) == [1, 1]


def _holds(condition: Callable[[], bool]) -> bool:
    with contextlib.suppress(redis.RedisError):
        return condition()
    return False


def _describe(logs: Mapping[int, Path]) -> str:
    """Return the role, the replication and the end of the log of each server."""
    parts: list[str] = []
    for port, log in logs.items():
        parts.append(f"--- server on port {port}")
        for command in (("ROLE",), ("INFO", "replication"), ("INFO", "persistence")):
            try:
                parts.append(f"{' '.join(command)}: {run_on_server(f'redis://127.0.0.1:{port}', *command)}")
            except redis.RedisError as error:
                parts.append(f"{' '.join(command)}: {error}")
        parts.append(read_log_tail(log) if log.exists() else f"no log in {log}")
    return "\n".join(parts)
