"""Quarantine: limits per source, repeated calls, deletion."""

import random
from collections.abc import Callable

import msgspec
import pytest

from service.dev.embedded_valkey import EmbeddedValkey
from service.errors import StoreFull
from service.settings import Settings
from service.store import QuarantinedDelivery, Store, open_store
from tests.waiting import until

pytestmark = pytest.mark.store


def make_quarantined(number: int, source: str = "a", size: int = 10) -> QuarantinedDelivery:
    body = random.Random(number).randbytes(size)  # cannot be compressed
    return QuarantinedDelivery(
        1, f"{number:032x}", source, "not_verified", 401, 1.7e9, {"x-signature": "s"}, body, None, whole=True
    )


async def ids(store: Store, source: str = "a") -> list[int]:
    return [int(each, 16) for each in await store.quarantine.ids(source)]


async def age(store: Store, hours: float, source: str = "a") -> None:
    """Make all deliveries of a source older by `hours`."""
    index = store.quarantine._index(source)
    for name in await store.client.command("ZRANGE", index, 0, -1):
        await store.client.command("ZINCRBY", index, -hours * 3_600_000, name)


async def test_quarantined_delivery_is_stored_completely(store: Store) -> None:
    kept = msgspec.structs.replace(make_quarantined(1), body=bytes(range(256)), path_token="t", whole=True)
    assert await store.quarantine_deliveries([kept]) == 0
    assert await store.quarantine.get(kept.id) == kept
    assert await store.quarantine.read("a", [kept.id, "unknown"]) == [kept]
    assert await store.quarantine.read("a", []) == []
    assert await store.quarantine.get("unknown") is None
    assert await store.quarantine.sources() == ["a"]
    assert (await store.quarantine.count("a"))[0] == 1


async def test_bodies_are_compressed_and_count_as_stored(make_settings: Callable[..., Settings]) -> None:
    store = await open_store(make_settings(quarantine_bytes_max=10_000))
    blanks = [msgspec.structs.replace(make_quarantined(n), body=b" " * 1_000_000) for n in range(20)]
    assert await store.quarantine_deliveries(blanks) == 0
    assert await store.quarantine.read("a", [blanks[3].id]) == [blanks[3]]
    assert (await store.quarantine.count("a"))[1] < 10_000
    await store.close()


async def test_repeated_put_stores_a_delivery_once(store: Store) -> None:
    for _ in range(3):
        await store.quarantine_deliveries([make_quarantined(1)])
    deliveries, size = await store.quarantine.count("a")
    assert deliveries == 1
    assert size == len(msgspec.msgpack.encode(make_quarantined(1)))


async def test_oldest_deliveries_of_the_same_source_are_removed_at_the_limit(
    make_settings: Callable[..., Settings],
) -> None:
    store = await open_store(make_settings(quarantine_deliveries_max=3))
    await store.quarantine_deliveries([make_quarantined(100, "quiet")])
    dropped = 0
    for number in range(10):
        dropped += await store.quarantine_deliveries([make_quarantined(number, "loud")])
    assert dropped == 7
    assert sorted(await ids(store, "loud")) == [7, 8, 9]
    assert await ids(store, "quiet") == [100]
    await store.close()


async def test_byte_limit_applies_and_larger_deliveries_are_not_stored(
    make_settings: Callable[..., Settings],
) -> None:
    store = await open_store(make_settings(quarantine_bytes_max=1_000))
    await store.quarantine_deliveries([make_quarantined(number, size=300) for number in range(5)])
    deliveries, size = await store.quarantine.count("a")
    assert (deliveries, size <= 1_000) == (2, True)
    await store.quarantine_deliveries([make_quarantined(9, size=2_000)])
    assert 9 not in await ids(store)
    assert (await store.quarantine.count("a"))[1] == size
    await store.close()


@pytest.mark.parametrize("limits", [{"quarantine_deliveries_max": 4}, {"quarantine_bytes_max": 1_600}])
async def test_unverified_deliveries_remove_no_verified_one(
    make_settings: Callable[..., Settings], limits: dict[str, int]
) -> None:
    store = await open_store(make_settings(**limits))
    verified = [msgspec.structs.replace(make_quarantined(n, size=300), verified=True) for n in range(2)]
    await store.quarantine_deliveries(verified)
    for number in range(10, 20):
        await store.quarantine_deliveries([make_quarantined(number, size=300)])
    assert sorted(await ids(store)) == [0, 1, 18, 19]
    assert await store.quarantine.delete("a", [make_quarantined(19).id]) == 1
    more = [msgspec.structs.replace(make_quarantined(n, size=300), verified=True) for n in range(2, 7)]
    assert await store.quarantine_deliveries(more) == 4
    assert sorted(await ids(store)) == [3, 4, 5, 6]
    assert await store.client.command("EXISTS", f"{store.quarantine._index('a')}:unverified") == 0
    await store.close()


async def test_expired_deliveries_are_not_listed(make_settings: Callable[..., Settings]) -> None:
    hours = 1.0
    store = await open_store(make_settings(quarantine_retention_hours=hours))
    await store.quarantine_deliveries([make_quarantined(1)])
    await age(store, hours * 0.6)
    await store.quarantine_deliveries([make_quarantined(2)])
    await age(store, hours * 0.6)
    assert await ids(store) == [2]
    await store.quarantine_deliveries([make_quarantined(3)])
    assert (await store.quarantine.count("a"))[0] == 2
    await store.close()


async def test_quarantine_without_new_deliveries_expires(make_settings: Callable[..., Settings]) -> None:
    store = await open_store(make_settings(quarantine_retention_hours=0.2 / 3_600))
    await store.quarantine_deliveries([make_quarantined(1)])

    async def is_gone() -> bool:
        return await store.quarantine.count("a") == (0, 0)

    await until(is_gone)
    await store.close()


async def test_deleted_deliveries_leave_no_keys(store: Store) -> None:
    await store.quarantine_deliveries([make_quarantined(1), make_quarantined(2)])
    assert await store.quarantine.delete("a", [make_quarantined(1).id, "unknown"]) == 1
    assert await ids(store) == [2]
    assert await store.quarantine.delete("a", [make_quarantined(1).id]) == 0
    assert await store.quarantine.delete("a", [make_quarantined(2).id]) == 1
    assert await store.quarantine.count("a") == (0, 0)
    assert await store.quarantine.sources() == []


async def test_quarantine_stops_before_the_memory_limit_of_events(
    own_valkey: Callable[..., EmbeddedValkey], make_settings: Callable[..., Settings]
) -> None:
    server = own_valkey("--maxmemory", "20mb")
    settings = make_settings(redis_url=server.url, store_memory_percent_max=80, quarantine_bytes_max=100_000_000)
    store = await open_store(settings)

    async def fill() -> None:
        for number in range(200):
            await store.quarantine_deliveries([make_quarantined(number, size=500_000)])
            store.client.server.memory_checked_until = 0  # check the memory each time

    with pytest.raises(StoreFull):
        await fill()
    _, percent = await store.queue_stats.memory()
    assert 65 < percent < 78
    await store.check()
    await store.close()
