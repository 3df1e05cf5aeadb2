"""Event ids by a unique prefix."""

import pytest

from service.errors import ConfigError, Rejection
from service.events import EVENT_VERSION, Event, RecordRef
from service.management import event_ids
from service.management.dry_run import Candidate
from service.management.event_ids import find_event_id, find_event_ids
from service.management.stores import name_stores
from service.store import Store
from tests.service.management.conftest import make_dead_letters, operations_on
from tests.workers.harness import WorkerHarness

pytestmark = pytest.mark.store

FIRST = "0193f0c0a0a07aaa8aaaaaaaaaaaaaaa"
SECOND = "0193f0c0a0a07bbb8bbbbbbbbbbbbbbb"
LATER = "0193f0c0ffff7ccc8ccccccccccccccc"


@pytest.fixture
async def events(store: Store) -> Store:
    for place, event_id in enumerate((FIRST, SECOND, LATER)):
        record = RecordRef("pack", "purchase_order", f"po-{place}")
        event = Event(EVENT_VERSION, event_id, "shop", "po", "updated", record, None, {}, None, b"{}")
        await store.ingest(event, event_id, 60_000)
    return store


@pytest.mark.parametrize("text", ["", "0193f", "0193F0C0FF", "0193f0c0*", "nobody", "0193f1", FIRST, FIRST + "0"])
async def test_text_that_begins_no_id_finds_nothing(events: Store, text: str) -> None:
    assert await find_event_id(name_stores([events]), text) is None


async def test_a_prefix_of_several_ids_is_rejected_with_the_ids(events: Store) -> None:
    with pytest.raises(Rejection) as rejected:
        await operations_on(events).get_event("0193f0c0a0a0", raw=False)
    assert (rejected.value.status, rejected.value.code) == (422, "invalid")
    assert f"{SECOND}, {FIRST}. Give more characters." in rejected.value.detail
    assert await find_event_ids(name_stores([events]), "0193f0") == [LATER, SECOND, FIRST]


async def test_a_unique_prefix_stands_for_the_id(events: Store) -> None:
    operations = operations_on(events)
    view = await operations.get_event("0193f0c0f", raw=False)
    assert (view.id, view.at is not None) == (LATER, True)
    assert [found.event.id for found in (await operations.search_events("0193f0c0f", 10)).items] == [LATER]
    # The event is found; the sample installation has no account for its record.
    with pytest.raises(ConfigError, match="platform account 'pack' not found"):
        await operations.dry_run_event(Candidate(rules=[]), "0193f0c0f")


async def test_a_dead_letter_is_changed_by_its_prefix(harness: WorkerHarness) -> None:
    [event_id] = await make_dead_letters(harness)
    operations = operations_on(harness.store)
    prefix = event_id[:14]
    assert (await operations.replay_event(prefix, rerun_done=False, dry_run=True)).event_id == event_id
    assert (await operations.discard_event(prefix, "why")).event_id == event_id
    view = await operations.get_event(prefix, raw=False)
    assert (view.id, view.outcome) == (event_id, "discarded")


async def test_ids_beyond_the_limit_are_not_compared(events: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_ids, "COMPARED_EVENTS_MAX", 0)
    assert await find_event_id(name_stores([events]), "0193f0c0f") is None
