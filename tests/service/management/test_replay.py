"""Replay and discard: dry runs, audit lines, rate limit, and continuation after an interruption."""

import asyncio
import json
import time

import pytest
from msgspec import structs

from service.config.sources import SourceConfig
from service.errors import Rejection
from service.management.event_filter import EventFilter
from service.management.operations import AdminOperations
from service.management.replay import BulkRequest, EventChange
from service.sandbox.faults import Fault
from tests.service.ingress.admin.conftest import CONFIG, installation_of
from tests.service.management.conftest import ANN, make_dead_letters
from tests.workers.harness import WorkerHarness, sent_key

pytestmark = pytest.mark.store

DEAD = EventFilter(state="dead")


def bulk(**values: object) -> BulkRequest:
    return structs.replace(BulkRequest(filter=DEAD, all=True, dry_run=False, rate=1_000), **values)


def audited(capfd: pytest.CaptureFixture[str]) -> list[tuple[str, str, str, str, str]]:
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines() if "admin.changed" in line]
    return [(line["audit_action"], line["target"], line["actor"], line["via"], line["client_host"]) for line in lines]


@pytest.mark.parametrize("event_filter", [EventFilter(), EventFilter(state="queued"), EventFilter(state="decided")])
async def test_only_dead_and_ended_events_are_replayed(operations: AdminOperations, event_filter: EventFilter) -> None:
    with pytest.raises(Rejection) as rejected:
        await operations.replay_page(bulk(filter=event_filter), rerun_done=False)
    assert rejected.value.status == 422


async def test_only_dead_letters_are_discarded(harness: WorkerHarness, operations: AdminOperations) -> None:
    with pytest.raises(Rejection) as rejected:
        await operations.discard_page(bulk(filter=EventFilter(state="ended")), "why")
    assert rejected.value.status == 422
    event_id = await harness.send()
    with pytest.raises(Rejection, match="is not a dead letter; its state is queued"):
        await operations.discard_event(event_id, "why")


async def test_an_empty_filter_requires_all(operations: AdminOperations) -> None:
    with pytest.raises(Rejection, match="or all to true"):
        await operations.replay_page(bulk(all=False), rerun_done=False)
    with pytest.raises(Rejection, match="or all to true"):
        await operations.discard_page(bulk(all=False), "why")


async def test_an_unknown_event_is_not_found(operations: AdminOperations) -> None:
    for change in (
        operations.replay_event("0" * 32, rerun_done=True, dry_run=False),
        operations.discard_event("0", ""),
    ):
        with pytest.raises(Rejection) as rejected:
            await change
        assert rejected.value.status == 404


async def test_a_dry_run_changes_nothing(
    harness: WorkerHarness, operations: AdminOperations, capfd: pytest.CaptureFixture[str]
) -> None:
    [event_id] = await make_dead_letters(harness)
    for page in (
        await operations.replay_page(bulk(dry_run=True), rerun_done=False),
        await operations.discard_page(bulk(dry_run=True), "why"),
    ):
        assert [(change.event_id, change.result) for change in page.items] == [(event_id, "planned")]
    change = await operations.replay_event(event_id, rerun_done=False, dry_run=True)
    assert (change.result, change.destination) == ("planned", "effects")
    assert (await harness.stored_event(event_id))["state"] == "dead"
    assert audited(capfd) == []


async def test_every_change_is_logged_with_actor_and_client_host(
    harness: WorkerHarness, operations: AdminOperations, capfd: pytest.CaptureFixture[str]
) -> None:
    first, second = await make_dead_letters(harness, 2)
    capfd.readouterr()
    await operations.replay_event(first, rerun_done=False, dry_run=False)
    await operations.discard_event(second, "sent by mistake")
    assert audited(capfd) == [
        ("event.replayed", first, "ann", "command", "host-7"),
        ("dead_letter.discarded", second, "ann", "command", "host-7"),
    ]
    assert (await harness.stored_event(second))["reason"] == "sent by mistake"


@pytest.mark.parametrize(("hours", "days"), [(24.0, 3), (24.0 * 40, 40)])
async def test_a_discarded_event_is_kept_as_long_as_the_longest_dedupe_window(
    harness: WorkerHarness, hours: float, days: int
) -> None:
    """Commands have the settings of the environment, which do not know the windows of the sources."""
    [event_id] = await make_dead_letters(harness)
    config = structs.replace(CONFIG, sources={"shop": SourceConfig(platform="pack", dedupe_hours=hours)})
    installation = installation_of(lambda: harness.store, config)
    await AdminOperations(installation, ANN).discard_event(event_id, "why")
    kept_ms: int = await harness.store.client.command("PTTL", f"wb:history:{event_id}")
    assert round(kept_ms / 86_400_000, 1) == days


async def test_an_event_in_progress_is_not_replayed(
    harness: WorkerHarness, operations: AdminOperations, capfd: pytest.CaptureFixture[str]
) -> None:
    [event_id] = await make_dead_letters(harness)
    await operations.replay_event(event_id, rerun_done=False, dry_run=False)
    capfd.readouterr()
    change = await operations.replay_event(event_id, rerun_done=True, dry_run=False)
    assert (change.result, bool(change.reason)) == ("in_progress", True)
    assert audited(capfd) == []
    await harness.run_worker()
    assert len(harness.idempotency_keys()) == 2  # one effect each, none twice


async def test_done_effects_are_repeated_with_rerun_done_only(
    harness: WorkerHarness, operations: AdminOperations
) -> None:
    event_id = await harness.send()
    await harness.run_worker()
    ended = bulk(filter=EventFilter(state="ended"))
    page = await operations.replay_page(ended, rerun_done=False)
    assert [(change.result, "rerun_done" in str(change.reason)) for change in page.items] == [("skipped", True)]
    page = await operations.replay_page(ended, rerun_done=True)
    assert [change.result for change in page.items] == ["replayed"]
    await harness.run_worker()
    assert sorted(harness.idempotency_keys()) == sorted(
        sent_key(f"{event_id}:{rule}:claim:{generation}")
        for rule in ("short-receipt", "other")
        for generation in (0, 1)
    )


@pytest.mark.parametrize("steps", range(1, 12))
async def test_an_interrupted_page_logs_every_change(
    steps: int, harness: WorkerHarness, operations: AdminOperations, capfd: pytest.CaptureFixture[str]
) -> None:
    await make_dead_letters(harness, 3)
    capfd.readouterr()
    page = asyncio.ensure_future(operations.replay_page(bulk(rate=1_000), rerun_done=False))
    while steps and not page.done():  # each parameter interrupts the page at another point
        await asyncio.sleep(0.0005)
        steps -= 1
    page.cancel()
    await asyncio.gather(page, return_exceptions=True)
    left = await harness.store.client.command("ZCARD", "wb:dead")
    assert len(audited(capfd)) == 3 - left


async def test_all_matching_events_are_replayed_within_the_rate(
    harness: WorkerHarness, operations: AdminOperations
) -> None:
    ids = await make_dead_letters(harness, 9)
    started, changes, after = time.monotonic(), list[EventChange](), None
    while True:
        request = bulk(filter=EventFilter(state="dead", rule="short-receipt"), all=False, limit=4, rate=30, after=after)
        page = await operations.replay_page(request, rerun_done=False)
        changes += page.items
        after = page.next
        if after is None:
            break
    assert time.monotonic() - started >= 9 / 30
    assert sorted(change.event_id for change in changes) == sorted(ids)
    assert {(change.result, change.destination) for change in changes} == {("replayed", "effects")}
    await harness.run_worker()
    assert len(harness.idempotency_keys()) == len(set(harness.idempotency_keys())) == 18


async def test_a_bulk_replay_continues_from_its_cursor_without_repetition(
    harness: WorkerHarness, operations: AdminOperations
) -> None:
    await make_dead_letters(harness, 6)
    first = await operations.replay_page(bulk(limit=3), rerun_done=False)
    await harness.run_worker()
    repeated = await operations.replay_page(bulk(limit=3, after=None, dry_run=True), rerun_done=False)
    assert {change.event_id for change in repeated.items}.isdisjoint(change.event_id for change in first.items)
    rest = await operations.replay_page(bulk(limit=50, after=first.next), rerun_done=False)
    assert (len(first.items), len(rest.items), rest.next) == (3, 3, None)
    await harness.run_worker()
    assert len(harness.idempotency_keys()) == len(set(harness.idempotency_keys())) == 12


async def test_an_event_that_dies_again_is_replayed_once_per_run(
    harness: WorkerHarness, operations: AdminOperations
) -> None:
    await make_dead_letters(harness, 4)
    seen: list[str] = []
    after: str | None = None
    while True:
        page = await operations.replay_page(bulk(limit=2, after=after), rerun_done=False)
        seen += [change.event_id for change in page.items]
        harness.sandbox.sandbox.faults.add(Fault(match="/_sandbox/sink/claims", status=400, times=len(page.items)))
        await harness.run_worker()
        after = page.next
        if after is None:
            break
    assert len(seen) == len(set(seen)) == 4
    assert len((await operations.replay_page(bulk(dry_run=True), rerun_done=False)).items) == 4


async def test_an_erased_event_is_gone(harness: WorkerHarness, operations: AdminOperations) -> None:
    [event_id] = await make_dead_letters(harness)
    await harness.store.client.command("DEL", f"wb:history:{event_id}")
    await harness.store.client.command("DEL", f"wb:delivery:{event_id}")
    change = await operations.replay_event(event_id, rerun_done=False, dry_run=False)
    assert change.result in {"skipped", "gone"}
