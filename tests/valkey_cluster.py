"""A real cluster of valkey-server processes on loopback: primaries, replicas, failover and moves of slots."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import redis

from service.dev.embedded_valkey import get_binary_path
from service.store.connection.servers import SLOTS
from tests.free_ports import find_free_ports
from tests.server_folder import server_folder

NODE_TIMEOUT_MS = 2_000
SECONDS_MAX = 60.0


class Node:
    """One server of the cluster."""

    def __init__(
        self, folder: Path, port: int, bus_port: int, environ: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self.port, self.bus_port = port, bus_port
        self.split_file = folder / "split"
        self._folder = folder
        self._environ = {"CHAOS_SPLIT": str(self.split_file), "CHAOS_CLIENT_PORT": str(port), **environ}
        self.process: subprocess.Popen[bytes] | None = None
        self.client = redis.Redis(port=port, socket_timeout=5)

    def start(self) -> None:
        """Start the server, with the data of an earlier run."""
        options = {
            "port": str(self.port), "bind": "127.0.0.1", "dir": str(self._folder), "cluster-enabled": "yes",
            "cluster-node-timeout": str(NODE_TIMEOUT_MS), "cluster-require-full-coverage": "no", "appendonly": "yes",
            "appendfsync": "always", "save": "", "maxmemory-policy": "noeviction", "maxmemory": "1gb",
            "repl-diskless-sync-delay": "0", "cluster-port": str(self.bus_port),
        }  # fmt: skip
        self._folder.mkdir(exist_ok=True)
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        with (self._folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(get_binary_path()), *arguments], stdout=log, stderr=log, env=os.environ | self._environ
            )
        wait_until(self.answers)

    def answers(self) -> bool:
        with contextlib.suppress(redis.RedisError):
            return bool(self.call("PING"))
        return False

    def call(self, *command: str | int | bytes) -> Any:
        return self.client.execute_command(*command)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - typed with a hole

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        """End the server with SIGTERM."""
        assert self.process is not None
        self.process.terminate()
        self.process.wait()
        self.process = None

    def freeze(self, seconds: float) -> None:
        """Stop the process without an end of its connections, as in a network split."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(self.process.pid, signal.SIGCONT)

    @property
    def id(self) -> str:
        return self.call("CLUSTER", "MYID").decode()

    @property
    def is_primary(self) -> bool:
        return self.call("ROLE")[0] == b"master"


class ValkeyCluster:
    """Nodes of a cluster. The first ones are the primaries at the start, each with replicas behind them."""

    def __init__(
        self, folder: Path, primaries: int, replicas_each: int, environ: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._folder = folder
        self._environ = environ
        count = primaries * (1 + replicas_each)
        ports = find_free_ports(2 * count)
        self.nodes = [
            Node(folder / str(port), port, bus, environ) for port, bus in zip(ports[::2], ports[1::2], strict=True)
        ]
        for node in self.nodes:
            node.start()
        for index, node in enumerate(self.nodes[:primaries]):
            first, last = SLOTS * index // primaries, SLOTS * (index + 1) // primaries - 1
            node.call("CLUSTER", "ADDSLOTSRANGE", first, last)
            node.call("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
        self._meet(self.nodes)
        for index, node in enumerate(self.nodes[primaries:]):
            node.call("CLUSTER", "REPLICATE", self.nodes[index % primaries].id)
        self.wait_until_healthy()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.nodes[0].port}"

    def primary_of(self, slot: int, besides: Node | None = None) -> Node:
        """Return the primary that has a slot, as the living nodes see it. `besides` is not asked."""
        for node in self.nodes:
            if node is besides or not node.answers():
                continue
            for first, last, (_, port, *_), *_ in node.call("CLUSTER", "SLOTS"):
                if first <= slot <= last:
                    return next(each for each in self.nodes if each.port == port)
        raise LookupError(slot)

    def add_node(self) -> Node:
        """Add a primary without slots."""
        port, bus_port = find_free_ports(2)
        node = Node(self._folder / str(port), port, bus_port, self._environ)
        node.start()
        self.nodes.append(node)
        self._meet(self.nodes)
        return node

    def remove_node(self, removed: Node) -> None:
        """Remove a node without slots."""
        name = removed.id
        self.nodes.remove(removed)
        removed.kill()
        for node in self.nodes:
            node.call("CLUSTER", "FORGET", name)

    def move_slots(self, slots: Sequence[int], target: Node) -> None:
        """Move slots one after the other, atomically."""
        for slot in slots:
            # A move fails while the server copies its data for another reason.
            while (source := self.primary_of(slot)) is not target:
                with contextlib.suppress(redis.ResponseError):
                    source.call("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", target.id)
                wait_until(lambda source=source: self._last_move(source) in {"success", "failed", "cancelled"})
                with contextlib.suppress(TimeoutError):
                    wait_until(lambda slot=slot: self.primary_of(slot) is target, seconds_max=2)

    def move_slot_by_keys(self, slot: int, target: Node, wait: Callable[[], object] = lambda: None) -> None:
        """Move a slot by keys, as `redis-cli --cluster reshard` does. Call `wait` after each ten keys."""
        source, target_id = self.primary_of(slot), target.id
        target.call("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
        while keys := source.call("CLUSTER", "GETKEYSINSLOT", slot, 10):
            source.call("MIGRATE", "127.0.0.1", target.port, "", 0, 5_000, "KEYS", *keys)
            wait()
        primaries = [node for node in self.nodes if node.is_primary and node not in (source, target)]
        for node in (target, source, *primaries):
            node.call("CLUSTER", "SETSLOT", slot, "NODE", target_id)
        wait_until(lambda: self.primary_of(slot) is target)

    def wait_until_healthy(self) -> None:
        wait_until(lambda: all(b"cluster_state:ok" in node.call("CLUSTER", "INFO") for node in self.nodes))
        wait_until(lambda: all(self._is_in_sync(node) for node in self.nodes))

    def stop(self) -> None:
        for node in self.nodes:
            node.kill()
            node.client.close()

    def _meet(self, nodes: Sequence[Node]) -> None:
        for node in nodes[1:]:
            nodes[0].call("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus_port)
        wait_until(lambda: all(_known_nodes(node) == len(nodes) for node in nodes))

    @staticmethod
    def _last_move(source: Node) -> str:
        moves = source.call("CLUSTER", "GETSLOTMIGRATIONS")
        last = dict(zip(moves[0][::2], moves[0][1::2], strict=True)) if moves else {}
        return last.get(b"state", b"failed").decode()

    @staticmethod
    def _is_in_sync(node: Node) -> bool:
        role, *rest = node.call("ROLE")
        return role == b"master" or rest[2] == b"connected"


@contextlib.contextmanager
def running_cluster(primaries: int = 3, replicas_each: int = 1) -> Generator[ValkeyCluster]:
    """Run a cluster during the block."""
    with server_folder() as folder:
        cluster = ValkeyCluster(folder, primaries, replicas_each)
        try:
            yield cluster
        finally:
            cluster.stop()


def wait_until(is_true: Callable[[], bool], seconds_max: float = SECONDS_MAX) -> None:
    deadline = time.monotonic() + seconds_max
    while time.monotonic() < deadline:
        with contextlib.suppress(redis.RedisError, LookupError):
            if is_true():
                return
        time.sleep(0.02)
    raise TimeoutError


def _known_nodes(node: Node) -> int:
    return len(node.call("CLUSTER", "NODES").splitlines())
