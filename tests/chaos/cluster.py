"""Fleet whose store is a cluster of local servers, and the faults of such a store."""

import asyncio
import itertools
import os
import signal
import subprocess
import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct

from service.settings import Settings, load_settings
from service.store import open_shards
from tests.chaos.fleet import LEASE_SECONDS, Fleet
from tests.chaos.tally import Tally
from tests.valkey_cluster import NODE_TIMEOUT_MS, Node, ValkeyCluster, wait_until

PRIMARIES, SHARDS = 3, 16
ALL_REPLICAS = "all replicas"
"""Durability `replica`, with a confirmation by all replicas."""
REPLICAS = {"fsync": 1, "replica": 2, ALL_REPLICAS: 2}
"""Replicas of each primary. With `replica`, a promoted server needs one, too."""

LAG_SECONDS = 1.5
KEYS_SECONDS = 0.05
"""Wait after each ten keys of a slot that moves by keys."""


class ClusterFleet(Fleet):
    """Fleet with a cluster of three primaries and their replicas, and 16 shards."""

    def __init__(self, directory: Path, tally: Tally, durability: str) -> None:
        super().__init__(directory, tally, durability)
        self._cluster: ValkeyCluster | None = None
        self.slots: list[int] = []

    @property
    def cluster(self) -> ValkeyCluster:
        """Servers of the store."""
        assert self._cluster is not None
        return self._cluster

    async def start_store(self) -> None:
        """Start the cluster, and find the slots of the shards."""
        folder, library = self.directory / "cluster", self.directory / "split.so"
        source = Path(__file__).parent / "split.c"
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)  # noqa: ASYNC221, S607
        folder.mkdir()
        replicas = REPLICAS[self.durability]
        self._cluster = await asyncio.to_thread(
            ValkeyCluster, folder, PRIMARIES, replicas, {"LD_PRELOAD": str(library)}
        )
        shards = await open_shards(self.settings())
        self.slots = [store.client.slot for store in shards.stores]
        await shards.close()

    async def primary_of(self, shard: int) -> Node:
        """Return the primary that has a shard."""
        return await asyncio.to_thread(self.cluster.primary_of, self.slots[shard])

    async def replace(self, old: Node, shard: int) -> None:
        """Wait until another server has the shard."""
        await asyncio.to_thread(wait_until, lambda: self.cluster.primary_of(self.slots[shard], besides=old) is not old)

    async def recover(self) -> None:
        """Wait until all servers are in the cluster, with their data."""
        await asyncio.to_thread(self.cluster.wait_until_healthy)

    async def stop(self) -> None:
        """Stop all processes."""
        await super().stop()
        if self._cluster is not None:
            self._cluster.stop()

    def settings(self) -> Settings:
        """Return the settings of this process."""
        return load_settings({name: value for name, value in self.make_environ().items() if name in OWN_SETTINGS})

    def make_environ(self) -> dict[str, str]:
        """Return the environment of the processes."""
        url = {"WAYBILL_REDIS_URL": self.cluster.url, "WAYBILL_SHARDS": str(SHARDS)}
        environ = super().make_environ() | url
        if self.durability == ALL_REPLICAS:
            number = str(REPLICAS[ALL_REPLICAS])
            environ |= {"WAYBILL_DURABILITY": "replica", "WAYBILL_REPLICAS_CONFIRMING_MIN": number}
        return environ


OWN_SETTINGS = {
    "WAYBILL_REDIS_URL",
    "WAYBILL_SHARDS",
    "WAYBILL_DURABILITY",
    "WAYBILL_REPLICAS_CONFIRMING_MIN",
}


async def kill_primary(fleet: ClusterFleet) -> None:
    await _kill_primary(fleet, shard=0)


async def kill_primary_ahead(fleet: ClusterFleet) -> None:
    """Cut the replicas off from a primary, and kill it later."""
    victim = await fleet.primary_of(SHARDS - 1)
    _stop_replication(victim)
    await asyncio.sleep(LAG_SECONDS)
    await _kill_primary(fleet, shard=SHARDS - 1)


async def cut_primary_off(fleet: ClusterFleet) -> None:
    """Cut a primary off from the other servers, until long after its replica was promoted. Clients reach both."""
    victim = await fleet.primary_of(0)
    _stop_replication(victim)
    victim.split_file.touch()
    await fleet.replace(victim, 0)
    await asyncio.sleep(LEASE_SECONDS)
    victim.split_file.unlink()
    victim.call("ACL", "SETUSER", "default", "+psync", "+sync")
    await fleet.recover()


async def suspend_primary(fleet: ClusterFleet) -> None:
    """Suspend a primary until its replica was promoted."""
    victim = await fleet.primary_of(SHARDS - 1)
    assert victim.process is not None
    os.kill(victim.process.pid, signal.SIGSTOP)
    try:
        await fleet.replace(victim, SHARDS - 1)
    finally:
        os.kill(victim.process.pid, signal.SIGCONT)
    await fleet.recover()


async def move_slots(fleet: ClusterFleet) -> None:
    """Move every third shard to another primary and back, atomically."""
    for shard in range(0, SHARDS, 3):
        source, target = await _source_and_target(fleet, shard)
        for node in (target, source):
            await asyncio.to_thread(fleet.cluster.move_slots, [fleet.slots[shard]], node)
            await asyncio.sleep(0.2)


async def move_slots_by_keys(fleet: ClusterFleet) -> None:
    """Move the shards 00 and 17 to another primary and back, key by key."""
    wait = partial(time.sleep, KEYS_SECONDS)
    for shard in (0, SHARDS - 1):
        source, target = await _source_and_target(fleet, shard)
        for node in (target, source):
            await asyncio.to_thread(fleet.cluster.move_slot_by_keys, fleet.slots[shard], node, wait)
            await asyncio.sleep(0.5)


async def add_and_remove_server(fleet: ClusterFleet) -> None:
    """Add a server, give it every fourth shard, take the shards away, and remove it."""
    moved = range(1, SHARDS, 4)
    before = {shard: await fleet.primary_of(shard) for shard in moved}
    added = await asyncio.to_thread(fleet.cluster.add_node)
    await asyncio.to_thread(fleet.cluster.move_slots, [fleet.slots[shard] for shard in moved], added)
    await asyncio.sleep(1)
    for shard, node in before.items():
        await asyncio.to_thread(fleet.cluster.move_slots, [fleet.slots[shard]], node)
    await asyncio.to_thread(fleet.cluster.remove_node, added)
    await asyncio.sleep(1)


async def restart_each_server(fleet: ClusterFleet) -> None:
    """Stop each server with SIGTERM. A primary starts again after it was replaced."""
    for node in tuple(fleet.cluster.nodes):
        led = [shard for shard in range(SHARDS) if await fleet.primary_of(shard) is node]
        await asyncio.to_thread(node.stop)
        if led:
            await fleet.replace(node, led[0])
        await asyncio.to_thread(node.start)
        await fleet.recover()


LAG = "replicas 1.5 s behind, primary killed"


class ClusterFault(Struct, frozen=True):
    """A fault, and the durability of its fleet. `is_in_window`: the durability permits losses."""

    inject: Callable[[ClusterFleet], Coroutine[Any, Any, None]]
    durability: str = "fsync"
    is_in_window: bool = False


async def _kill_primary(fleet: ClusterFleet, shard: int) -> None:
    victim = await fleet.primary_of(shard)
    victim.kill()
    await fleet.replace(victim, shard)
    await asyncio.sleep(NODE_TIMEOUT_MS / 1_000)
    await asyncio.to_thread(victim.start)
    await fleet.recover()


async def _source_and_target(fleet: ClusterFleet, shard: int) -> tuple[Node, Node]:
    source = await fleet.primary_of(shard)
    return source, next(node for node in fleet.cluster.nodes if node.is_primary and node is not source)


def _stop_replication(primary: Node) -> None:
    primary.call("ACL", "SETUSER", "default", "-psync", "-sync")
    primary.call("CLIENT", "KILL", "TYPE", "replica")


def _failovers() -> dict[str, ClusterFault]:
    """Return the failovers with each durability. In the stated window are all with `fsync`, which are asynchronous.

    `replica` waits for one replica by default. Replication ends at one replica before the other, so the cluster can
    promote the replica that lags behind. With a confirmation by both, no event may be lost.
    """
    causes = {
        "primary killed": kill_primary,
        LAG: kill_primary_ahead,
        "primary cut off from the other servers": cut_primary_off,
        "primary suspended past its failover": suspend_primary,
    }
    faults: dict[str, ClusterFault] = {}
    for durability, (cause, inject) in itertools.product(("fsync", "replica"), causes.items()):
        is_in_window = durability == "fsync" or cause == LAG
        window = ", the stated window" if is_in_window else ""
        fault = ClusterFault(inject, durability, is_in_window=is_in_window)
        faults[f"cluster: {cause} (`{durability}`{window})"] = fault
    faults[f"cluster: {LAG} (`replica`, confirmed by both)"] = ClusterFault(kill_primary_ahead, ALL_REPLICAS)
    return faults


CLUSTER_FAULTS: dict[str, ClusterFault] = {
    "cluster: slots moved to another primary and back": ClusterFault(move_slots),
    "cluster: slots moved key by key and back": ClusterFault(move_slots_by_keys),
    "cluster: server added, filled, emptied and removed": ClusterFault(add_and_remove_server),
    "cluster: each server restarted in turn (`fsync`)": ClusterFault(restart_each_server),
    "cluster: each server restarted in turn (`replica`)": ClusterFault(restart_each_server, "replica"),
    **_failovers(),
}
