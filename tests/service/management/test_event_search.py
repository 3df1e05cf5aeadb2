"""Events are found wherever they are, page by page, none twice and none left out."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from service.dev.embedded_valkey import EmbeddedValkey
from service.errors import Rejection
from service.events import EVENT_VERSION, Event, RecordRef, new_event_id
from service.ingestion.sources import Source, dedupe_key_of_id
from service.management.event_filter import Cursor, EventFilter
from service.management.event_search import EventRow, find_events, list_events, search_events
from service.management.event_view import get_event
from service.management.stores import NamedStore, name_stores, store_name
from service.settings import Settings
from service.store import Shards, Store, open_shards
from tests.service.management.conftest import kill
from tests.workers.harness import WorkerHarness

pytestmark = pytest.mark.store


def make(record_id: str, name: str = "", body: bytes = b"{}", kind: str = "purchase_order") -> Event:
    record = RecordRef("pack", kind, record_id)
    return Event(
        EVENT_VERSION, name or new_event_id(), "shop", "purchase_order.updated", "updated", record, None, {}, None, body
    )


async def walk(places: list[NamedStore], wanted: EventFilter, limit: int) -> list[EventRow]:
    rows: list[EventRow] = []
    after: str | None = None
    while True:
        page = await list_events(places, wanted, limit, after)
        assert len(page.items) <= limit
        rows += page.items
        after = page.next
        if after is None:
            return rows


@pytest.mark.parametrize("after", ["", "x", "1-", "-1", "1-a b", "9" * 20 + "-a"])
async def test_a_place_that_no_page_gave_is_refused(store: Store, after: str) -> None:
    with pytest.raises(Rejection) as refused:
        await list_events(name_stores([store]), EventFilter(), 10, after)
    assert (refused.value.status, refused.value.code) == (422, "invalid")


async def test_an_event_that_is_nowhere_is_not_found(store: Store) -> None:
    with pytest.raises(Rejection) as refused:
        await get_event(name_stores([store]), "0" * 32, "raw")
    assert (refused.value.status, refused.value.code) == (404, "not_found")


@pytest.mark.parametrize("limit", [1, 7, 200, 450])
async def test_pages_give_each_event_once_though_hundreds_share_a_millisecond(store: Store, limit: int) -> None:
    ids = {f"{number:032x}" for number in range(450)}
    for event_id in ids:
        await store.client.command("ZADD", "wb:dead", 1_000, event_id)
    rows = await walk(name_stores([store]), EventFilter(), limit)
    assert [row.id for row in rows] == sorted(ids, reverse=True)


async def test_pages_run_through_all_indexes_by_moment(store: Store) -> None:
    for place, index in enumerate(("open", "dead", "ended") * 5):
        await store.client.command("ZADD", f"wb:{index}", 1_000 + place, f"{place:032x}")
    rows = await walk(name_stores([store]), EventFilter(), 4)
    assert [int(row.id, 16) for row in rows] == list(range(14, -1, -1))


async def test_what_moves_on_meanwhile_is_not_met_again(store: Store) -> None:
    for number in range(10):
        await store.client.command("ZADD", "wb:dead", 1_000 + number, f"{number:032x}")
    first = await list_events(name_stores([store]), EventFilter(state="dead"), 5, None)
    for row in first.items:
        await store.client.command("ZADD", "wb:dead", 9_000, row.id)
    rest = await list_events(name_stores([store]), EventFilter(state="dead"), 50, first.next)
    assert [int(row.id, 16) for row in rest.items] == [4, 3, 2, 1, 0]


async def test_a_page_looks_at_so_many_and_says_where_to_go_on(store: Store) -> None:
    for number in range(900):
        await store.client.command("ZADD", "wb:ended", 1_000 + number, f"{number:032x}")
    await store.client.command("ZADD", "wb:dead", 5, "a" * 32)
    places, after, found = name_stores([store]), None, list[str]()
    for _ in range(6):
        hits, after = await find_events(places, EventFilter(since=datetime.fromtimestamp(0, UTC)), 10, after, 300)
        found += [hit.summary.id for hit in hits]
    assert len(found) == len(set(found)) == 60
    hits, after = await find_events(places, EventFilter(record="nobody"), 10, None, 300)
    assert hits == []
    assert after is not None
    assert after.at_ms < 1_900


async def test_events_are_found_by_every_part_of_a_filter(house: WorkerHarness, places: list[NamedStore]) -> None:
    [dead] = await kill(house)
    waiting = await house.send("po-2")
    now = datetime.now(UTC)
    table: list[tuple[EventFilter, list[str]]] = [
        (EventFilter(), [waiting, dead]),
        (EventFilter(source="shop"), [waiting, dead]),
        (EventFilter(source="other"), []),
        (EventFilter(type="purchase_order.updated", state="dead"), [dead]),
        (EventFilter(state="queued"), [waiting]),
        (EventFilter(state="decided"), []),
        (EventFilter(state="ended"), []),
        (EventFilter(record="po-1"), [dead]),
        (EventFilter(record="pack:purchase_order:po-2"), [waiting]),
        (EventFilter(record="o-2"), []),
        (EventFilter(rule="short-receipt"), [dead]),
        (EventFilter(rule="other"), []),  # its effect is done, so it is not what is to be mended
        (EventFilter(since=now - timedelta(hours=1)), [waiting, dead]),
        (EventFilter(since=now + timedelta(hours=1)), []),
        (EventFilter(until=(now - timedelta(hours=1)).replace(tzinfo=None)), []),
        (EventFilter(until=now + timedelta(hours=1), outcome="nothing"), []),
    ]
    for wanted, ids in table:
        assert [row.id for row in await walk(places, wanted, 1)] == ids, wanted
    (row,) = await walk(places, EventFilter(state="dead"), 1)
    assert (row.effects, row.effects_done, row.outcome) == (2, 1, "dead_lettered")
    assert row.error_kind


async def test_a_search_finds_by_our_id_the_senders_id_and_the_record(store: Store) -> None:
    event = make("po-9")
    await store.ingest(event, dedupe_key_of_id("shop", "evt_77"), 60_000)
    places = name_stores([store])
    sources: dict[str, Source] = {"shop": None, "other": None}  # type: ignore[dict-item] - only its names are asked
    for text, by in (
        (event.id, "event_id"),
        ("evt_77", "sender_id"),
        ("po-9", "record"),
        (event.record.lane, "record"),
    ):
        page = await search_events(places, sources, text, 10)
        assert [(found.found_by, found.event.id) for found in page.items] == [(by, event.id)], text
        assert page.complete
    assert list((await search_events(places, sources, "nobody", 10)).items) == []
    assert list((await search_events(places, {}, "evt_77", 10)).items) == []


async def test_a_search_that_found_too_much_says_so(store: Store) -> None:
    for _ in range(5):
        await store.ingest(make("po-9"), new_event_id(), 60_000)
    page = await search_events(name_stores([store]), {}, "po-9", 3)
    assert (len(page.items), page.complete) == (3, False)


async def test_bodies_and_inputs_are_shown_as_far_as_the_viewer_may_see(
    house: WorkerHarness, places: list[NamedStore]
) -> None:
    event = make("po-1", body=b'{"email": "ada@example.com", "order": 7}')
    await house.store.ingest(event, event.id, 60_000)
    await house.run_worker()
    outline = await get_event(places, event.id, "outline")
    assert (outline.body, outline.encoding, outline.body_bytes) == (None, None, len(event.body))
    assert {effect.inputs for effect in outline.effects} == {None}
    redacted = await get_event(places, event.id, "redacted")
    assert redacted.body == {"email": "[redacted]", "order": 7}
    assert "claims" in str(redacted.effects)
    for view in (outline, redacted):
        assert b"ada@example.com" not in msgspec.json.encode(view)
    raw = await get_event(places, event.id, "raw")
    assert (raw.body, raw.encoding) == (event.body.decode(), "utf-8")
    assert [effect.state for effect in raw.effects] == ["done", "done"]
    assert raw.history[0]["entry"] == "received"


@pytest.mark.parametrize(
    ("body", "shown", "encoding"), [(b"\xff\x00", "/wA=", "base64"), (b"plain", "plain", "utf-8"), (b"", "", "utf-8")]
)
async def test_a_raw_body_is_text_or_base64(store: Store, body: bytes, shown: str, encoding: str) -> None:
    event = make("1", body=body)
    await store.ingest(event, event.id, 60_000)
    view = await get_event(name_stores([store]), event.id, "raw")
    assert (view.body, view.encoding) == (shown, encoding)
    assert "bytes that are no JSON" in (await get_event(name_stores([store]), event.id, "redacted")).body


async def test_only_a_dead_letter_is_shown_as_one(store: Store) -> None:
    event = make("1")
    await store.ingest(event, event.id, 60_000)
    with pytest.raises(Rejection, match="is no dead letter; it is queued"):
        await get_event(name_stores([store]), event.id, "redacted", dead_only=True)


async def test_events_of_several_stores_come_in_one_list_that_says_which(
    valkey_url: str, own_valkey: Callable[..., EmbeddedValkey], make_settings: Callable[..., Settings]
) -> None:
    other = own_valkey().url
    opened = await open_shards(make_settings(redis_url=valkey_url, shard_urls=f"{valkey_url},{other}"))
    assert isinstance(opened, Shards)
    try:
        ids: dict[str, str] = {}
        for number in range(20):
            event = make(str(number))
            home = opened.of(event.record.lane)
            await home.ingest(event, event.id, 60_000)
            ids[event.id] = store_name(home.settings)
        places = name_stores(opened.stores)
        rows = await walk(places, EventFilter(), 3)
        assert {row.id: row.store for row in rows} == ids
        assert len(set(ids.values())) == 2
        assert [Cursor(0, row.at) for row in rows] == sorted((Cursor(0, row.at) for row in rows), reverse=True)
        for event_id, name in ids.items():
            assert (await get_event(places, event_id, "outline")).store == name
    finally:
        await opened.close()


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"redis_url": "redis://user:hunter2@db:6380/3"}, "db:6380/3"),
        ({"redis_url": "rediss://db"}, "db:6379/0"),
        ({"redis_url": "unix:///run/valkey.sock?password=hunter2"}, "/run/valkey.sock"),
        ({"redis_url": "redis://x/2", "redis_sentinel": "s1:26379"}, "mymaster/2"),
    ],
)
def test_a_store_s_name_says_where_it_is_and_no_password(values: dict[str, str], name: str) -> None:
    assert store_name(Settings(**values)) == name  # pyright: ignore[reportArgumentType] - texts only
