"""Shards on one server: each record is in one shard, all shards count, and their number cannot change."""

from collections.abc import AsyncIterator, Callable
from itertools import product

import pytest

from service.errors import ConfigError, StoreLost
from service.events import EVENT_VERSION, Event, RecordRef, new_event_id
from service.settings import Settings
from service.store import IngestRequest, Shards, open_shards
from service.store.connection.servers import SLOTS, slot_of
from service.store.shards import shard_of, shard_settings
from tests.service.store.builders import run_on_server
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.store


def make_arrival(record_id: str, dedupe_key: str | None = None) -> IngestRequest:
    record = RecordRef("pack", "purchase_order", record_id)
    event = Event(EVENT_VERSION, new_event_id(), "shop", "order.updated", "updated", record, None, {}, None, b"{}")
    return IngestRequest(event, dedupe_key or event.id, 60_000)


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings(shards=16)


@pytest.fixture
async def shards(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shards]:
    monkeypatch.setattr("service.store.shards.CHECK_SECONDS_MAX", PATIENCE_SECONDS)  # the machine may be busy
    opened = await open_shards(settings, check_installation=True)
    yield opened
    await opened.close()


@pytest.mark.parametrize(
    ("key", "slot"), [("{wb}x", 7_466), ("123456789", 12_739), ("{}x", 10_595), ("a{b}{c}", 3_300), ("{b", 6_215)]
)
def test_slot_is_that_of_the_first_text_in_braces(key: str, slot: int) -> None:
    assert slot_of(key) == slot


@pytest.mark.parametrize(("prefix", "number"), list(product(("wb:", "shop:", "x"), (2, 4, 8, 16, 32))))
def test_slots_of_shards_are_evenly_spaced(prefix: str, number: int) -> None:
    keys = [shard_settings(Settings(key_prefix=prefix), index).key_prefix for index in range(number)]
    assert {slot_of(key) * number // SLOTS for key in keys} == set(range(number))


def test_records_are_spread_over_the_shards() -> None:
    counts = [0] * 16
    for number in range(16_000):
        counts[shard_of(f"pack:purchase_order:{number}", 16)] += 1
    assert min(counts) > 800
    assert shard_of("pack:purchase_order:1", 16) == 5  # stored data depend on it


async def test_records_are_distributed_and_counted_once(shards: Shards, valkey_url: str) -> None:
    arrivals = [make_arrival(f"po-{number % 20}") for number in range(60)]
    receipts = await shards.ingest_all(arrivals)
    assert [receipt.event_id for receipt in receipts] == [arrival.event.id for arrival in arrivals]
    for arrival in arrivals:
        holds = [await store.events.get(arrival.event.id) is not None for store in shards.stores]
        assert holds.count(True) == 1
        assert holds[shard_of(arrival.event.record.lane, 16)]
    assert (await shards.sample()).pending == 60
    kinds = {usage.name: usage.keys for usage in await shards.memory_by_kind()}
    assert (kinds["delivery"], kinds["lane"], kinds["arq:job"], "other" in kinds) == (60, 20, 20, False)
    tags = {key.split(b"{")[1].split(b"}")[0] for key in run_on_server(valkey_url, "KEYS", "*")}
    assert tags <= {store.keys.prefix[1:-2].encode() for store in shards.stores}


async def test_statuses_of_records_are_in_the_order_of_the_lanes(shards: Shards) -> None:
    arrivals = [make_arrival(f"po-{number}") for number in range(8) for _ in range(number)]
    await shards.ingest_all(arrivals)
    lanes = [f"pack:purchase_order:po-{number}" for number in (7, 0, 3)]
    assert [status.queued for status in await shards.record_statuses(lanes)] == [7, 0, 3]


@pytest.mark.parametrize("check_installation", [True, False])
@pytest.mark.parametrize("number", [1, 8, 32])
async def test_another_number_of_shards_is_rejected_and_writes_nothing(
    shards: Shards, make_settings: Callable[..., Settings], valkey_url: str, number: int, *, check_installation: bool
) -> None:
    await shards.ingest_all([make_arrival("po-1")])
    before = sorted(run_on_server(valkey_url, "KEYS", "*"))
    with pytest.raises(ConfigError, match=f"is {number}, but .* has 16 shards. Fix: set WAYBILL_SHARDS=16"):
        await open_shards(make_settings(shards=number), check_installation=check_installation)
    written = set(run_on_server(valkey_url, "KEYS", "*")) - set(before)
    assert all(key.endswith(b":tick") for key in written)


async def test_shard_of_another_installation_is_rejected(shards: Shards, settings: Settings, valkey_url: str) -> None:
    await shards.check()
    run_on_server(valkey_url, "SET", shards.stores[5].keys.named("install"), "ok 1 16 other")
    with pytest.raises(StoreLost, match="belongs to the installation other"):
        await open_shards(settings, check_installation=True)
    with pytest.raises(StoreLost, match="belongs to the installation other"):
        await shards.check()


async def test_emptied_shard_is_lost_and_the_others_are_too_until_it_is_accepted(
    shards: Shards, valkey_url: str
) -> None:
    await shards.check()
    run_on_server(valkey_url, "DEL", shards.stores[3].keys.named("install"))
    with pytest.raises(StoreLost, match="it was emptied"):
        await shards.check()
