"""Deliveries while one shard cannot store events: 503 for its records, 202 for the others."""

import asyncio
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest

from service.dev.embedded_valkey import EmbeddedValkey
from service.settings import Settings
from service.store import Shards, open_shards
from service.store.shards import shard_of
from tests.service.ingress.conftest import Order, Serve, encode, signed
from tests.service.store.builders import run_on_server
from tests.valkey_cluster import running_cluster
from tests.waiting import PATIENCE_SECONDS, until

pytestmark = [pytest.mark.slow, pytest.mark.store]

SHARDS = 16


@pytest.fixture
def settings(own_valkey: Callable[..., EmbeddedValkey], make_settings: Callable[..., Settings]) -> Settings:
    return make_settings(
        redis_url=own_valkey().url, shards=SHARDS, ingest_timeout_seconds=0.5, store_timeout_seconds=PATIENCE_SECONDS
    )


@pytest.fixture
async def shards(settings: Settings) -> AsyncIterator[Shards]:
    opened = await open_shards(settings, check_installation=True)
    yield opened
    await opened.close()


def orders_by_shard() -> dict[int, str]:
    """Return an order in each shard."""
    found: dict[int, str] = {}
    number = 0
    while len(found) < SHARDS:
        found.setdefault(shard_of(f"erp:purchase_order:{(number := number + 1)}", SHARDS), str(number))
    return found


async def deliver(client: aiohttp.ClientSession, url: str, name: str) -> dict[int, int]:
    """Deliver an event for an order of each shard at once. Return the status by shard."""

    async def post(order: str) -> int:
        body = encode(Order(f"{name}-{order}", order=order))
        async with client.post(f"{url}/webhooks/erp-orders", data=body, headers=signed(body)) as response:
            if response.status == 503:
                assert (await response.json(content_type=None))["code"] == "store_unavailable"
                assert int(response.headers["Retry-After"]) > 0
            return response.status

    orders = orders_by_shard()
    return dict(zip(orders, await asyncio.gather(*map(post, orders.values())), strict=True))


async def test_one_failed_shard_rejects_only_its_deliveries(
    settings: Settings, shards: Shards, serve: Serve, client: aiohttp.ClientSession
) -> None:
    url = await serve(settings, shards)
    assert set((await deliver(client, url, "a")).values()) == {202}
    others = [f"~*{store.keys.prefix}*" for store in shards.stores if store is not shards.stores[5]]
    run_on_server(settings.redis_url, "ACL", "SETUSER", "default", "resetkeys", *others)
    statuses = await deliver(client, url, "b")
    assert {shard for shard, status in statuses.items() if status == 503} == {5}
    assert set(statuses.values()) == {202, 503}
    async with client.get(f"{url}/readyz") as response:
        expected = {"status": "ready", "unavailable_shards": ["05"], "durability": "fsync"}
        assert (response.status, await response.json()) == (200, expected)
    run_on_server(settings.redis_url, "ACL", "SETUSER", "default", "allkeys")
    assert (await deliver(client, url, "b"))[5] == 202
    assert (await shards.sample()).pending == 2 * SHARDS


async def test_primary_of_a_cluster_that_is_down_rejects_only_its_deliveries(
    settings: Settings, make_settings: Callable[..., Settings], serve: Serve, client: aiohttp.ClientSession
) -> None:
    with running_cluster(replicas_each=0) as cluster:
        values = {"shards": SHARDS, "ingest_timeout_seconds": 0.5, "store_timeout_seconds": PATIENCE_SECONDS}
        shards = await open_shards(make_settings(redis_url=cluster.url, **values), check_installation=True)
        url = await serve(settings, shards)
        await until(lambda: are_accepted(client, url, "a"))
        victim = cluster.primary_of(shards.stores[5].client.slot)
        lost = {index for index, store in enumerate(shards.stores) if cluster.primary_of(store.client.slot) is victim}
        assert 5 in lost
        assert len(lost) < SHARDS
        await asyncio.to_thread(victim.kill)
        statuses = await deliver(client, url, "b")
        assert {shard for shard, status in statuses.items() if status == 503} == lost
        assert {status for shard, status in statuses.items() if shard not in lost} == {202}
        await asyncio.to_thread(victim.start)
        await until(lambda: are_accepted(client, url, "b"))
        assert (await shards.sample()).pending == 2 * SHARDS
        await shards.close()


async def are_accepted(client: aiohttp.ClientSession, url: str, name: str) -> bool:
    return set((await deliver(client, url, name)).values()) == {202}
