"""Pages and searches return every matching event once."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from msgspec import structs

from service.errors import Rejection
from service.events import EVENT_VERSION, Event, RecordRef, new_event_id
from service.ingestion.dedupe_keys import dedupe_key_of_id
from service.ingestion.sources import Source
from service.management import event_search
from service.management.event_filter import Cursor, EventFilter, Verdict
from service.management.event_search import EventRow, find_events
from service.management.operations import AdminOperations
from service.management.stores import name_stores, store_name
from service.settings import Settings
from service.store import Store, open_shards
from tests.service.management.conftest import ANN, make_dead_letters, operations_on
from tests.workers.harness import WorkerHarness

pytestmark = pytest.mark.store

ADMIN, VIEWER = structs.replace(ANN, role="admin"), structs.replace(ANN, role="viewer")


def make(record_id: str, name: str = "", body: bytes = b"{}", kind: str = "purchase_order") -> Event:
    record = RecordRef("pack", kind, record_id)
    return Event(
        EVENT_VERSION, name or new_event_id(), "shop", "purchase_order.updated", "updated", record, None, {}, None, body
    )


async def list_all(operations: AdminOperations, event_filter: EventFilter, limit: int) -> list[EventRow]:
    rows: list[EventRow] = []
    after: str | None = None
    while True:
        page = await operations.list_events(event_filter, limit, after)
        assert len(page.items) <= limit
        rows += page.items
        after = page.next
        if after is None:
            return rows


@pytest.mark.parametrize("after", ["", "x", "1-", "-1", "1-a b", "9" * 20 + "-a"])
async def test_an_invalid_cursor_is_rejected(store: Store, after: str) -> None:
    with pytest.raises(Rejection) as rejected:
        await operations_on(store).list_events(EventFilter(), 10, after)
    assert (rejected.value.status, rejected.value.code) == (422, "invalid")


async def test_an_unknown_event_is_not_found(store: Store) -> None:
    with pytest.raises(Rejection) as rejected:
        await operations_on(store, ADMIN).get_event("0" * 32, raw=True)
    assert (rejected.value.status, rejected.value.code) == (404, "not_found")


@pytest.mark.parametrize(("count", "limit"), [(50, 1), (450, 7), (450, 200), (450, 450)])
async def test_events_of_the_same_millisecond_are_listed_once(store: Store, count: int, limit: int) -> None:
    ids = {f"{number:032x}" for number in range(count)}
    await store.client.command("ZADD", "wb:dead", *[part for event_id in ids for part in (1_000, event_id)])
    rows = await list_all(operations_on(store), EventFilter(), limit)
    assert [row.id for row in rows] == sorted(ids, reverse=True)


async def test_pages_cover_all_indexes_in_order_of_time(store: Store) -> None:
    for number, index in enumerate(("open", "dead", "ended") * 5):
        await store.client.command("ZADD", f"wb:{index}", 1_000 + number, f"{number:032x}")
    rows = await list_all(operations_on(store), EventFilter(), 4)
    assert [int(row.id, 16) for row in rows] == list(range(14, -1, -1))


async def test_an_event_that_moves_between_pages_is_not_listed_again(store: Store) -> None:
    for number in range(10):
        await store.client.command("ZADD", "wb:dead", 1_000 + number, f"{number:032x}")
    first = await operations_on(store).list_events(EventFilter(state="dead"), 5, None)
    for row in first.items:
        await store.client.command("ZADD", "wb:dead", 9_000, row.id)
    rest = await operations_on(store).list_events(EventFilter(state="dead"), 50, first.next)
    assert [int(row.id, 16) for row in rest.items] == [4, 3, 2, 1, 0]


async def test_a_page_has_a_scan_limit_and_a_cursor(store: Store) -> None:
    ended = [part for number in range(900) for part in (1_000 + number, f"{number:032x}")]
    await store.client.command("ZADD", "wb:ended", *ended)
    await store.client.command("ZADD", "wb:dead", 5, "a" * 32)
    stores, after, found = name_stores([store]), None, list[str]()
    for _ in range(6):
        hits, after = await find_events(stores, EventFilter(since=datetime.fromtimestamp(0, UTC)), 10, after, 300)
        found += [hit.summary.id for hit in hits]
    assert len(found) == len(set(found)) == 60
    hits, after = await find_events(stores, EventFilter(record="nobody"), 10, None, 300)
    assert hits == []
    assert after is not None
    assert after.at_ms < 1_900


async def test_events_are_found_by_every_field_of_a_filter(harness: WorkerHarness, operations: AdminOperations) -> None:
    [dead] = await make_dead_letters(harness)
    waiting = await harness.send("po-2")
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
        (EventFilter(rule="other"), []),  # the effect of this rule is done
        (EventFilter(since=now - timedelta(hours=1)), [waiting, dead]),
        (EventFilter(since=now + timedelta(hours=1)), []),
        (EventFilter(until=(now - timedelta(hours=1)).replace(tzinfo=None)), []),
        (EventFilter(until=now + timedelta(hours=1), outcome="nothing"), []),
    ]
    for event_filter, ids in table:
        assert [row.id for row in await list_all(operations, event_filter, 1)] == ids, event_filter
    (row,) = await list_all(operations, EventFilter(state="dead"), 1)
    assert (row.effects, row.effects_done, row.outcome) == (2, 1, "dead_lettered")
    assert row.error_kind


async def test_a_search_finds_by_event_id_sender_id_and_record(store: Store) -> None:
    event = make("po-9")
    await store.ingest(event, dedupe_key_of_id("shop", "evt_77"), 60_000)
    sources: dict[str, Source] = {"shop": None, "other": None}  # type: ignore[dict-item] - the search uses the names only
    operations = operations_on(store, sources=sources)
    for text, by in (
        (event.id, "event_id"),
        ("evt_77", "sender_id"),
        ("po-9", "record"),
        (event.record.lane, "record"),
    ):
        page = await operations.search_events(text, 10)
        assert [(found.found_by, found.event.id) for found in page.items] == [(by, event.id)], text
        assert page.complete
    assert list((await operations.search_events("nobody", 10)).items) == []
    assert list((await operations_on(store).search_events("evt_77", 10)).items) == []


async def test_a_search_beyond_its_limit_is_incomplete(store: Store) -> None:
    for _ in range(5):
        await store.ingest(make("po-9"), new_event_id(), 60_000)
    page = await operations_on(store).search_events("po-9", 3)
    assert (len(page.items), page.complete) == (3, False)


async def test_bodies_and_inputs_depend_on_the_visibility(harness: WorkerHarness) -> None:
    event = make("po-1", body=b'{"email": "ada@example.com", "order": 7}')
    await harness.store.ingest(event, event.id, 60_000)
    await harness.run_worker()
    outline = await operations_on(harness.store, VIEWER).get_event(event.id, raw=False)
    assert (outline.body, outline.encoding, outline.body_bytes) == (None, None, len(event.body))
    assert {effect.inputs for effect in outline.effects} == {None}
    redacted = await operations_on(harness.store).get_event(event.id, raw=False)
    assert redacted.body == {"email": "[redacted]", "order": 7}
    assert "claims" in str(redacted.effects)
    for view in (outline, redacted):
        assert b"ada@example.com" not in msgspec.json.encode(view)
    raw = await operations_on(harness.store, ADMIN).get_event(event.id, raw=True)
    assert (raw.body, raw.encoding) == (event.body.decode(), "utf-8")
    assert [effect.state for effect in raw.effects] == ["done", "done"]
    assert raw.history[0]["entry"] == "received"


async def test_further_headers_depend_on_the_visibility(store: Store) -> None:
    common = {"user-agent": "Shop/1", "x-correlation-id": "c-1"}
    further = {"x-customer-name": "Ada", "x-shop-domain": "a.example"}
    event = msgspec.structs.replace(make("1"), headers=common | further)
    await store.ingest(event, event.id, 60_000)
    assert (await operations_on(store, VIEWER).get_event(event.id, raw=False)).headers == common
    operators = (await operations_on(store).get_event(event.id, raw=False)).headers
    assert operators == common | further | {"x-customer-name": "[redacted]"}
    assert (await operations_on(store, ADMIN).get_event(event.id, raw=True)).headers == common | further


@pytest.mark.parametrize(
    ("body", "shown", "encoding"), [(b"\xff\x00", "/wA=", "base64"), (b"plain", "plain", "utf-8"), (b"", "", "utf-8")]
)
async def test_a_raw_body_is_text_or_base64(store: Store, body: bytes, shown: str, encoding: str) -> None:
    event = make("1", body=body)
    await store.ingest(event, event.id, 60_000)
    view = await operations_on(store, ADMIN).get_event(event.id, raw=True)
    assert (view.body, view.encoding) == (shown, encoding)
    assert "bytes, not JSON" in (await operations_on(store).get_event(event.id, raw=False)).body


async def test_dead_only_rejects_other_events(store: Store) -> None:
    event = make("1")
    await store.ingest(event, event.id, 60_000)
    with pytest.raises(Rejection, match="is not a dead letter; its state is queued"):
        await operations_on(store).get_event(event.id, raw=False, dead_only=True)


async def test_a_list_over_all_shards_is_in_the_order_of_time(make_settings: Callable[..., Settings]) -> None:
    opened = await open_shards(make_settings())
    try:
        events = [make(str(number)) for number in range(20)]
        for event in events:
            await opened.of(event.record.lane).ingest(event, event.id, 60_000)
        operations = operations_on(opened)
        rows = await list_all(operations, EventFilter(), 3)
        assert {row.id for row in rows} == {event.id for event in events}
        assert {row.store for row in rows} == {store_name(opened.settings)}
        assert [Cursor(0, row.at) for row in rows] == sorted((Cursor(0, row.at) for row in rows), reverse=True)
        for event in events:
            assert (await operations.get_event(event.id, raw=False)).id == event.id
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
def test_the_name_of_a_store_contains_no_password(values: dict[str, str], name: str) -> None:
    assert store_name(Settings(**values)) == name  # pyright: ignore[reportArgumentType] - strings only


VERDICT_RULES = """
- {id: odd, type: purchase_order, on_unknown: error, when: {field: raw.nothing, op: eq, value: 1}}
- {id: unsure, type: purchase_order, when: {field: raw.nothing, op: eq, value: 1}}
- {id: sure, type: purchase_order}
"""


@pytest.mark.parametrize(
    ("verdict", "rule", "found"),
    [("error", None, 1), ("error", "odd", 1), ("error", "unsure", 0), ("unknown", "unsure", 1), ("matched", "sure", 1),
     ("unmatched", None, 0)],
)  # fmt: skip
async def test_events_are_filtered_by_the_result_of_a_rule(
    harness: WorkerHarness, operations: AdminOperations, verdict: Verdict, rule: str | None, found: int
) -> None:
    await harness.publish(VERDICT_RULES)
    await harness.send()
    await harness.run_worker()
    await harness.send("po-undecided")
    page = await operations.list_events(EventFilter(verdict=verdict, rule=rule), 10, None)
    assert len(page.items) == found


async def test_a_filter_by_result_reads_a_limited_number_of_histories(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_search, "SCANNED_HISTORIES_MAX", 3)
    for number in range(5):
        await store.client.command("ZADD", "wb:dead", 1_000 + number, f"{number:032x}")
    page = await operations_on(store).list_events(EventFilter(verdict="error", state="dead"), 10, None)
    assert (list(page.items), page.next) == ([], f"1002-{2:032x}")


async def test_statistics_count_the_results_of_a_rule_by_day(
    harness: WorkerHarness, operations: AdminOperations
) -> None:
    await harness.publish(VERDICT_RULES)
    ids = [await harness.send() for _ in range(3)]
    await harness.run_worker()
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    await harness.store.client.command("ZADD", "wb:dead", now_ms - 86_400_000, ids[0])
    report = await operations.rule_statistics(10)
    assert report.events == 3
    assert {name: (each.matched, each.unknown, each.error) for name, each in report.rules.items()} == {
        "odd": (0, 0, 3), "unsure": (0, 3, 0), "sure": (3, 0, 0),
    }  # fmt: skip
    assert [day.error for day in report.rules["odd"].days] == [2, 1]
    assert report.rules["sure"].last_event_id in ids[1:]
    assert (await operations.rule_statistics(1)).events == 1
