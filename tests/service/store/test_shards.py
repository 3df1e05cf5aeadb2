"""Shards: each record is on one store, and an unavailable store affects only its own records."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec import structs

from service.dev.embedded_valkey import EmbeddedValkey, start_valkey
from service.errors import ConfigError, StoreUnavailable
from service.events import EVENT_VERSION, Event, RecordRef, new_event_id
from service.metrics.page import MetricsPage
from service.settings import Settings
from service.store import IngestRequest, Shards, open_shards
from service.store.shards import shard_of, shard_urls
from service.throttles.throttles import name_circuits
from tests.server_folder import server_folder

pytestmark = [pytest.mark.store, pytest.mark.slow]


def make_arrival(record_id: str, dedupe_key: str | None = None) -> IngestRequest:
    record = RecordRef("pack", "purchase_order", record_id)
    event = Event(EVENT_VERSION, new_event_id(), "shop", "order.updated", "updated", record, None, {}, None, b"{}")
    return IngestRequest(event, dedupe_key or event.id, 60_000)


@pytest.fixture
def servers(server_binary: str | None) -> Iterator[list[EmbeddedValkey]]:
    with server_folder() as folder:
        running = [start_valkey(folder / str(place), server=server_binary) for place in range(3)]
        yield running
        for server in running:
            server.kill()


@pytest.fixture
async def shards(servers: list[EmbeddedValkey], make_settings: Callable[..., Settings]) -> Shards:
    urls = [server.url for server in servers]
    settings = structs.replace(make_settings(ingest_timeout_seconds=0.2), redis_url=urls[0], shard_urls=",".join(urls))
    opened = await open_shards(settings)
    assert isinstance(opened, Shards)
    return opened


def test_redis_url_outside_the_shard_urls_is_a_config_error(settings: Settings) -> None:
    with pytest.raises(ConfigError):
        shard_urls(structs.replace(settings, shard_urls="redis://a,redis://b"))


def test_added_store_moves_only_its_share_of_records() -> None:
    lanes = [f"pack:purchase_order:{number}" for number in range(3_000)]
    before, after = ([shard_of(lane, shards) for lane in lanes] for shards in (2, 3))
    moved = [new for old, new in zip(before, after, strict=True) if old != new]
    assert set(moved) == {2}
    assert 800 < len(moved) < 1_200
    assert 1_300 < before.count(0) < 1_700


async def test_records_are_distributed_and_counted_once(shards: Shards) -> None:
    arrivals = [make_arrival(str(number)) for number in range(60)]
    receipts = await shards.ingest_all(arrivals)
    assert [receipt.event_id for receipt in receipts] == [arrival.event.id for arrival in arrivals]
    for arrival in arrivals:
        holds = [await store.events.get(arrival.event.id) is not None for store in shards.stores]
        assert holds.count(True) == 1
        assert holds[shard_of(arrival.event.record.lane, 3)]
    assert sum(each.pending for each in await shards.samples() if each) == 60
    await shards.close()


async def test_retried_delivery_after_a_store_failure_is_ingested_once(
    shards: Shards, servers: list[EmbeddedValkey]
) -> None:
    arrivals = [make_arrival(str(number)) for number in range(20)]
    servers[2].kill()
    with pytest.raises(StoreUnavailable):
        await shards.ingest_all(arrivals)
    alive = [arrival for arrival in arrivals if shard_of(arrival.event.record.lane, 3) != 2]
    assert {receipt.status for receipt in await shards.ingest_all(alive)} == {"queued"}
    await shards.check()
    servers[2] = start_valkey(Path(servers[2].url.removeprefix("unix://")).parent)
    await shards.ingest_all(arrivals)
    assert sum(each.pending for each in await shards.samples() if each) == 20
    servers[2].kill()
    await shards.close()


async def test_check_fails_if_no_store_answers(shards: Shards, servers: list[EmbeddedValkey]) -> None:
    for server in servers:
        server.kill()
    with pytest.raises(StoreUnavailable):
        await shards.check()
    await shards.close()


async def test_statistics_of_each_shard_are_reported_also_if_one_store_fails(
    shards: Shards, servers: list[EmbeddedValkey]
) -> None:
    await shards.ingest_all([make_arrival(str(number)) for number in range(60)])
    servers[1].kill()
    page = MetricsPage("service", shards.samples, 1_000, range(3), no_circuits)
    text = (await page.render())[0].decode()
    up = {shard: f'waybill_store_up{{shard="{shard}"}}' for shard in range(3)}
    assert [f"{name} 1.0" in text for name in up.values()] == [True, False, True]
    assert f"{up[1]} 0.0" in text
    pending = dict(re.findall(r'^waybill_events_pending\{shard="(\d)"\} (\d+)', text, re.MULTILINE))
    assert set(pending) == {"0", "2"}
    assert all(int(number) > 5 for number in pending.values())
    await shards.close()


async def no_circuits() -> dict[tuple[str | None, str | None], float]:
    return {}


async def test_page_names_open_circuits_of_accounts_and_destinations(shards: Shards) -> None:
    async def read_circuits() -> dict[tuple[str | None, str | None], float]:
        return name_circuits(await shards.open_circuits())

    for name in ("pack", "destination:erp"):
        await shards.stores[0].parking.pause(name)
    await shards.stores[0].parking.resume("destination:erp")

    page = MetricsPage("service", shards.samples, 1_000, range(3), read_circuits)
    text = (await page.render())[0].decode()
    assert 'waybill_circuit_open{destination="",platform="pack"} 1.0' in text
    assert 'waybill_circuit_open{destination="erp",platform=""} 1.0' not in text
    await shards.close()
