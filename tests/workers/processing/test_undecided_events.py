"""Records that are kept for events that wait for a look-up: taken once, limited in bytes, number and age."""

import gc
import time
import weakref
from typing import Any

import pytest

from service.events import RecordRef
from service.lookups import RecordLookups
from service.platforms.base import FetchedRecord
from service.rules.lookups import LookedUpRecord
from tests.service.rules.rule_samples import order
from workers.processing import undecided_events
from workers.processing.undecided_events import UndecidedEvents


def put(events: UndecidedEvents, event_id: str, body_bytes: int = 0) -> None:
    found = {
        "a": LookedUpRecord(ref=RecordRef("a", "supplier", "1"), record=order()),
        "b": LookedUpRecord(ref=RecordRef("a", "supplier", "2"), error_kind="missing"),
    }
    fetched = FetchedRecord(order(), {}, None, "d", 200, "get", 1.0, body_bytes)
    events.put(event_id, fetched, RecordLookups(found, 10))


def test_records_that_were_found_are_taken_once() -> None:
    events = UndecidedEvents(100)
    put(events, "e1")
    kept = events.take("e1")
    assert kept is not None
    assert (list(kept.found), kept.lookup_bytes) == (["a"], 10), "a missing record is looked up again"
    assert events.take("e1") is None


def test_the_oldest_events_beyond_a_limit_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    events = UndecidedEvents(100)
    for event_id in ("e1", "e2"):
        put(events, event_id, 40)  # with 10 bytes of look-ups: 100 bytes together
    put(events, "e2", 40)
    put(events, "e3", 40)
    assert [events.take(event_id) is not None for event_id in ("e1", "e2", "e3")] == [False, True, True]
    put(events, "largest", 90)
    assert events.take("largest") is not None
    monkeypatch.setattr(undecided_events, "UNDECIDED_EVENTS_MAX", 1)
    put(events, "e1")
    put(events, "e2")
    assert [events.take(event_id) is not None for event_id in ("e1", "e2")] == [False, True]


def test_old_records_are_fetched_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undecided_events, "UNDECIDED_SECONDS_MAX", 0.0)
    events = UndecidedEvents(100)
    put(events, "e1")
    assert events.take("e1") is None


def test_an_event_above_the_limit_drops_no_other() -> None:
    events = UndecidedEvents(100)
    put(events, "e1", 40)
    put(events, "large", 91)
    assert [events.take(event_id) is not None for event_id in ("e1", "large")] == [True, False]


def test_old_records_of_other_events_are_removed_from_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    class Body(dict[str, Any]):
        """A body that the test can refer to without keeping it."""

    events = UndecidedEvents(100)
    monkeypatch.setattr(undecided_events, "UNDECIDED_SECONDS_MAX", 0.01)
    body = Body()
    events.put("old", FetchedRecord(order(), body, None, "d", 200, "get", 1.0), RecordLookups())
    kept = weakref.ref(body)
    del body
    assert kept() is not None
    time.sleep(0.02)
    put(events, "new")
    gc.collect()
    assert kept() is None
