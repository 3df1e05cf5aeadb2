"""Stale reads, unchanged states and deleted records: no event is lost, and no transition matches twice."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from msgspec import structs

from service.events import EVENT_VERSION, ChangeType, Event, RecordRef, new_event_id
from service.platforms.base import FetchedRecord
from service.records import PurchaseOrder
from service.settings import Settings
from tests.workers.harness import WorkerHarness, open_harness
from workers.processing.stale_reads import FUTILE_WAITS_MAX, StaleReadPolicy, is_stale

pytestmark = pytest.mark.store

OLD, NEW = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
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
async def harness(make_settings: Callable[..., Settings]) -> AsyncIterator[WorkerHarness]:
    settings = make_settings(backoff_base_seconds=0.02, lease_seconds=2, stale_read_wait_seconds=1.2)
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
    put_order(harness, "ordered", OLD)
    for at in (OLD, NEW):
        await harness.send(at=at)
        await harness.run_worker()
    put_order(harness, "received", NEW)
    ids = [await harness.send(at=NEW) for _ in range(3)]
    await harness.run_worker()
    assert effects_of(harness, "turned") == [{"was": "ordered", "is": "received"}]
    assert {(await harness.stored_event(event_id))["outcome"] for event_id in ids} == {"matched"}


async def test_older_state_after_a_newer_one_causes_no_transition_back(harness: WorkerHarness) -> None:
    put_order(harness, "received", NEW)
    await harness.send(at=NEW)
    await harness.run_worker()
    put_order(harness, "ordered", OLD)  # a stale replica of the platform
    await harness.send(at=NEW)
    await harness.run_worker()
    put_order(harness, "received", NEW)
    last = await harness.send(at=NEW)
    await harness.run_worker()
    assert {"was": "ordered", "is": "received"} not in effects_of(harness, "turned")
    assert (await harness.stored_event(last))["state"] == "ended"


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
        harness.dependencies, stale_reads=StaleReadPolicy(harness.settings, {"pack": 0.4})
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
        harness.dependencies, stale_reads=StaleReadPolicy(harness.settings, {"pack": fetch_delay_seconds})
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
        (NEW, OLD, True),
        (OLD, NEW, False),
        (NEW, NEW, False),
        ("2026-01-02T00:00:00.999Z", "2026-01-02T00:00:00.000000Z", False),  # a version in whole seconds
        ("2026-01-02T00:00:00.999Z", "2026-01-02T00:00:00.998000Z", True),
        ("2026-01-02T02:00:00+02:00", "2026-01-02T00:00:00.000000Z", False),
    ],
)
def test_state_is_stale_only_if_both_times_are_comparable(
    at: str | None, version: str | None, *, expected: Any
) -> None:
    assert is_stale(event_of(at), fetched_of(version)) is expected


def test_missing_record_is_a_stale_read_only_for_created_events() -> None:
    assert is_stale(event_of(NEW, "created"), fetched_of(None, gone=True)) is True
    assert is_stale(event_of(NEW), fetched_of(None, gone=True)) is None


def test_source_with_futile_waits_does_not_wait_again() -> None:
    policy = StaleReadPolicy(Settings(stale_read_wait_seconds=10), {})
    late, old, new = event_of(NEW), fetched_of(OLD), fetched_of(NEW)
    for _ in range(FUTILE_WAITS_MAX):
        assert policy.wait_seconds(late, old, 1) > 0
        assert policy.wait_seconds(late, old, 11) == 0
    assert policy.wait_seconds(late, old, 1) == 0
    assert policy.wait_seconds(late, new, 1) == 0  # a newer state: waits are useful again
    assert policy.wait_seconds(late, old, 1) > 0
