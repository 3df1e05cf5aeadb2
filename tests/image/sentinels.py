"""A store for high availability as in docs/how-to/kubernetes.md: a primary, two replicas, three sentinels, all real."""

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import redis

from service.dev.embedded_valkey import get_binary_path
from tests.helm.guide import block, blocks
from tests.image.node import free_ports

NAME = "orders"
PASSWORD = "of-the-store"
SENTINEL_PASSWORD = "of-the-sentinels"
READY_SECONDS_MAX = 20.0

SERVER, SENTINEL = blocks("conf")
"""Configuration of servers and sentinels in docs/how-to/kubernetes.md."""


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

    def type_before(self) -> str:
        """Type what docs/how-to/kubernetes.md types before it takes the primary away; give what is answered."""
        return self._type(0)

    def type_after(self) -> str:
        """Type what it types afterwards."""
        return self._type(1)

    def _type(self, part: int) -> str:
        script = block("sh", "get-master-addr-by-name")
        exported, rest = script.split("\n", 1)
        lines = [line for line in rest.split("kubectl -n data delete")[part].splitlines() if "valkey-cli" in line]
        here = "\n".join([exported, *lines]).replace("valkey-cli -h valkey-sentinel.data.svc", "redis-cli -h 127.0.0.1")
        command = ["/bin/bash", "-euo", "pipefail", "-c", here.replace("26379", str(self._ports[5]))]
        environ = {**os.environ, "SENTINEL_PASSWORD": SENTINEL_PASSWORD}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environ)
        assert not re.search("ERR|NOAUTH|NOQUORUM", done.stdout), done.stdout
        return done.stdout

    def kill(self, port: int) -> None:
        """Kill one server, as a node does that is lost."""
        self._servers[port].kill()

    def __enter__(self) -> Self:
        first = self._ports[0]
        for port in self._ports[:3]:
            folder = self._folder / f"server-{port}"
            folder.mkdir()
            after = "" if port == first else f"replicaof 127.0.0.1 {first}\n"
            self._servers[port] = self._start(_file(folder, port, SERVER.replace("PASSWORD", PASSWORD) + after))
        self._wait(lambda: _replicas(first) == 2)  # a sentinel asks at once, and then only every ten seconds
        for port in self._ports[3:]:
            folder = self._folder / f"sentinel-{port}"
            folder.mkdir()
            text = SENTINEL.replace("SENTINEL-PASSWORD", SENTINEL_PASSWORD).replace(" PASSWORD", f" {PASSWORD}")
            self._start(_file(folder, port, text.replace("PRIMARY 6379", f"127.0.0.1 {first}")), "--sentinel")
        for port in self._ports[3:]:
            self._wait(lambda port=port: len(_ask(port, "REPLICAS")) == len(_ask(port, "SENTINELS")) == 2)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([str(get_binary_path()), *arguments], stdout=subprocess.DEVNULL)
        self._processes.append(process)
        return process

    def _wait(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_SECONDS_MAX
        while time.monotonic() < deadline:
            with contextlib.suppress(redis.ConnectionError):
                if done():
                    return
            time.sleep(0.1)
        raise AssertionError("the servers and sentinels did not find each other")


def _file(folder: Path, port: int, text: str) -> str:
    path = folder / "server.conf"
    path.write_text(f"port {port}\nbind 127.0.0.1\ndir {folder}\nrepl-diskless-sync-delay 0\n{text}")
    return str(path)


def _replicas(port: int) -> int:
    client: Any = redis.Redis(port=port, password=PASSWORD, decode_responses=True)
    with client:
        return client.info("replication")["connected_slaves"]


def _ask(port: int, what: str) -> Any:
    client: Any = redis.Redis(port=port, password=SENTINEL_PASSWORD, decode_responses=True)
    with client:
        return client.execute_command("SENTINEL", what, NAME)
