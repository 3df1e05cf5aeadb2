"""Stale reads, unchanged states and deleted records: no event is lost, and no transition matches twice."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from msgspec import structs

from service.events import EVENT_VERSION, ChangeType, Event, RecordRef, new_event_id
from service.platforms.base import FetchedRecord
from service.records import PurchaseOrder
from service.settings import Settings
from service.store import LastState
from service.store.keys import Keys
from service.store.management.replay import Replay, plan_replay
from service.store.queue.futile_waits import FUTILE_WAITS_MAX, RETENTION_MS, FutileWaits
from tests.workers.harness import WorkerHarness, open_harness
from workers.processing import retries
from workers.processing.stale_reads import (
    FUTILE_WAITS_AHEAD,
    GONE_DIGEST,
    StaleReadPolicy,
    classify_stale_read,
)

pytestmark = pytest.mark.store

OLD, NEW, NEWER = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"
KEYS = Keys("wb:", "wb:queue")
WAIT_SECONDS = 60
TURNED = """
- id: seen
  type: purchase_order
  actions: [{id: tell, do: http, url: "SINK/seen", body: {is: "{status}", type: "{event.change}"}}]
- id: turned
  type: purchase_order
  when: {field: status, op: changed}
  actions: [{id: tell, do: http, url: "SINK/turned", body: {was: "{previous.status}", is: "{status}"}}]
"""


@pytest.fixture
async def harness(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[WorkerHarness]:
    monkeypatch.setattr(retries, "STALE_READ_WAIT_SECONDS_MIN", 0.05)
    settings = make_settings(backoff_base_seconds=0.02, lease_seconds=20, stale_read_wait_seconds=WAIT_SECONDS)
    async with open_harness(settings) as opened:
        await opened.publish(TURNED)
        yield opened


def put_order(harness: WorkerHarness, status: str, updated_at: str, **fields: object) -> None:
    """Set the order on the platform."""
    order = {"id": "po-1", "status": status, "updated_at": updated_at}
    harness.sandbox.sandbox.catalog.put("pack_cloud", "purchase_order", "po-1", order | fields)


def effects_of(harness: WorkerHarness, rule_id: str) -> list[Any]:
    return [body for body in harness.sink_bodies() if (rule_id == "turned") == ("was" in body)]


async def decision_entry(harness: WorkerHarness, event_id: str) -> dict[str, Any]:
    return next(line for line in (await harness.stored_event(event_id))["history"] if line["entry"] == "decided")


async def end_waits(harness: WorkerHarness) -> None:
    """Make every event older than the longest wait after its first fetch."""
    fetch = harness.dependencies.platforms["pack"].fetch

    async def fetch_and_age(ref: RecordRef, context: Any) -> FetchedRecord:
        for event_id in await harness.store.client.command("ZRANGE", "wb:open", 0, -1):
            await harness.store.client.command("ZINCRBY", "wb:open", -WAIT_SECONDS * 1000, event_id)
        return await fetch(ref, context)

    harness.dependencies.platforms["pack"].fetch = fetch_and_age  # type: ignore[method-assign]


async def count_futile_waits(harness: WorkerHarness, number: int) -> None:
    """Count waits in vain, as another worker does."""
    futile_waits = FutileWaits(harness.store.client, KEYS)
    for _ in range(number):
        await futile_waits.add("shop")


async def update_after_next_fetch(harness: WorkerHarness, status: str, updated_at: str) -> None:
    """Update the order on the platform after the next fetch."""
    fetch = harness.dependencies.platforms["pack"].fetch

    async def fetch_and_update(ref: RecordRef, context: Any) -> FetchedRecord:
        fetched = await fetch(ref, context)
        put_order(harness, status, updated_at)
        return fetched

    harness.dependencies.platforms["pack"].fetch = fetch_and_update  # type: ignore[method-assign]


# stale reads


async def test_stale_read_is_deferred_without_counting_an_attempt(harness: WorkerHarness) -> None:
    put_order(harness, "ordered", OLD)
    await harness.send(at=OLD)
    await harness.run_worker()
    await update_after_next_fetch(harness, "received", NEW)
    event_id = await harness.send(at=NEW)
    await harness.run_worker()
    outcomes = [line["outcome"] for line in harness.log_lines("attempt.finished") if line["event_id"] == event_id]
    assert outcomes == ["deferred", "matched"]
    assert (await harness.stored_event(event_id))["attempts"] == "1"
    assert "stale" not in await decision_entry(harness, event_id)
    assert effects_of(harness, "turned") == [{"was": "ordered", "is": "received"}]


async def test_decision_is_marked_stale_after_the_wait(
    harness: WorkerHarness,
) -> None:
    await end_waits(harness)
    put_order(harness, "ordered", OLD)
    event_id = await harness.send(at=NEW)
    await harness.run_worker()
    stored = await harness.stored_event(event_id)
    assert (stored["state"], stored["outcome"], stored["attempts"]) == ("ended", "matched", "1")
    assert (await decision_entry(harness, event_id))["stale"] is True
    assert harness.log_lines("attempt.finished")[-1]["stale"] is True
    assert effects_of(harness, "seen") == [{"is": "ordered", "type": "updated"}]


async def test_transition_missed_by_a_stale_decision_matches_once_on_the_next_event(
    harness: WorkerHarness,
) -> None:
    await end_waits(harness)
    put_order(harness, "ordered", OLD)
    for at in (OLD, NEW):
        await harness.send(at=at)
        await harness.run_worker()
    put_order(harness, "received", NEW)
    ids = [await harness.send(at=NEW) for _ in range(3)]
    await harness.run_worker()
    assert effects_of(harness, "turned") == [{"was": "ordered", "is": "received"}]
    assert {(await harness.stored_event(event_id))["outcome"] for event_id in ids} == {"matched"}


async def test_older_state_than_the_last_decided_one_is_never_decided(harness: WorkerHarness) -> None:
    await end_waits(harness)
    put_order(harness, "received", NEW)
    await harness.send()
    await harness.run_worker()
    put_order(harness, "ordered", OLD)  # a stale replica of the platform
    older = await harness.send()
    await harness.run_worker()
    stored = await harness.stored_event(older)
    assert (stored["state"], stored["outcome"], stored["attempts"]) == ("ended", "stale", "1")
    assert "decided" not in [entry["entry"] for entry in stored["history"]]
    assert NEW[:10] in stored["history"][-1]["error"]
    assert OLD[:10] in stored["history"][-1]["error"]
    line = harness.log_lines("attempt.finished")[-1]
    assert (line["outcome"], line["error_kind"], line["log_level"]) == ("stale", "stale_read", "warning")
    assert [body["is"] for body in effects_of(harness, "seen")] == ["received"]
    assert effects_of(harness, "turned") == []


async def test_older_state_than_the_last_decided_one_waits_for_the_newer_one(harness: WorkerHarness) -> None:
    put_order(harness, "ordered", NEW)
    await harness.send()
    await harness.run_worker()
    put_order(harness, "draft", OLD)
    await update_after_next_fetch(harness, "received", NEWER)
    event_id = await harness.send()
    await harness.run_worker()
    assert (await harness.stored_event(event_id))["outcome"] == "matched"
    assert effects_of(harness, "turned") == [{"was": "ordered", "is": "received"}]


async def test_replay_decides_an_event_that_ended_as_stale(harness: WorkerHarness) -> None:
    put_order(harness, "ordered", NEW)
    await harness.send()
    await harness.run_worker()
    put_order(harness, "draft", OLD)
    event_id = await harness.send()
    await harness.store.client.command("ZINCRBY", "wb:open", -WAIT_SECONDS * 1000, event_id)
    await harness.run_worker()
    put_order(harness, "received", NEWER)
    replay = plan_replay(await harness.stored_event(event_id), rerun_done=False)
    assert isinstance(replay, Replay)
    assert await harness.store.replays.replay([replay]) == ["lane"]
    await harness.run_worker()
    assert (await harness.stored_event(event_id))["outcome"] == "matched"
    assert effects_of(harness, "turned") == [{"was": "ordered", "is": "received"}]


@pytest.mark.parametrize("change", ["updated", "changed", "created"])
@pytest.mark.parametrize("seen", [False, True])
async def test_missing_record_is_fetched_again(harness: WorkerHarness, change: ChangeType, *, seen: bool) -> None:
    if seen:
        put_order(harness, "ordered", OLD)
        await harness.send()
        await harness.run_worker()
    harness.sandbox.sandbox.catalog.delete("pack_cloud", "purchase_order", "po-1")
    await update_after_next_fetch(harness, "received", NEW)
    event_id = await harness.send(change=change)
    await harness.run_worker()
    entry = await decision_entry(harness, event_id)
    assert (entry["gone"], entry["version"][:10]) == (False, NEW[:10])
    assert effects_of(harness, "seen")[-1] == {"is": "received", "type": change}


async def test_missing_record_counts_as_deleted_after_the_wait(harness: WorkerHarness) -> None:
    await end_waits(harness)
    harness.sandbox.sandbox.catalog.delete("pack_cloud", "purchase_order", "po-1")
    event_id = await harness.send()
    await harness.run_worker()
    fetches = len(harness.log_lines("record.fetched"))
    assert fetches > 1
    assert (await decision_entry(harness, event_id))["gone"] is True
    await harness.send()  # it is known to be gone: no further wait
    await harness.run_worker()
    assert len(harness.log_lines("record.fetched")) == fetches + 1


# sources whose event times are ahead


@pytest.mark.slow
async def test_waits_in_vain_show_that_the_times_of_a_source_are_ahead(harness: WorkerHarness) -> None:
    await end_waits(harness)
    await count_futile_waits(harness, FUTILE_WAITS_AHEAD - 1)
    put_order(harness, "ordered", OLD)
    for _ in range(2):
        await harness.send(at=NEW)
        await harness.run_worker()
    assert await harness.store.futile_waits.count("shop") == FUTILE_WAITS_AHEAD + 1
    assert [line["source_name"] for line in harness.log_lines("source.times_ahead")] == ["shop"]


async def test_source_with_times_ahead_waits_for_one_more_fetch_only(harness: WorkerHarness) -> None:
    await count_futile_waits(harness, FUTILE_WAITS_AHEAD)
    put_order(harness, "ordered", OLD)
    event_id = await harness.send(at=NEW)
    await harness.run_worker()
    assert len(harness.log_lines("record.fetched")) == 2
    assert (await decision_entry(harness, event_id))["stale"] is True


async def test_times_ahead_do_not_shorten_the_wait_for_a_newer_state(harness: WorkerHarness) -> None:
    await count_futile_waits(harness, FUTILE_WAITS_AHEAD)
    policy = harness.dependencies.stale_reads
    older = await policy.check(event_of(NEW), fetched_of(OLD), LastState("d", NEW), OLD, 1)
    missing = await policy.check(event_of(NEW), fetched_of(None, gone=True), LastState(), "", 1)
    assert older is not None
    assert missing is not None
    assert older.wait_seconds > 0
    assert missing.wait_seconds > 0


async def test_useful_waits_reset_the_count_of_a_source(harness: WorkerHarness) -> None:
    await count_futile_waits(harness, FUTILE_WAITS_MAX + 1)
    assert await harness.store.futile_waits.count("shop") == FUTILE_WAITS_MAX
    put_order(harness, "ordered", OLD)
    await update_after_next_fetch(harness, "received", NEW)
    await harness.send(at=NEW)
    await harness.run_worker()
    assert await harness.store.futile_waits.count("shop") == FUTILE_WAITS_MAX - 1
    for _ in range(FUTILE_WAITS_MAX):
        await harness.store.futile_waits.subtract("shop")
    assert await harness.store.futile_waits.count("shop") == 0
    assert 0 < await harness.store.client.command("PTTL", "wb:futile:shop") <= RETENTION_MS


async def test_record_that_changed_again_is_no_useful_wait(harness: WorkerHarness) -> None:
    await count_futile_waits(harness, 1)
    put_order(harness, "ordered", OLD)
    await update_after_next_fetch(harness, "received", NEWER)
    await harness.send(at=NEW)
    await harness.run_worker()
    assert await harness.store.futile_waits.count("shop") == 1


# unchanged


async def test_burst_without_event_ids_matches_once_per_change_and_state(
    harness: WorkerHarness,
) -> None:
    put_order(harness, "ordered", OLD)
    first = [await harness.send(identified=False) for _ in range(3)]
    await harness.run_worker()
    put_order(harness, "received", NEW)
    second = [await harness.send(identified=False) for _ in range(3)]
    await harness.run_worker()
    outcomes = [(await harness.stored_event(event_id))["outcome"] for event_id in [*first, *second]]
    assert outcomes == ["matched", "unchanged", "unchanged"] * 2
    assert [body["is"] for body in effects_of(harness, "seen")] == ["ordered", "received"]
    assert effects_of(harness, "turned") == [{"was": "ordered", "is": "received"}]


async def test_events_with_ids_on_one_state_are_all_decided(harness: WorkerHarness) -> None:
    put_order(harness, "ordered", OLD)
    ids = [await harness.send() for _ in range(4)]
    await harness.run_worker()
    assert {(await harness.stored_event(event_id))["outcome"] for event_id in ids} == {"matched"}
    assert len(effects_of(harness, "seen")) == 4
    assert effects_of(harness, "turned") == []


# deleted


async def test_update_before_a_deletion_keeps_its_change_type(harness: WorkerHarness) -> None:
    await end_waits(harness)
    put_order(harness, "ordered", OLD)
    await harness.send()
    await harness.run_worker()
    harness.sandbox.sandbox.catalog.delete("pack_cloud", "purchase_order", "po-1")
    updated, deleted = await harness.send(), await harness.send(change="deleted")
    await harness.run_worker()
    assert [(await decision_entry(harness, event_id))["gone"] for event_id in (updated, deleted)] == [True, True]
    assert [body["type"] for body in effects_of(harness, "seen")][1:] == ["updated", "deleted"]
    assert [(await harness.stored_event(event_id))["state"] for event_id in (updated, deleted)] == ["ended", "ended"]


async def test_restored_record_is_compared_with_its_state_before_the_deletion(harness: WorkerHarness) -> None:
    put_order(harness, "ordered", OLD)
    await harness.send()
    await harness.run_worker()
    harness.sandbox.sandbox.catalog.delete("pack_cloud", "purchase_order", "po-1")
    await harness.send(change="deleted")
    await harness.run_worker()
    put_order(harness, "received", NEW)
    await harness.send()
    await harness.run_worker()
    assert effects_of(harness, "turned").count({"was": "ordered", "is": "received"}) == 1


# fetch delay


async def test_fetch_delay_counts_no_attempt(harness: WorkerHarness) -> None:
    harness.dependencies = structs.replace(
        harness.dependencies, stale_reads=StaleReadPolicy(harness.settings, {"pack": 0.4}, harness.store.futile_waits)
    )
    event_id = await harness.send()
    await harness.run_worker()
    outcomes = [line["outcome"] for line in harness.log_lines("attempt.finished")]
    assert set(outcomes[:-1]) == {"deferred"}
    assert outcomes[-1] == "matched"
    assert (await harness.stored_event(event_id))["attempts"] == "1"
    assert len(harness.log_lines("record.fetched")) == 1
    assert harness.log_lines("attempt.finished")[-1]["e2e_ms"] >= 400


@pytest.mark.parametrize("fetch_delay_seconds", [0.0, 5.0])
async def test_event_with_a_negative_age_is_decided_without_a_wait(
    harness: WorkerHarness, fetch_delay_seconds: float
) -> None:
    harness.dependencies = structs.replace(
        harness.dependencies,
        stale_reads=StaleReadPolicy(harness.settings, {"pack": fetch_delay_seconds}, harness.store.futile_waits),
    )
    put_order(harness, "ordered", OLD)
    event_id = await harness.send(at=NEW)
    await harness.store.client.command("ZINCRBY", "wb:open", 3_600_000, event_id)
    await harness.run_worker()
    assert (await harness.stored_event(event_id))["state"] == "ended"


# comparison of times


def event_of(at: str | None, change: ChangeType = "updated") -> Event:
    record = RecordRef("pack", "purchase_order", "1")
    return Event(EVENT_VERSION, new_event_id(), "shop", "x", change, record, at, {}, None, b"")


def fetched_of(version: str | None, *, gone: bool = False) -> FetchedRecord:
    return FetchedRecord(None if gone else PurchaseOrder(id="1"), {}, version, "d", 200, "get", 1.0)


@pytest.mark.parametrize(
    ("at", "version", "expected"),
    [
        (None, NEW, None),
        (NEW, None, None),
        ("2026-01-02T00:00:00", OLD, None),  # no offset from UTC
        ("yesterday", OLD, None),
        (NEW, OLD, "before_event"),
        (OLD, NEW, None),
        (NEW, NEW, None),
        ("2026-01-02T00:00:02.000Z", "2026-01-02T00:00:00.000000Z", None),  # the tolerance
        ("2026-01-02T00:00:02.001Z", "2026-01-02T00:00:00.000000Z", "before_event"),
        ("2026-01-02T02:00:00+02:00", "2026-01-02T00:00:00.000000Z", None),
    ],
)
def test_state_is_stale_only_if_both_times_are_comparable(at: str | None, version: str | None, expected: Any) -> None:
    assert classify_stale_read(event_of(at), fetched_of(version), LastState()) == expected


@pytest.mark.parametrize(
    ("change", "last", "expected"),
    [
        ("created", LastState(), "missing"),
        ("updated", LastState(), "missing"),
        ("changed", LastState("d" * 32, OLD), "missing"),
        ("deleted", LastState("d" * 32, OLD), None),
        ("deleted", LastState(), None),
        ("updated", LastState(GONE_DIGEST[:32], OLD), None),
        ("created", LastState(GONE_DIGEST[:32], OLD), "missing"),
    ],
)
def test_missing_record_is_a_stale_read_unless_it_was_deleted(
    change: ChangeType, last: LastState, expected: Any
) -> None:
    assert classify_stale_read(event_of(NEW, change), fetched_of(None, gone=True), last) == expected


@pytest.mark.parametrize(
    ("version", "expected"), [(OLD, "before_last_state"), (NEW, None), (NEWER, None), (None, None)]
)
def test_state_before_the_last_decided_one_is_a_stale_read(version: str | None, expected: Any) -> None:
    assert classify_stale_read(event_of(None), fetched_of(version), LastState("d", NEW)) == expected
