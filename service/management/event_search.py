"""Lists of events over all indexes and stores, newest first, and search by id.

A page reads a limited number of events. A page may therefore be short or empty and still have a `next`; only a page
without `next` is the last one.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Literal

from msgspec import Struct, structs

from service.errors import Rejection
from service.ingestion.dedupe_keys import dedupe_key_of_id
from service.ingestion.sources import Source
from service.management.event_filter import Cursor, EventFilter, format_timestamp, to_epoch_ms
from service.management.event_ids import find_event_ids
from service.management.event_view import (
    EventView,
    effects_of,
    locate_event,
    summarize,
    view_event,
    visibility_of,
)
from service.management.installation import InstallationOperations
from service.management.stores import NamedStore, NamedStores
from service.rules.stored_decisions import verdicts_of
from service.store.management.events import PAGE_EVENTS_MAX, EventSummary, Index

SCANNED_EVENTS_MAX = 20_000
"""Limit of events read for one page, per index and store."""

SCANNED_HISTORIES_MAX = 1_000
"""The same limit for a filter by the result of a rule, which is in the history of each event."""

SEARCH_PAGES_MAX = 50


class EventRow(Struct, frozen=True, kw_only=True):
    """Event in a list. `at` is the time of arrival, death or end; `error_kind` is the error of a dead letter.

    `effects` counts the effects of the decision, `effects_done` those of them that are done.
    """

    id: str
    at: str
    state: str
    outcome: str | None
    error_kind: str | None
    source: str
    type: str
    change: str
    record: str
    attempts: int
    effects: int
    effects_done: int
    store: str


class EventPage(Struct, frozen=True):
    """Page of events, and the cursor of the next page; null at the end."""

    items: Sequence[EventRow]
    next: str | None = None


class MatchedEvent(Struct, frozen=True):
    """Event found by its own id, by the sender's id, or by the record."""

    found_by: Literal["event_id", "sender_id", "record"]
    event: EventRow


class MatchedPage(Struct, frozen=True):
    """Result of a search; `complete` is False if the search stopped at its limit."""

    items: Sequence[MatchedEvent]
    complete: bool = True


class EventHit(Struct, frozen=True):
    """Event that matches a filter, and its store."""

    store: NamedStore
    summary: EventSummary

    @property
    def cursor(self) -> Cursor:
        """Cursor after the event."""
        return Cursor.of(self.summary)


class _Bounds(Struct, frozen=True):
    """Limits of one scan: events found and events read."""

    events_max: int
    scanned_max: int


class _Slice(Struct, frozen=True):
    """Result of one scan; `reached` is the cursor to continue from, None at the end of the index."""

    hits: Sequence[EventHit]
    reached: Cursor | None


async def find_events(
    stores: NamedStores,
    event_filter: EventFilter,
    events_max: int,
    after: Cursor | None,
    scanned_max: int = SCANNED_EVENTS_MAX,
) -> tuple[list[EventHit], Cursor | None]:
    """Find at most `events_max` events after a cursor, newest first.

    Returns:
        The events, and the cursor to continue from; None at the end.

    Raises:
        StoreUnavailable: A store does not answer.
    """
    bounds = _Bounds(events_max + 1, min(scanned_max, SCANNED_HISTORIES_MAX) if event_filter.verdict else scanned_max)
    scans = [_scan(named, index, event_filter, after, bounds) for named in stores for index in event_filter.indexes]
    slices = await asyncio.gather(*scans)
    # Events before the cursor of an unfinished scan would be out of order: that scan has not read so far.
    floor = max((part.reached for part in slices if part.reached is not None), default=None)
    ids: dict[str, EventHit] = {}
    for hit in sorted((hit for part in slices for hit in part.hits), key=lambda hit: hit.cursor, reverse=True):
        if floor is None or hit.cursor >= floor:
            ids.setdefault(hit.summary.id, hit)
    hits = list(ids.values())
    if len(hits) > events_max:
        return hits[:events_max], hits[events_max - 1].cursor
    return hits, floor


class EventOperations(InstallationOperations):
    """Lists, searches and views of events."""

    async def list_events(self, event_filter: EventFilter, limit: int, after: str | None) -> EventPage:
        """Return one page of events.

        Raises:
            Rejection: 422 `invalid`: `after` is not a cursor.
            StoreUnavailable: A store does not answer.
        """
        hits, cursor = await find_events(self.stores, event_filter, limit, Cursor.parse(after))
        return EventPage([row_of(hit) for hit in hits], cursor and cursor.format())

    async def search_events(self, text: str, limit: int) -> MatchedPage:
        """Find events by id or a prefix of it, by the sender's id, or by the id or lane of the record.

        The sender's id requires a configuration.

        Raises:
            StoreUnavailable: A store does not answer.
        """
        sources: Mapping[str, Source] = self.installation.sources() if self.installation.is_configured else {}
        found: dict[str, MatchedEvent] = {}
        own_ids = [text, *(await find_event_ids(self.stores, text))[:limit]]
        sender_ids = await _ids_by_sender_id(self.stores, sources, text)
        ids = dict.fromkeys(own_ids, "event_id") | dict.fromkeys(sender_ids, "sender_id")
        for event_id, by in ids.items():
            hit = await _by_id(self.stores, event_id)
            if hit is not None:
                found[event_id] = MatchedEvent("event_id" if by == "event_id" else "sender_id", row_of(hit))
        after: Cursor | None = None
        for _ in range(SEARCH_PAGES_MAX):
            hits, after = await find_events(self.stores, EventFilter(record=text), limit, after)
            for hit in hits:
                found.setdefault(hit.summary.id, MatchedEvent("record", row_of(hit)))
            if after is None or len(found) >= limit:
                break
        return MatchedPage(list(found.values())[:limit], after is None and len(found) <= limit)

    async def get_event(self, event_id: str, *, raw: bool, dead_only: bool = False) -> EventView:
        """Return one event; with `dead_only`, only if the event is a dead letter.

        Raises:
            Rejection: 403 `permission_denied`: `raw` without the role admin; 404 `not_found`.
            StoreUnavailable: A store does not answer.
        """
        visibility = visibility_of(self.actor, raw=raw)
        named, shown = await locate_event(self.stores, event_id)
        if dead_only and shown["state"] != "dead":
            raise Rejection(
                404, "not_found", f"Event {event_id[:64]} is not a dead letter; its state is {shown['state']}."
            )
        at_ms = await named.inspector.event_time_ms(shown["id"])
        return view_event(named.name, shown, at_ms, visibility)


def row_of(hit: EventHit) -> EventRow:
    """Return the row of an event."""
    summary = hit.summary
    return EventRow(
        id=summary.id,
        at=format_timestamp(summary.at_ms),
        state=summary.state,
        outcome=summary.outcome or None,
        error_kind=summary.error_kind or None,
        source=summary.source,
        type=summary.type,
        change=summary.change,
        record=summary.record,
        attempts=summary.attempts,
        effects=len(summary.ledger),
        effects_done=summary.ledger.count("d"),
        store=hit.store.name,
    )


async def matches_filter(named: NamedStore, event_filter: EventFilter, summary: EventSummary) -> bool:
    """Return whether an event of one of the indexes of a filter matches, without `since` and `until`.

    Raises:
        StoreUnavailable: The store does not answer.
    """
    return event_filter.matches(summary) and await _matches_rule(named, event_filter, summary)


async def _scan(
    named: NamedStore, index: Index, event_filter: EventFilter, after: Cursor | None, bounds: _Bounds
) -> _Slice:
    """Scan one index of one store."""
    since, scanned = to_epoch_ms(event_filter.since) or 0, 0
    hits: list[EventHit] = []
    async for summary in newest_first(named, index, _highest(event_filter, after), after):
        if summary.at_ms < since:
            break
        if await matches_filter(named, event_filter, summary):
            hits.append(EventHit(named, summary))
        scanned += 1
        if len(hits) >= bounds.events_max or scanned >= bounds.scanned_max:
            return _Slice(hits, Cursor.of(summary))
    return _Slice(hits, None)


def _highest(event_filter: EventFilter, after: Cursor | None) -> int | None:
    bounds = to_epoch_ms(event_filter.until), after and after.at_ms
    return min((bound for bound in bounds if bound is not None), default=None)


async def newest_first(
    named: NamedStore, index: Index, highest: int | None, after: Cursor | None
) -> AsyncGenerator[EventSummary]:
    """Yield the events of one index after a cursor, each once, although events arrive and end in the meantime."""
    position, offset = after, 0
    while True:
        page = await named.store.events.page(index, PAGE_EVENTS_MAX, highest, offset)
        for summary in page:
            if position is None or Cursor.of(summary) < position:
                position = Cursor.of(summary)
                yield summary
        if len(page) < PAGE_EVENTS_MAX:
            return
        # The index is read by the millisecond, and one millisecond may hold more events than a page.
        lowest = page[-1].at_ms
        read = sum(summary.at_ms == lowest for summary in page)
        offset = offset + read if lowest == highest else read
        highest = lowest


async def _matches_rule(named: NamedStore, event_filter: EventFilter, summary: EventSummary) -> bool:
    """Return whether the decision of an event matches `rule` and `verdict` of the filter."""
    rule, expected = event_filter.rule, event_filter.verdict
    if rule is None and expected is None:
        return True
    if expected is None and not summary.ledger:
        return False
    shown = await named.store.events.get(summary.id)
    if shown is None:
        return False
    if expected is not None:
        verdicts = verdicts_of(shown["history"]).values()
        return any(verdict["result"] == expected and rule in {None, verdict["rule_id"]} for verdict in verdicts)
    includes_done = summary.state != "dead"
    return any(effect.rule_id == rule and (includes_done or effect.state != "done") for effect in effects_of(shown))


async def _ids_by_sender_id(stores: NamedStores, sources: Mapping[str, Source], text: str) -> list[str]:
    """Return the ids of the events with the sender's id `text`."""
    pairs = [(named, name) for named in stores for name in sources]
    found = await asyncio.gather(
        *(named.inspector.event_id_of_key(name, dedupe_key_of_id(name, text)) for named, name in pairs)
    )
    return [event_id for event_id in found if event_id is not None]


async def _by_id(stores: NamedStores, event_id: str) -> EventHit | None:
    for named in stores:
        shown = await named.store.events.get(event_id)
        if shown is not None:
            summary = summarize(shown)
            return EventHit(named, structs.replace(summary, at_ms=await named.inspector.event_time_ms(event_id)))
    return None
