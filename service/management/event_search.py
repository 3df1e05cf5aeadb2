"""Events of all indexes and stores, newest first, page by page; and what a search finds.

A page looks at a bounded number of events. Where few of many fit it may come back short, or empty, with a `next` to go
on from: only a page without `next` is the last one.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Literal

from msgspec import Struct, structs

from service.ingestion.sources import Source, dedupe_key_of_id
from service.management.event_filter import Cursor, EventFilter, format_timestamp, to_epoch_ms
from service.management.event_view import effects_of, summarize
from service.management.stores import NamedStore, NamedStores
from service.store.management.events import PAGE_EVENTS_MAX, EventSummary, Index

SCANNED_EVENTS_MAX = 20_000
"""Looked at for one page, per index and store."""

SEARCH_PAGES_MAX = 50


class EventRow(Struct, frozen=True, kw_only=True):
    """An event in one row. `at` is when it arrived, died or ended; `outcome` how it ended.

    `error_kind` is a dead letter's error.

    `store` is the store that holds it, `effects` how many its decision asked for, of which `effects_done` are done.
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
    """One page, and where the next one begins; at the end that is null."""

    items: Sequence[EventRow]
    next: str | None = None


class MatchedEvent(Struct, frozen=True):
    """What a search found, and by what: Waybill's own id, the sender's id, or the record's."""

    found_by: Literal["event_id", "sender_id", "record"]
    event: EventRow


class MatchedPage(Struct, frozen=True):
    """Everything a search found; `complete` is False where there was too much to look at it all."""

    items: Sequence[MatchedEvent]
    complete: bool = True


class EventHit(Struct, frozen=True):
    """An event that is meant, and where it lies."""

    store: NamedStore
    summary: EventSummary

    @property
    def cursor(self) -> Cursor:
        """The cursor behind it."""
        return Cursor.of(self.summary)


class _Bounds(Struct, frozen=True):
    """How many events one look may find, and how many it may look at."""

    events_max: int
    scanned_max: int


class _Slice(Struct, frozen=True):
    """What one index of one store gave; `reached` is where it goes on, None at its end."""

    hits: Sequence[EventHit]
    reached: Cursor | None


async def find_events(
    places: NamedStores,
    event_filter: EventFilter,
    events_max: int,
    after: Cursor | None,
    scanned_max: int = SCANNED_EVENTS_MAX,
) -> tuple[list[EventHit], Cursor | None]:
    """Find at most `events_max` events behind a cursor, newest first, and say where to go on.

    Raises:
        StoreUnavailable: a store does not answer.
    """
    bounds = _Bounds(events_max + 1, scanned_max)
    looks = [_scan(place, index, event_filter, after, bounds) for place in places for index in event_filter.indexes]
    slices = await asyncio.gather(*looks)
    # Behind the first place where a slice stopped, others may hold what that one was not asked for yet.
    floor = max((part.reached for part in slices if part.reached is not None), default=None)
    ids: dict[str, EventHit] = {}
    for hit in sorted((hit for part in slices for hit in part.hits), key=lambda hit: hit.cursor, reverse=True):
        if floor is None or hit.cursor >= floor:
            ids.setdefault(hit.summary.id, hit)
    hits = list(ids.values())
    if len(hits) > events_max:
        return hits[:events_max], hits[events_max - 1].cursor
    return hits, floor


async def list_events(places: NamedStores, event_filter: EventFilter, limit: int, after: str | None) -> EventPage:
    """Give one page of events.

    Raises:
        Refusal: `after` is no cursor.
        StoreUnavailable: a store does not answer.
    """
    hits, following = await find_events(places, event_filter, limit, Cursor.read(after))
    return EventPage([row_of(hit) for hit in hits], following and following.write())


async def search_events(places: NamedStores, sources: Mapping[str, Source], text: str, limit: int) -> MatchedPage:
    """Find events by Waybill's own id, by the id a sender gave, or by the record's id or lane.

    Raises:
        StoreUnavailable: a store does not answer.
    """
    found: dict[str, MatchedEvent] = {}
    ids = {text: "event_id"} | dict.fromkeys(await _held_by(places, sources, text), "sender_id")
    for event_id, by in ids.items():
        hit = await _by_id(places, event_id)
        if hit is not None:
            found[event_id] = MatchedEvent("event_id" if by == "event_id" else "sender_id", row_of(hit))
    after: Cursor | None = None
    for _ in range(SEARCH_PAGES_MAX):
        hits, after = await find_events(places, EventFilter(record=text), limit, after)
        for hit in hits:
            found.setdefault(hit.summary.id, MatchedEvent("record", row_of(hit)))
        if after is None or len(found) >= limit:
            break
    return MatchedPage(list(found.values())[:limit], after is None and len(found) <= limit)


def row_of(hit: EventHit) -> EventRow:
    """Write an event as a row."""
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


async def _scan(
    place: NamedStore, index: Index, event_filter: EventFilter, after: Cursor | None, bounds: _Bounds
) -> _Slice:
    """Look through one index of one store."""
    since, scanned = to_epoch_ms(event_filter.since) or 0, 0
    hits: list[EventHit] = []
    async for summary in _newest_first(place, index, _highest(event_filter, after), after):
        if summary.at_ms < since:
            break
        if event_filter.matches(summary) and await _fits_rule(place, event_filter.rule, summary):
            hits.append(EventHit(place, summary))
        scanned += 1
        if len(hits) >= bounds.events_max or scanned >= bounds.scanned_max:
            return _Slice(hits, Cursor.of(summary))
    return _Slice(hits, None)


def _highest(event_filter: EventFilter, after: Cursor | None) -> int | None:
    bounds = to_epoch_ms(event_filter.until), after and after.at_ms
    return min((bound for bound in bounds if bound is not None), default=None)


async def _newest_first(
    place: NamedStore, index: Index, highest: int | None, after: Cursor | None
) -> AsyncGenerator[EventSummary]:
    """Give the events of one index behind a cursor, none twice though others arrive and end meanwhile."""
    position, passed_over = after, 0
    while True:
        page = await place.store.events.page(index, PAGE_EVENTS_MAX, highest, passed_over)
        for summary in page:
            if position is None or Cursor.of(summary) < position:
                position = Cursor.of(summary)
                yield summary
        if len(page) < PAGE_EVENTS_MAX:
            return
        # The index is asked by the millisecond, and more events than a page holds can have died in one.
        lowest = page[-1].at_ms
        behind = sum(summary.at_ms == lowest for summary in page)
        passed_over = passed_over + behind if lowest == highest else behind
        highest = lowest


async def _fits_rule(place: NamedStore, rule: str | None, summary: EventSummary) -> bool:
    if rule is None:
        return True
    if not summary.ledger:
        return False
    shown = await place.store.events.get(summary.id)
    effects = effects_of(shown) if shown else []
    done_too = summary.state != "dead"
    return any(effect.rule_id == rule and (done_too or effect.state != "done") for effect in effects)


async def _held_by(places: NamedStores, sources: Mapping[str, Source], text: str) -> list[str]:
    """The ids of the events to which senders gave the id `text`."""
    asked = [(place, name) for place in places for name in sources]
    held = await asyncio.gather(
        *(place.overview.event_id_of_key(name, dedupe_key_of_id(name, text)) for place, name in asked)
    )
    return [event_id for event_id in held if event_id is not None]


async def _by_id(places: NamedStores, event_id: str) -> EventHit | None:
    for place in places:
        shown = await place.store.events.get(event_id)
        if shown is not None:
            summary = summarize(shown)
            return EventHit(place, structs.replace(summary, at_ms=await place.overview.event_time_ms(event_id)))
    return None
