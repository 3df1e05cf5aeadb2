"""Installation record: an emptied, earlier, wrong or shared store is not used until it is accepted."""

import contextlib
import re
from collections.abc import AsyncGenerator, Awaitable, Callable

import pytest

from service.dev.embedded_valkey import EmbeddedValkey
from service.errors import Rejection, StoreLost
from service.management.audit_log import Actor
from service.management.stores import accept_stores, name_stores
from service.settings import Settings, load_settings
from service.store import Store
from service.store.connection.installation import InstallationRecord, parse_installation
from tests.service.store.builders import WINDOW_MS, make_event, run_on_server, store_on

pytestmark = pytest.mark.store


@contextlib.asynccontextmanager
async def process_on(url: str, **settings: str) -> AsyncGenerator[Store]:
    """Yield the store as a new process opens it."""
    environ = {f"WAYBILL_{name.upper()}": value for name, value in settings.items()}
    store = Store(load_settings({"WAYBILL_REDIS_URL": url} | environ), check_installation=True)
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
def server(own_valkey: Callable[..., EmbeddedValkey]) -> EmbeddedValkey:
    return own_valkey()


SHARDS = Settings().shards


async def deliver(store: Store) -> str:
    """Ingest an event. Return its status, or the reason for which the store is not used."""
    event = make_event()
    try:
        return (await store.ingest(event, event.id, WINDOW_MS)).status
    except StoreLost as error:
        return str(error)


def stored(server: EmbeddedValkey) -> str:
    return (run_on_server(server.url, "GET", "wb:install") or b"").decode()


async def accept(server: EmbeddedValkey, installation_id: str = "") -> InstallationRecord | None:
    async with store_on(server.url) as store:
        return await store.installation.accept(installation_id)


@pytest.mark.parametrize(
    "text", ["", "ok", "ok 1 16", "ok 1 16 ", "ok x 16 id", "ok 1 x id", "ok ² 16 id", "gone 1 16 id", "ok -1 16 id"]
)
def test_damaged_record_is_not_parsed(text: str) -> None:
    assert parse_installation(text.encode()) is None


def test_record_survives_encoding() -> None:
    record = InstallationRecord("shop/waybill 1", 12, lost=True, shards=16)
    assert parse_installation(record.encode().encode()) == record


async def test_first_process_writes_the_record_and_the_others_share_it(server: EmbeddedValkey) -> None:
    async with process_on(server.url) as first, process_on(server.url) as second:
        assert await deliver(first) == "queued"
        record = stored(server)
        assert record.startswith(f"ok 1 {SHARDS} ")
        assert await deliver(second) == "queued"
        assert stored(server) == record


async def test_emptied_store_is_not_used_until_it_is_accepted(server: EmbeddedValkey) -> None:
    async with process_on(server.url, installation_id="shop") as one, process_on(server.url) as two:
        assert [await deliver(store) for store in (one, two)] == ["queued", "queued"]
        run_on_server(server.url, "FLUSHALL")
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: two.leases("w").claim(1),
            two.check,
            lambda: two.sweeper.sweep("w"),
            two.rulebook.version,  # a command, after the connections were closed
        ]
        for call in calls:
            with pytest.raises(StoreLost, match="waybill store accept"):
                await call()
        # A process that starts now does not take the store for a new one.
        async with process_on(server.url) as new:
            for store in (one, two, new):
                assert "without the data of installation shop, generation 1" in await deliver(store)
            assert run_on_server(server.url, "KEYS", "wb:*") == [b"wb:install"]
            assert await accept(server) == InstallationRecord("shop", 2, lost=False, shards=SHARDS)
            assert [await deliver(store) for store in (one, two, new)] == ["queued"] * 3


async def test_restored_data_end_the_loss_by_themselves(server: EmbeddedValkey) -> None:
    async with process_on(server.url) as process:
        assert await deliver(process) == "queued"
        record = stored(server)
        run_on_server(server.url, "FLUSHALL")
        assert "it was emptied" in await deliver(process)
        run_on_server(server.url, "SET", "wb:install", record)
        assert await deliver(process) == "queued"


async def test_earlier_copy_of_an_accepted_store_is_not_used(server: EmbeddedValkey) -> None:
    run_on_server(server.url, "SET", "wb:install", f"ok 3 {SHARDS} shop")
    async with process_on(server.url) as process:
        assert await deliver(process) == "queued"
        run_on_server(server.url, "SET", "wb:install", f"ok 2 {SHARDS} shop")
        assert "generation 3" in await deliver(process)
        assert await accept(server) == InstallationRecord("shop", 4, lost=False, shards=SHARDS)
        assert await deliver(process) == "queued"


@pytest.mark.parametrize("configured", [{}, {"installation_id": "shop"}])
async def test_store_of_another_installation_is_not_used_and_not_changed(
    server: EmbeddedValkey, configured: dict[str, str]
) -> None:
    run_on_server(server.url, "SET", "wb:install", f"ok 1 {SHARDS} shop")
    async with process_on(server.url, **configured) as process:
        assert await deliver(process) == "queued"
        run_on_server(server.url, "SET", "wb:install", f"ok 7 {SHARDS} other")
        assert "belongs to the installation other, and this process to shop" in await deliver(process)
        assert stored(server) == f"ok 7 {SHARDS} other"
        assert await accept(server, "shop") == InstallationRecord("shop", 8, lost=False, shards=SHARDS)
        assert await deliver(process) == "queued"


async def test_second_installation_with_an_id_of_its_own_is_rejected(server: EmbeddedValkey) -> None:
    async with (
        process_on(server.url, installation_id="a/waybill") as first,
        process_on(server.url, installation_id="b/waybill") as second,
    ):
        assert await deliver(first) == "queued"
        reason = await deliver(second)
        assert "check WAYBILL_REDIS_URL and WAYBILL_KEY_PREFIX" in reason
        assert "waybill store accept b/waybill" in reason
        assert await deliver(first) == "queued"


async def test_empty_store_can_be_rejected_at_the_first_connection(server: EmbeddedValkey) -> None:
    async with process_on(server.url, empty_store="reject", installation_id="shop") as process:
        assert "generation 0" in await deliver(process)
        assert await accept(server) == InstallationRecord("shop", 1, lost=False, shards=SHARDS)
        assert await deliver(process) == "queued"


@pytest.mark.parametrize("damage", [("SET", "wb:install", "rubbish"), ("LPUSH", "wb:install", "rubbish")])
async def test_damaged_record_makes_the_store_lost(server: EmbeddedValkey, damage: tuple[str, ...]) -> None:
    async with process_on(server.url, installation_id="shop") as process:
        assert await deliver(process) == "queued"
        run_on_server(server.url, "DEL", "wb:install")
        run_on_server(server.url, *damage)
        assert "waybill store accept" in await deliver(process)
        await accept(server, "shop")
        assert await deliver(process) == "queued"


async def test_accepting_twice_changes_nothing_and_an_unused_store_needs_an_id(server: EmbeddedValkey) -> None:
    with pytest.raises(LookupError):
        await accept(server)
    assert await accept(server, "shop") == InstallationRecord("shop", 1, lost=False, shards=SHARDS)
    assert await accept(server, "shop") is None
    assert stored(server) == f"ok 1 {SHARDS} shop"


@pytest.mark.parametrize(
    ("arguments", "detail"),
    [
        (("", "elsewhere:1/0"), "No store 'elsewhere:1/0'. The store is: "),
        (("", None), "has no installation record. Give the ID"),
    ],
)
async def test_request_to_accept_is_rejected(
    server: EmbeddedValkey, arguments: tuple[str, str | None], detail: str
) -> None:
    async with store_on(server.url) as one, store_on(server.url, key_prefix="other:") as two:
        with pytest.raises(Rejection, match=re.escape(detail)):
            await accept_stores(name_stores([one, two]), Actor("ana", "admin"), *arguments)


async def test_command_of_an_operator_reads_a_lost_store(server: EmbeddedValkey) -> None:
    run_on_server(server.url, "SET", "wb:install", f"lost 4 {SHARDS} shop")
    async with store_on(server.url) as store:
        await store.check()
        assert await store.installation.record() == InstallationRecord("shop", 4, lost=True, shards=SHARDS)
