"""Stored events by id or by time, and synthetic events."""

from collections.abc import Mapping, Sequence

import msgspec

from service.events import EVENT_VERSION, ChangeType, Event, RecordRef, new_event_id
from service.platforms.base import Platform, is_hint
from service.store import Store


async def recent_events(stores: Sequence[Store], platforms: Mapping[str, Platform], events_max: int) -> list[Event]:
    """Return the newest stored events about records, newest first. Hints and expired events are left out.

    Raises:
        StoreUnavailable: A store does not answer.
    """
    ids: list[tuple[int, str, Store]] = []
    for store in stores:
        for index in ("ended", "open", "dead"):
            ids += [(found.at_ms, found.id, store) for found in await store.events.page(index, events_max * 2)]
    ids.sort(key=lambda entry: -entry[0])
    found: list[Event] = []
    # Twice as many are read, because hints and expired events do not count.
    for _, event_id, store in ids[: events_max * 2]:
        event = await stored_event(store, event_id)
        if event is not None and not is_hint(platforms, event.record):
            found.append(event)
        if len(found) == events_max:
            break
    return found


async def stored_event(store: Store, event_id: str) -> Event | None:
    """Return a stored event, or None. After the body has expired, the event is built from its history.

    Raises:
        StoreUnavailable: The store does not answer.
    """
    shown = await store.events.get(event_id)
    if shown is None:
        return None
    if shown["event"] is not None:
        return Event(**shown["event"])
    received = next((line for line in shown["history"] if line["entry"] == "received"), None)
    if received is None:
        return None
    ref = RecordRef(*received["record"].split(":", 2))
    event = synthetic_event(ref, received["change"], received["source"])
    return msgspec.structs.replace(event, id=event_id, type=received["type"], occurred_at=received["occurred_at"])


def synthetic_event(ref: RecordRef, change: ChangeType, source: str) -> Event:
    """Return an event that was not delivered, for a dry run."""
    name = f"{ref.kind}.{change}"
    return Event(EVENT_VERSION, new_event_id(), source, name, change, ref, None, {}, None, b"")
