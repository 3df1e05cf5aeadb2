"""Outages of accounts that answer 404: no record counts as deleted until the account has one again."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from service.events import RecordRef
from service.platforms.base import FetchedRecord
from service.settings import Settings
from tests.waiting import until
from tests.workers.harness import WorkerHarness, open_harness
from workers.processing.missing_records import RECORDS_MISSING_MAX

pytestmark = pytest.mark.store

GONE = """
- id: gone
  type: purchase_order
  actions: [{id: tell, do: http, url: "SINK/gone", body: {is: "{event.record.id}"}}]
"""
RECORDS = [f"po-{number}" for number in range(RECORDS_MISSING_MAX + 2)]
WAIT_SECONDS, AGE_SECONDS_MAX = 60, 3_600


@pytest.fixture
async def harness(make_settings: Callable[..., Settings]) -> AsyncIterator[WorkerHarness]:
    settings = make_settings(
        backoff_seconds_max=0.1,
        lease_seconds=20,
        stale_read_wait_seconds=WAIT_SECONDS,
        event_age_seconds_max=AGE_SECONDS_MAX,
    )
    async with open_harness(settings) as opened:
        await opened.publish(GONE)
        yield opened


async def find_all(harness: WorkerHarness) -> None:
    for record in RECORDS:
        await harness.send(record)
    await harness.run_worker()
    harness.lines.clear()


def delete_all(harness: WorkerHarness) -> None:
    for record in RECORDS:
        harness.sandbox.sandbox.catalog.delete("pack_cloud", "purchase_order", record)


async def age(harness: WorkerHarness, event_ids: Sequence[str], seconds: int) -> None:
    for event_id in event_ids:
        await harness.store.client.command("ZINCRBY", "wb:open", -seconds * 1000, event_id)


async def fetch_until_missing(harness: WorkerHarness, event_ids: Sequence[str]) -> "asyncio.Task[None]":
    """Run a worker until each record was missing, also after the wait for a newer record."""
    fetches, working = count_fetches(harness), asyncio.create_task(harness.run_worker())
    await until(lambda: len(fetches) == len(RECORDS))
    await age(harness, event_ids, WAIT_SECONDS)
    seen = Counter(fetches)
    await until(lambda: all(fetches[record] - seen[record] > 2 for record in RECORDS))
    return working


def count_fetches(harness: WorkerHarness) -> Counter[str]:
    """Count the fetches of each record from now on."""
    fetches, fetch = Counter[str](), harness.dependencies.platforms["pack"].fetch

    async def fetch_and_count(ref: RecordRef, context: Any) -> FetchedRecord:
        fetches[ref.id] += 1
        return await fetch(ref, context)

    harness.dependencies.platforms["pack"].fetch = fetch_and_count  # type: ignore[method-assign]
    return fetches


@pytest.mark.slow
@pytest.mark.parametrize("seen", [False, True])
async def test_no_record_counts_as_deleted_while_all_are_missing(harness: WorkerHarness, *, seen: bool) -> None:
    if seen:
        await find_all(harness)
    sent = len(harness.sink_bodies())
    delete_all(harness)
    event_ids = [await harness.send(record) for record in RECORDS]
    working = await fetch_until_missing(harness, event_ids)
    assert {(await harness.stored_event(event_id))["state"] for event_id in event_ids} == {"queued"}
    assert len(harness.sink_bodies()) == sent
    await harness.send("po-9")
    await working
    for event_id in event_ids:
        stored = await harness.stored_event(event_id)
        assert (stored["outcome"], stored["attempts"]) == ("record_missing", "1")
    assert {body["is"] for body in harness.sink_bodies()[sent:]} == {*RECORDS, "po-9"}
    logged = [line["event"] for line in harness.lines if line["event"].startswith("platform.records")]
    assert logged == ["platform.records_missing", "platform.records_found"]


async def test_fewer_missing_records_count_as_deleted(harness: WorkerHarness) -> None:
    delete_all(harness)
    event_ids = [await harness.send(record) for record in RECORDS[2:]]
    event_ids += [await harness.send(RECORDS[0], "deleted")]  # expected to be missing
    await age(harness, event_ids, WAIT_SECONDS)
    await harness.run_worker()
    outcomes = [(await harness.stored_event(event_id))["outcome"] for event_id in event_ids]
    assert outcomes == ["record_missing"] * RECORDS_MISSING_MAX + ["matched"]
    assert not harness.log_lines("platform.records_missing")


@pytest.mark.slow
async def test_event_of_an_outage_becomes_a_dead_letter_at_its_maximum_age(harness: WorkerHarness) -> None:
    delete_all(harness)
    event_ids = [await harness.send(record) for record in RECORDS]
    working = await fetch_until_missing(harness, event_ids)
    await age(harness, event_ids, AGE_SECONDS_MAX)
    await working
    stored = [await harness.stored_event(event_id) for event_id in event_ids]
    assert {(each["state"], each["error_kind"]) for each in stored} == {("dead", "platform_records_missing")}
    assert not harness.sink_bodies()
