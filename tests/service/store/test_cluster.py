"""A real cluster: failover, moves of slots, added and removed servers, and servers that do not answer."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from itertools import count
from typing import Self

import pytest

from service.errors import StoreUnavailable
from service.settings import Settings, load_settings
from service.store import IngestRequest, Shards, open_shards
from service.store.connection.servers import slot_of
from service.store.scripts import QUEUE_STATS
from tests.service.store.test_shards import make_arrival
from tests.valkey_cluster import Node, ValkeyCluster, running_cluster
from tests.waiting import PATIENCE_SECONDS, until

pytestmark = [pytest.mark.store, pytest.mark.slow]

SENDERS = 8
_numbers = count()


@pytest.fixture(scope="module")
def cluster() -> Iterator[ValkeyCluster]:
    with running_cluster() as running:
        yield running


@pytest.fixture
async def shards(cluster: ValkeyCluster) -> AsyncIterator[Shards]:
    """Return the shards of a new installation."""
    opened = await open_shards(settings_of(cluster), check_installation=True)
    yield opened
    await opened.close()
    await asyncio.to_thread(cluster.wait_until_healthy)


def settings_of(cluster: ValkeyCluster, **values: object) -> Settings:
    environ = {f"WAYBILL_{name.upper()}": str(value) for name, value in values.items()}
    own = {"WAYBILL_REDIS_URL": cluster.url, "WAYBILL_KEY_PREFIX": f"t{next(_numbers)}:"}
    return load_settings({"WAYBILL_INGEST_TIMEOUT_SECONDS": "60", "WAYBILL_SHARDS": "16", **own, **environ})


class Load:
    """Senders that ingest events of many records until the end of the block, without a refusal."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self._stopping = False
        self.acknowledged: list[IngestRequest] = []

    async def __aenter__(self) -> Self:
        self._senders = [asyncio.create_task(self._send(sender)) for sender in range(SENDERS)]
        await self.make_progress()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping = True
        await asyncio.gather(*self._senders)

    async def make_progress(self) -> None:
        """Wait until each shard has acknowledged further events."""
        begin = len(self.acknowledged)
        await until(lambda: len({self._shards.of(each.event.record.lane) for each in self.acknowledged[begin:]}) == 16)

    async def require_all(self) -> None:
        """Check that every acknowledged event is stored once."""
        for request in self.acknowledged:
            assert await self._shards.of(request.event.record.lane).events.get(request.event.id) is not None
        assert (await self._shards.sample()).pending == len(self.acknowledged)

    async def _send(self, sender: int) -> None:
        for number in count():
            if self._stopping:
                return
            request = make_arrival(f"po-{sender}-{number % 50}")
            await self._shards.ingest_all([request])
            self.acknowledged.append(request)


def primaries_of(cluster: ValkeyCluster, shards: Shards) -> set[int]:
    return {cluster.primary_of(store.client.slot).port for store in shards.stores}


async def test_shards_are_on_all_primaries_and_the_numbers_are_those_of_one_server(
    cluster: ValkeyCluster, shards: Shards
) -> None:
    arrivals = [make_arrival(f"po-{number}") for number in range(64)]
    receipts = await shards.ingest_all(arrivals)
    assert [receipt.status for receipt in receipts] == ["queued"] * 64
    again = [make_arrival(f"po-{number}", arrivals[number].dedupe_key) for number in range(64)]
    assert [receipt.status for receipt in await shards.ingest_all(again)] == ["duplicate"] * 64
    assert len(primaries_of(cluster, shards)) == 3
    assert (await shards.sample()).pending == 64
    kinds = {usage.name: usage.keys for usage in await shards.memory_by_kind()}
    assert (kinds["delivery"], kinds["lane"], kinds["arq:job"]) == (64, 64, 64)
    assert len({store.client.server for store in shards.stores}) == 3


@pytest.mark.parametrize("key", ["{wb:07:st}:open", "a{}b", "{wb", "arq:job:{wb:00:st}:lane:x:{9}"])
def test_slots_are_those_of_the_server(cluster: ValkeyCluster, key: str) -> None:
    assert slot_of(key) == cluster.nodes[0].call("CLUSTER", "KEYSLOT", key)


async def test_killed_primary_is_replaced_without_a_refusal_or_a_loss(cluster: ValkeyCluster, shards: Shards) -> None:
    async with Load(shards) as load:
        for store in (shards.home, shards.stores[-1]):
            victim = await asyncio.to_thread(cluster.primary_of, store.client.slot)
            victim.kill()
            await load.make_progress()
            await asyncio.to_thread(victim.start)
            await asyncio.to_thread(cluster.wait_until_healthy)
    await load.require_all()


async def test_planned_failover_loses_and_refuses_nothing(cluster: ValkeyCluster, shards: Shards) -> None:
    async with Load(shards) as load:
        for replica in [node for node in cluster.nodes if not node.is_primary]:
            replica.call("CLUSTER", "FAILOVER")
            await load.make_progress()
    await load.require_all()


async def test_slots_move_under_load_to_an_added_server_and_back_before_it_is_removed(
    cluster: ValkeyCluster, shards: Shards
) -> None:
    moved = [store.client.slot for store in shards.stores[::3]]
    before = {slot: cluster.primary_of(slot) for slot in moved}
    async with Load(shards) as load:
        added = await asyncio.to_thread(cluster.add_node)
        await asyncio.to_thread(cluster.move_slots, moved, added)
        await load.make_progress()
        assert shards.home.client.server.name.split()[2].endswith(str(added.port))
        for slot, node in before.items():
            await asyncio.to_thread(cluster.move_slots, [slot], node)
        await load.make_progress()
        await asyncio.to_thread(cluster.remove_node, added)
        await load.make_progress()
    await load.require_all()


async def test_slot_that_moves_key_by_key_is_rejected_until_it_has_moved(
    cluster: ValkeyCluster, shards: Shards
) -> None:
    moved = shards.stores[5]
    slot = moved.client.slot
    source = await asyncio.to_thread(cluster.primary_of, slot)
    target = next(node for node in cluster.nodes if node.is_primary and node is not source)
    async with Load(shards) as load:
        checked = threading.Event()
        wait = partial(checked.wait, PATIENCE_SECONDS)
        moving = asyncio.create_task(asyncio.to_thread(cluster.move_slot_by_keys, slot, target, wait))
        await until(lambda: target.call("CLUSTER", "COUNTKEYSINSLOT", slot) > 2)
        with pytest.raises(StoreUnavailable, match=f"the keys of slot {slot} are on two servers"):
            await moved.client.call(QUEUE_STATS, (), seconds_max=0.1)
        assert not moving.done()
        checked.set()
        await moving
        await load.make_progress()
        await asyncio.to_thread(cluster.move_slot_by_keys, slot, source)
        await load.make_progress()
    await load.require_all()


async def test_frozen_server_affects_only_its_own_shards() -> None:
    with running_cluster(replicas_each=0) as cluster:
        settings = settings_of(cluster, ingest_timeout_seconds=0.2, store_timeout_seconds=0.5)
        shards = await open_shards(settings, check_installation=True)
        victim = cluster.primary_of(shards.stores[-1].client.slot)
        await require_only_its_shards(cluster, shards, victim, victim.kill)
        await asyncio.to_thread(victim.start)
        await asyncio.to_thread(cluster.wait_until_healthy)
        await retry(lambda: shards.ingest_all([make_arrival(f"po-{number}") for number in range(64)]))
        await shards.close()


async def require_only_its_shards(
    cluster: ValkeyCluster, shards: Shards, victim: Node, fail: Callable[[], object]
) -> None:
    slots = {store: cluster.primary_of(store.client.slot) for store in shards.stores}
    fail()

    async def ingest(request: IngestRequest) -> None:
        if slots[shards.of(request.event.record.lane)] is victim:
            with pytest.raises(StoreUnavailable):
                await shards.ingest_all([request])
        else:
            await retry(lambda: shards.ingest_all([request]))

    await asyncio.gather(*(ingest(make_arrival(f"po-{number}")) for number in range(64)))
    names = {store.name for store, node in slots.items() if node is victim}
    assert (await shards.check()).keys() == names


async def test_address_that_is_down_does_not_stop_a_process(cluster: ValkeyCluster, free_port: int) -> None:
    servers = ",".join(f"127.0.0.1:{port}" for port in (free_port, cluster.nodes[1].port, cluster.nodes[0].port))
    shards = await open_shards(settings_of(cluster, redis_url=f"redis://{servers}/0"), check_installation=True)
    arrivals = [make_arrival(f"po-{number}") for number in range(64)]
    assert {result.status for result in await shards.ingest_all(arrivals)} == {"queued"}
    assert await shards.check() == {}
    await shards.close()


async def test_slot_without_a_server_is_named() -> None:
    with running_cluster(replicas_each=0) as cluster:
        settings = settings_of(cluster, ingest_timeout_seconds=0.2)
        shards = await open_shards(settings, check_installation=True)
        store = shards.stores[-1]
        cluster.primary_of(store.client.slot).call("CLUSTER", "DELSLOTS", store.client.slot)

        async def is_named() -> bool:
            problems = await shards.check()
            return "Hash slot not served" in problems.pop(store.name, "") and not problems

        await until(is_named)
        await shards.close()


async def retry(call: Callable[[], Awaitable[object]]) -> None:
    """Repeat a call while the cluster is not complete."""
    async with asyncio.timeout(30):
        while True:
            try:
                await call()
            except StoreUnavailable:
                await asyncio.sleep(0.05)
            else:
                return
