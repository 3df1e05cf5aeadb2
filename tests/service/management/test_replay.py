"""Putting events back and discarding dead letters: told before, held to a rate, stopped and taken up anywhere."""

import asyncio
import json
import time

import pytest
from msgspec import structs

from service.errors import Rejection
from service.management.event_filter import EventFilter
from service.management.replay import BulkRequest, EventChange, discard_event, discard_page, replay_event, replay_page
from service.management.stores import NamedStore
from service.sandbox.faults import Fault
from tests.service.management.conftest import ANN, kill
from tests.workers.harness import WorkerHarness

pytestmark = pytest.mark.store

DEAD = EventFilter(state="dead")


def bulk(**values: object) -> BulkRequest:
    return structs.replace(BulkRequest(filter=DEAD, all=True, dry_run=False, rate=1_000), **values)


def told(capfd: pytest.CaptureFixture[str]) -> list[tuple[str, str, str, str, str]]:
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines() if "admin.changed" in line]
    return [(line["audit_action"], line["target"], line["actor"], line["via"], line["client_host"]) for line in lines]


@pytest.mark.parametrize("wanted", [EventFilter(), EventFilter(state="queued"), EventFilter(state="decided")])
async def test_only_what_is_over_is_put_back(places: list[NamedStore], wanted: EventFilter) -> None:
    with pytest.raises(Rejection) as refused:
        await replay_page(places, ANN, bulk(filter=wanted), rerun_done=False)
    assert refused.value.status == 422


async def test_only_dead_letters_are_discarded(house: WorkerHarness, places: list[NamedStore]) -> None:
    with pytest.raises(Rejection) as refused:
        await discard_page(places, ANN, bulk(filter=EventFilter(state="ended")), "why")
    assert refused.value.status == 422
    event_id = await house.send()
    with pytest.raises(Rejection, match="is no dead letter; it is queued"):
        await discard_event(places, ANN, event_id, "why")


async def test_nothing_is_done_to_all_unless_all_are_named(places: list[NamedStore]) -> None:
    with pytest.raises(Rejection, match="or that `all` are"):
        await replay_page(places, ANN, bulk(all=False), rerun_done=False)
    with pytest.raises(Rejection, match="or that `all` are"):
        await discard_page(places, ANN, bulk(all=False), "why")


async def test_an_event_that_is_not_there_is_not_found(places: list[NamedStore]) -> None:
    for change in (
        replay_event(places, ANN, "0" * 32, rerun_done=True, dry_run=False),
        discard_event(places, ANN, "0", ""),
    ):
        with pytest.raises(Rejection) as refused:
            await change
        assert refused.value.status == 404


async def test_a_dry_run_tells_and_does_nothing(
    house: WorkerHarness, places: list[NamedStore], capfd: pytest.CaptureFixture[str]
) -> None:
    [event_id] = await kill(house)
    for page in (
        await replay_page(places, ANN, bulk(dry_run=True), rerun_done=False),
        await discard_page(places, ANN, bulk(dry_run=True), "why"),
    ):
        assert [(change.event_id, change.result) for change in page.items] == [(event_id, "planned")]
    change = await replay_event(places, ANN, event_id, rerun_done=False, dry_run=True)
    assert (change.result, change.destination) == ("planned", "effects")
    assert (await house.stored_event(event_id))["state"] == "dead"
    assert told(capfd) == []


async def test_every_change_is_told_with_who_and_from_where(
    house: WorkerHarness, places: list[NamedStore], capfd: pytest.CaptureFixture[str]
) -> None:
    first, second = await kill(house, 2)
    capfd.readouterr()
    await replay_event(places, ANN, first, rerun_done=False, dry_run=False)
    await discard_event(places, ANN, second, "sent by mistake")
    assert told(capfd) == [
        ("event.replayed", first, "ann", "command", "desk-7"),
        ("dead_letter.discarded", second, "ann", "command", "desk-7"),
    ]
    assert (await house.stored_event(second))["reason"] == "sent by mistake"


async def test_an_event_under_way_is_told_of_and_left_alone(
    house: WorkerHarness, places: list[NamedStore], capfd: pytest.CaptureFixture[str]
) -> None:
    [event_id] = await kill(house)
    await replay_event(places, ANN, event_id, rerun_done=False, dry_run=False)
    capfd.readouterr()
    change = await replay_event(places, ANN, event_id, rerun_done=True, dry_run=False)
    assert (change.result, change.reason) == ("in_progress", "it is in progress")
    assert told(capfd) == []
    await house.run_worker()
    assert len(house.idempotency_keys()) == 2  # one effect each, none twice


async def test_what_is_done_is_repeated_only_on_again(house: WorkerHarness, places: list[NamedStore]) -> None:
    event_id = await house.send()
    await house.run_worker()
    ended = bulk(filter=EventFilter(state="ended"))
    page = await replay_page(places, ANN, ended, rerun_done=False)
    assert [(change.result, "rerun_done" in str(change.reason)) for change in page.items] == [("skipped", True)]
    page = await replay_page(places, ANN, ended, rerun_done=True)
    assert [change.result for change in page.items] == ["replayed"]
    await house.run_worker()
    assert sorted(house.idempotency_keys()) == sorted(
        f"{event_id}:{rule}:claim:{generation}" for rule in ("short-receipt", "other") for generation in (0, 1)
    )


@pytest.mark.parametrize("steps", range(1, 12))
async def test_a_walk_that_is_stopped_tells_of_all_it_changed(
    steps: int, house: WorkerHarness, places: list[NamedStore], capfd: pytest.CaptureFixture[str]
) -> None:
    await kill(house, 3)
    capfd.readouterr()
    walk = asyncio.ensure_future(replay_page(places, ANN, bulk(rate=1_000), rerun_done=False))
    while steps and not walk.done():  # a fresh point to be stopped at each time
        await asyncio.sleep(0.0005)
        steps -= 1
    walk.cancel()
    await asyncio.gather(walk, return_exceptions=True)
    left = await house.store.client.command("ZCARD", "wb:dead")
    assert len(told(capfd)) == 3 - left


async def test_all_that_fit_are_put_back_page_by_page_at_a_rate(house: WorkerHarness, places: list[NamedStore]) -> None:
    ids = await kill(house, 9)
    began, changes, after = time.monotonic(), list[EventChange](), None
    while True:
        order = bulk(filter=EventFilter(state="dead", rule="short-receipt"), all=False, limit=4, rate=30, after=after)
        page = await replay_page(places, ANN, order, rerun_done=False)
        changes += page.items
        after = page.next
        if after is None:
            break
    assert time.monotonic() - began >= 9 / 30
    assert sorted(change.event_id for change in changes) == sorted(ids)
    assert {(change.result, change.destination) for change in changes} == {("replayed", "effects")}
    await house.run_worker()
    assert len(house.idempotency_keys()) == len(set(house.idempotency_keys())) == 18


async def test_a_walk_that_was_cut_off_is_taken_up_and_repeats_nothing(
    house: WorkerHarness, places: list[NamedStore]
) -> None:
    await kill(house, 6)
    first = await replay_page(places, ANN, bulk(limit=3), rerun_done=False)
    await house.run_worker()
    repeated = await replay_page(places, ANN, bulk(limit=3, after=None, dry_run=True), rerun_done=False)
    assert {change.event_id for change in repeated.items}.isdisjoint(change.event_id for change in first.items)
    rest = await replay_page(places, ANN, bulk(limit=50, after=first.next), rerun_done=False)
    assert (len(first.items), len(rest.items), rest.next) == (3, 3, None)
    await house.run_worker()
    assert len(house.idempotency_keys()) == len(set(house.idempotency_keys())) == 12


async def test_those_that_die_again_are_not_met_again_in_the_same_walk(
    house: WorkerHarness, places: list[NamedStore]
) -> None:
    await kill(house, 4)
    seen: list[str] = []
    after: str | None = None
    while True:
        page = await replay_page(places, ANN, bulk(limit=2, after=after), rerun_done=False)
        seen += [change.event_id for change in page.items]
        house.sandbox.sandbox.faults.add(Fault(match="/_sandbox/sink/claims", status=400, times=len(page.items)))
        await house.run_worker()
        after = page.next
        if after is None:
            break
    assert len(seen) == len(set(seen)) == 4
    assert len((await replay_page(places, ANN, bulk(dry_run=True), rerun_done=False)).items) == 4


async def test_an_erased_event_is_gone(house: WorkerHarness, places: list[NamedStore]) -> None:
    [event_id] = await kill(house)
    await house.store.client.command("DEL", f"wb:history:{event_id}")
    await house.store.client.command("DEL", f"wb:delivery:{event_id}")
    change = await replay_event(places, ANN, event_id, rerun_done=False, dry_run=False)
    assert change.result in {"skipped", "gone"}
