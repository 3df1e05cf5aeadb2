"""Older states, states decided before, records that are gone: nothing is dropped, missed or told twice."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from msgspec import structs

from service.events import EVENT_VERSION, ChangeType, Event, RecordRef, new_event_id
from service.platforms.base import FetchedRecord
from service.records import PurchaseOrder
from service.settings import Settings
from tests.workers.harness import House, open_house
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
async def house(make_settings: Callable[..., Settings]) -> AsyncIterator[House]:
    settings = make_settings(backoff_base_seconds=0.02, lease_seconds=2, stale_read_wait_seconds=1.2)
    async with open_house(settings) as opened:
        await opened.publish(TURNED)
        yield opened


def hold(house: House, status: str, updated_at: str, **fields: object) -> None:
    """What the platform shows from now on."""
    order = {"id": "po-1", "status": status, "updated_at": updated_at}
    house.sandbox.sandbox.catalog.put("pack_cloud", "purchase_order", "po-1", order | fields)


def told(house: House, what: str) -> list[Any]:
    return [body for body in house.sunk() if (what == "turned") == ("was" in body)]


async def decided(house: House, event_id: str) -> dict[str, Any]:
    return next(line for line in (await house.story(event_id))["history"] if line["entry"] == "decided")


async def catch_up(house: House, status: str, updated_at: str) -> None:
    """Let the platform show the new state once it was asked too early."""
    fetch = house.dependencies.platforms["pack"].fetch

    async def late(ref: RecordRef, context: Any) -> FetchedRecord:
        fetched = await fetch(ref, context)
        hold(house, status, updated_at)
        return fetched

    house.dependencies.platforms["pack"].fetch = late  # type: ignore[method-assign]


# stale


async def test_a_state_older_than_its_event_is_waited_for_and_no_attempt_is_used_up(house: House) -> None:
    hold(house, "ordered", OLD)
    await house.send(at=OLD)
    await house.work()
    await catch_up(house, "received", NEW)
    event_id = await house.send(at=NEW)
    await house.work()
    outcomes = [line["outcome"] for line in house.said("attempt.finished") if line["event_id"] == event_id]
    assert outcomes == ["deferred", "matched"]
    assert (await house.story(event_id))["attempts"] == "1"
    assert "stale" not in await decided(house, event_id)
    assert told(house, "turned") == [{"was": "ordered", "is": "received"}]


async def test_a_platform_that_does_not_catch_up_is_decided_on_as_it_is_and_called_stale(house: House) -> None:
    hold(house, "ordered", OLD)
    event_id = await house.send(at=NEW)
    await house.work()
    story = await house.story(event_id)
    assert (story["state"], story["outcome"], story["attempts"]) == ("ended", "matched", "1")
    assert (await decided(house, event_id))["stale"] is True
    assert house.said("attempt.finished")[-1]["stale"] is True
    assert told(house, "seen") == [{"is": "ordered", "type": "updated"}]


async def test_the_transition_that_a_stale_decision_did_not_see_is_told_by_the_next_event_once(house: House) -> None:
    hold(house, "ordered", OLD)
    for at in (OLD, NEW):
        await house.send(at=at)
        await house.work()
    hold(house, "received", NEW)
    ids = [await house.send(at=NEW) for _ in range(3)]
    await house.work()
    assert told(house, "turned") == [{"was": "ordered", "is": "received"}]
    assert {(await house.story(event_id))["outcome"] for event_id in ids} == {"matched"}


async def test_an_older_state_after_a_newer_one_does_not_turn_the_record_back(house: House) -> None:
    hold(house, "received", NEW)
    await house.send(at=NEW)
    await house.work()
    hold(house, "ordered", OLD)  # a replica of the platform that lags
    await house.send(at=NEW)
    await house.work()
    hold(house, "received", NEW)
    last = await house.send(at=NEW)
    await house.work()
    assert {"was": "ordered", "is": "received"} not in told(house, "turned")
    assert (await house.story(last))["state"] == "ended"


# unchanged


async def test_a_burst_without_ids_is_told_once_per_change_and_state_and_every_event_ends(house: House) -> None:
    hold(house, "ordered", OLD)
    first = [await house.send(identified=False) for _ in range(3)]
    await house.work()
    hold(house, "received", NEW)
    second = [await house.send(identified=False) for _ in range(3)]
    await house.work()
    fates = [(await house.story(event_id))["outcome"] for event_id in [*first, *second]]
    assert fates == ["matched", "unchanged", "unchanged"] * 2
    assert [body["is"] for body in told(house, "seen")] == ["ordered", "received"]
    assert told(house, "turned") == [{"was": "ordered", "is": "received"}]


async def test_events_with_ids_on_one_state_are_each_decided_and_none_is_dropped(house: House) -> None:
    hold(house, "ordered", OLD)
    ids = [await house.send() for _ in range(4)]
    await house.work()
    assert {(await house.story(event_id))["outcome"] for event_id in ids} == {"matched"}
    assert len(told(house, "seen")) == 4
    assert told(house, "turned") == []


# deleted


async def test_what_came_before_a_deletion_is_decided_after_it_under_its_own_type(house: House) -> None:
    hold(house, "ordered", OLD)
    await house.send()
    await house.work()
    house.sandbox.sandbox.catalog.delete("pack_cloud", "purchase_order", "po-1")
    updated, deleted = await house.send(), await house.send(change="deleted")
    await house.work()
    assert [(await decided(house, event_id))["gone"] for event_id in (updated, deleted)] == [True, True]
    assert [body["type"] for body in told(house, "seen")][1:] == ["updated", "deleted"]
    assert [(await house.story(event_id))["state"] for event_id in (updated, deleted)] == ["ended", "ended"]


async def test_a_record_that_came_back_is_compared_with_what_was_known_before_it_went(house: House) -> None:
    hold(house, "ordered", OLD)
    await house.send()
    await house.work()
    house.sandbox.sandbox.catalog.delete("pack_cloud", "purchase_order", "po-1")
    await house.send(change="deleted")
    await house.work()
    hold(house, "received", NEW)
    await house.send()
    await house.work()
    assert told(house, "turned").count({"was": "ordered", "is": "received"}) == 1


# settling


async def test_an_event_settles_before_its_record_is_fetched_and_uses_up_no_attempt(house: House) -> None:
    house.dependencies = structs.replace(house.dependencies, stale_reads=StaleReadPolicy(house.settings, {"pack": 0.4}))
    event_id = await house.send()
    await house.work()
    outcomes = [line["outcome"] for line in house.said("attempt.finished")]
    assert set(outcomes[:-1]) == {"deferred"}
    assert outcomes[-1] == "matched"
    assert (await house.story(event_id))["attempts"] == "1"
    assert len(house.said("record.fetched")) == 1
    assert house.said("attempt.finished")[-1]["e2e_ms"] >= 400


@pytest.mark.parametrize("fetch_delay_seconds", [0.0, 5.0])
async def test_an_event_from_before_the_clock_was_set_back_waits_for_nothing(
    house: House, fetch_delay_seconds: float
) -> None:
    house.dependencies = structs.replace(
        house.dependencies, stale_reads=StaleReadPolicy(house.settings, {"pack": fetch_delay_seconds})
    )
    hold(house, "ordered", OLD)
    event_id = await house.send(at=NEW)
    await house.store.client.command("ZINCRBY", "wb:open", 3_600_000, event_id)
    await house.work()
    assert (await house.story(event_id))["state"] == "ended"


# what is provable


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
        ("2026-01-02T00:00:00", OLD, None),  # no offset: it may be anywhere
        ("yesterday", OLD, None),
        (NEW, OLD, True),
        (OLD, NEW, False),
        (NEW, NEW, False),
        ("2026-01-02T00:00:00.999Z", "2026-01-02T00:00:00.000000Z", False),  # a version in whole seconds
        ("2026-01-02T00:00:00.999Z", "2026-01-02T00:00:00.998000Z", True),
        ("2026-01-02T02:00:00+02:00", "2026-01-02T00:00:00.000000Z", False),
    ],
)
def test_a_state_is_older_only_where_both_moments_say_so(at: str | None, version: str | None, *, expected: Any) -> None:
    assert is_stale(event_of(at), fetched_of(version)) is expected


def test_a_record_that_is_gone_lags_behind_its_creation_only() -> None:
    assert is_stale(event_of(NEW, "created"), fetched_of(None, gone=True)) is True
    assert is_stale(event_of(NEW), fetched_of(None, gone=True)) is None


def test_a_sender_whose_moments_are_never_caught_up_with_is_not_waited_for_again() -> None:
    patience = StaleReadPolicy(Settings(stale_read_wait_seconds=10), {})
    late, old, new = event_of(NEW), fetched_of(OLD), fetched_of(NEW)
    for _ in range(FUTILE_WAITS_MAX):
        assert patience.wait_seconds(late, old, 1) > 0
        assert patience.wait_seconds(late, old, 11) == 0
    assert patience.wait_seconds(late, old, 1) == 0
    assert patience.wait_seconds(late, new, 1) == 0  # it caught up for once: waiting may help again
    assert patience.wait_seconds(late, old, 1) > 0
