"""A store as docs/kubernetes.md wants it for high availability: a primary, two replicas, three sentinels, all real."""

import subprocess
import time
from pathlib import Path
from typing import Any, Self

import redis

from service.dev.embedded import get_binary_path
from tests.image.node import free_ports

NAME = "orders"
PASSWORD = "of-the-store"
SENTINEL_PASSWORD = "of-the-sentinels"
READY_SECONDS_MAX = 20.0

SERVER = ("--appendonly", "yes", "--appendfsync", "always", "--save", "", "--maxmemory-policy", "noeviction",
          "--min-replicas-to-write", "1", "--requirepass", PASSWORD, "--masterauth", PASSWORD,
          "--repl-diskless-sync-delay", "0")  # fmt: skip

SENTINEL = f"""
port {{port}}
bind 127.0.0.1
dir {{folder}}
requirepass {SENTINEL_PASSWORD}
sentinel sentinel-pass {SENTINEL_PASSWORD}
sentinel monitor {NAME} 127.0.0.1 {{primary}} 2
sentinel auth-pass {NAME} {PASSWORD}
sentinel down-after-milliseconds {NAME} 1000
sentinel failover-timeout {NAME} 5000
"""


class Sentinels:
    """The six processes, on loopback. Ready once every sentinel knows the others and both replicas."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        ports = free_ports()
        self._servers: dict[int, subprocess.Popen[bytes]] = {}
        self._ports = [next(ports) for _ in range(6)]
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def addresses(self) -> list[str]:
        """host:port of each sentinel."""
        return [f"127.0.0.1:{port}" for port in self._ports[3:]]

    @property
    def secret(self) -> dict[str, str]:
        """What the Secret waybill-redis holds; the URL's host is not used."""
        return {"url": f"redis://:{PASSWORD}@not-used:6379/0", "sentinel-password": SENTINEL_PASSWORD}

    def primary(self) -> int:
        """The port of the primary, as the last sentinel has it."""
        return int(_ask(self._ports[5], "GET-MASTER-ADDR-BY-NAME")[1])

    def kill(self, port: int) -> None:
        """Kill one server, as a node does that is lost."""
        self._servers[port].kill()

    def __enter__(self) -> Self:
        first = self._ports[0]
        for port in self._ports[:3]:
            folder = self._folder / f"server-{port}"
            folder.mkdir()
            after = () if port == first else ("--replicaof", f"127.0.0.1 {first}")
            own = ("--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder))
            self._servers[port] = self._start(*own, *SERVER, *after)
        for port in self._ports[3:]:
            folder = self._folder / f"sentinel-{port}"
            folder.mkdir()
            file = folder / "sentinel.conf"
            file.write_text(SENTINEL.format(port=port, folder=folder, primary=first))
            self._start(str(file), "--sentinel")
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not all(self._knows_all(port) for port in self._ports[3:]):
            assert time.monotonic() < deadline, "the sentinels did not find each other"
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([str(get_binary_path()), *arguments], stdout=subprocess.DEVNULL)
        self._processes.append(process)
        return process

    def _knows_all(self, port: int) -> bool:
        try:
            return len(_ask(port, "REPLICAS")) == len(_ask(port, "SENTINELS")) == 2
        except redis.ConnectionError:
            return False


def _ask(port: int, what: str) -> Any:
    client: Any = redis.Redis(port=port, password=SENTINEL_PASSWORD, decode_responses=True)
    with client:
        return client.execute_command("SENTINEL", what, NAME)
