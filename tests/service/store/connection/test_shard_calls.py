"""Calls on the shards of one server share a round trip, and each shard has its own result."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from msgspec import structs

from service.dev.embedded_valkey import EmbeddedValkey
from service.errors import StoreFull, StoreLost, StoreUnavailable
from service.settings import Settings
from service.store import IngestRequest, IngestResult, Shards, open_shards
from service.store.shards import build_shards
from tests.service.store.builders import run_on_server
from tests.service.store.proxy import wire_to
from tests.service.store.test_denied_commands import is_stored
from tests.service.store.test_shards import make_arrival
from tests.waiting import PATIENCE_SECONDS

pytestmark = [pytest.mark.slow, pytest.mark.store]

SHARDS = 16


@pytest.fixture
def settings(own_valkey: Callable[..., EmbeddedValkey], make_settings: Callable[..., Settings]) -> Settings:
    return make_settings(redis_url=own_valkey().url, shards=SHARDS, ingest_timeout_seconds=0.2)


@pytest.fixture
async def shards(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shards]:
    monkeypatch.setattr("service.store.shards.CHECK_SECONDS_MAX", PATIENCE_SECONDS)  # the machine may be busy
    monkeypatch.setattr("service.store.store.MEMORY_CHECK_SECONDS", PATIENCE_SECONDS)
    opened = await open_shards(settings, check_installation=True)
    yield opened
    await opened.close()


def one_per_shard(shards: Shards) -> dict[str, IngestRequest]:
    """Return an arrival for each shard, by its name."""
    found: dict[str, IngestRequest] = {}
    number = 0
    while len(found) < SHARDS:
        arrival = make_arrival(f"po-{(number := number + 1)}")
        found.setdefault(shards.of(arrival.event.record.lane).name, arrival)
    return found


async def deliver(shards: Shards) -> dict[str, list[IngestResult] | BaseException]:
    """Ingest an event in each shard, as concurrent deliveries. Return the results by shard."""
    arrivals = one_per_shard(shards)
    calls = (shards.ingest_all([arrival]) for arrival in arrivals.values())
    return dict(zip(arrivals, await asyncio.gather(*calls, return_exceptions=True), strict=True))


async def require_only(shards: Shards, name: str, error: type[StoreUnavailable | StoreLost]) -> None:
    """Deliver to all shards. Check that one of them rejects its delivery and the others store theirs."""
    results = await deliver(shards)
    assert isinstance(results.pop(name), error)
    assert [result[0].status for result in results.values() if isinstance(result, list)] == ["queued"] * (SHARDS - 1)


def reads_of(settings: Settings) -> int:
    return run_on_server(settings.redis_url, "INFO", "stats")["total_reads_processed"]


def scripts_of(settings: Settings) -> int:
    return run_on_server(settings.redis_url, "INFO", "commandstats")["cmdstat_evalsha"]["calls"]


async def test_results_are_in_the_order_of_the_deliveries(shards: Shards) -> None:
    first, again = list(one_per_shard(shards).values()), list(one_per_shard(shards).values())
    same = [structs.replace(new, dedupe_key=old.dedupe_key) for old, new in zip(first, again, strict=True)]
    mixed = [*same[:5], *first, *same[5:]]
    await shards.ingest_all(first)
    results = await asyncio.gather(*(shards.ingest_all([arrival]) for arrival in mixed))
    expected = [each.event.id for each in (*first[:5], *first, *first[5:])]
    assert [result[0].event_id for result in results] == expected
    statuses = ["duplicate"] * 5 + ["queued"] * SHARDS + ["duplicate"] * (SHARDS - 5)
    assert [result[0].status for result in results] == statuses


@pytest.mark.usefixtures("shards")
async def test_first_connection_compares_all_records_in_one_call(settings: Settings) -> None:
    opened = build_shards(settings, check_installation=True)
    await opened.stores[0].client.verify()
    before = scripts_of(settings)
    assert all(isinstance(result, list) for result in (await deliver(opened)).values())
    assert scripts_of(settings) - before <= 4  # the records, the check of the server, and the events twice if unknown
    assert all(store.client.installation.known for store in opened.stores)
    await opened.close()


async def test_concurrent_deliveries_and_the_parts_of_one_share_a_round_trip(
    shards: Shards, settings: Settings
) -> None:
    for _ in range(3):  # the server knows the script then, and the records are compared on the connection
        await deliver(shards)
    scripts, before = scripts_of(settings), reads_of(settings)
    await deliver(shards)
    results = await shards.ingest_all(list(one_per_shard(shards).values()))
    assert [result.status for result in results] == ["queued"] * SHARDS
    # Two, those of the connection of this test, and perhaps a check of the durability.
    assert reads_of(settings) - before <= SHARDS / 2
    assert scripts_of(settings) - scripts == 2
    assert (await shards.sample()).pending == 5 * SHARDS


async def test_large_delivery_shares_the_round_trip_of_another_shard(shards: Shards, settings: Settings) -> None:
    await deliver(shards)
    first, other, *_ = one_per_shard(shards).values()
    large = [make_arrival(first.event.record.id) for _ in range(1_000)]  # 7,000 arguments
    before = scripts_of(settings)
    ingested, single = await asyncio.gather(shards.ingest_all(large), shards.ingest_all([other]))
    assert [result.status for result in (*ingested, *single)] == ["queued"] * 1_001
    assert [result.event_id for result in ingested] == [arrival.event.id for arrival in large]
    assert scripts_of(settings) - before == 1
    assert (await shards.sample()).pending == SHARDS + 1_001


async def test_script_that_the_server_lacks_is_sent(shards: Shards, settings: Settings) -> None:
    await deliver(shards)
    run_on_server(settings.redis_url, "SCRIPT", "FLUSH")
    await deliver(shards)
    assert (await shards.sample()).pending == 2 * SHARDS


async def test_damaged_key_of_one_shard_is_set_aside(shards: Shards, settings: Settings) -> None:
    run_on_server(settings.redis_url, "SET", shards.stores[5].keys.named("open"), "x")
    assert all(isinstance(result, list) for result in (await deliver(shards)).values())
    assert len(await shards.stores[5].damaged_keys()) == 1
    assert (await shards.sample()).pending == SHARDS


async def test_shard_without_permission_rejects_only_its_deliveries(shards: Shards, settings: Settings) -> None:
    await deliver(shards)
    others = [f"~*{store.keys.prefix}*" for store in shards.stores if store is not shards.stores[5]]
    run_on_server(settings.redis_url, "ACL", "SETUSER", "default", "resetkeys", *others)
    await require_only(shards, "05", StoreUnavailable)
    run_on_server(settings.redis_url, "ACL", "SETUSER", "default", "allkeys")
    assert (await shards.sample()).pending == 2 * SHARDS - 1


@pytest.mark.parametrize("kind", ["dedupe:*", "lane:*", "delivery:*", "open", "queue", "wake", "job"])
async def test_shard_whose_call_fails_in_part_loses_no_event(shards: Shards, settings: Settings, kind: str) -> None:
    """Deny one kind of keys of a shard, in the middle of the call for all shards."""
    await deliver(shards)
    prefix = shards.stores[5].keys.prefix
    kinds = {name: prefix + name for name in ("install", "dedupe:*", "lane:*", "delivery:*", "open", "queue", "wake")}
    kinds |= {"job": f"arq:job:{prefix}*", "prefix": prefix, "damaged": f"{prefix}damaged"}
    del kinds[kind]
    others = [f"*{store.keys.prefix}*" for store in shards.stores if store is not shards.stores[5]]
    keys = [f"~{key}" for key in (*kinds.values(), *others)]
    arrivals = one_per_shard(shards)
    run_on_server(settings.redis_url, "ACL", "SETUSER", "default", "resetkeys", *keys)
    calls = (shards.ingest_all([arrival]) for arrival in arrivals.values())
    results = dict(zip(arrivals, await asyncio.gather(*calls, return_exceptions=True), strict=True))
    run_on_server(settings.redis_url, "ACL", "SETUSER", "default", "allkeys")
    failed = results.pop("05")
    assert [result[0].status for result in results.values() if isinstance(result, list)] == ["queued"] * (SHARDS - 1)
    first = arrivals["05"]
    if isinstance(failed, list):  # a missing wake-up alone may be acknowledged
        assert await is_stored(shards.stores[5], first.event.id)
    again = make_arrival(first.event.record.id, first.dedupe_key)
    (redelivered,) = await shards.ingest_all([again])
    assert await is_stored(shards.stores[5], redelivered.event_id)
    assert redelivered.event_id in {first.event.id, again.event.id}


async def test_events_of_all_shards_are_stored_once_if_the_reply_is_lost(
    shards: Shards, settings: Settings, make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    await deliver(shards)
    async with wire_to(settings.redis_url, tmp_path) as wire:
        through = make_settings(redis_url=wire.url, shards=SHARDS)
        opened = await open_shards(through, check_installation=True)
        await deliver(opened)
        wire.cut(0, "on the way back")
        results = await opened.ingest_all(list(one_per_shard(opened).values()))
        assert wire.cuts == 1
        assert [result.status for result in results] == ["queued"] * SHARDS
        await opened.close()
    assert (await shards.sample()).pending == 3 * SHARDS


async def test_lost_shard_rejects_only_its_deliveries(shards: Shards, settings: Settings) -> None:
    await deliver(shards)
    run_on_server(settings.redis_url, "DEL", shards.stores[5].keys.named("install"))
    await require_only(shards, "05", StoreLost)


async def test_full_shard_rejects_only_its_deliveries(
    settings: Settings, shards: Shards, make_settings: Callable[..., Settings]
) -> None:
    """Each shard has its part of the limit, rounded up: 2 of 17 events."""
    small = make_settings(redis_url=settings.redis_url, shards=SHARDS, backlog_events_max=SHARDS + 1)
    opened = await open_shards(small, check_installation=True)
    assert all(isinstance(result, list) for result in (await deliver(opened)).values())
    await opened.ingest_all([one_per_shard(opened)["05"]])
    await require_only(opened, "05", StoreFull)
    with pytest.raises(StoreFull, match="2 events are pending in this shard, one of 16: add workers"):
        await opened.ingest_all([one_per_shard(opened)["05"]])
    assert (await shards.sample()).pending == 2 * SHARDS
    await opened.close()
