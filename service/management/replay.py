"""Putting events back and discarding dead letters, by a person's wish: one, or page by page all that are meant.

A page holds a rate, and ends after a while with the cursor to go on from, so that a long walk can be stopped anywhere
and taken up again: what was put back has left the index or is under way, which is told, and never put back twice.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from service.errors import Rejection
from service.management.audit_log import Actor, log_admin_change, run_to_completion
from service.management.event_filter import Cursor, EventFilter
from service.management.event_search import EventHit, find_events
from service.management.event_view import locate_event
from service.management.stores import NamedStore, NamedStores
from service.store.management.replay import plan_replay

PAGE_SECONDS_MAX = 5.0
"""After this long a page ends where it is: whoever asked goes on with the next one."""

PAGE_EVENTS_MAX = 200
REASON_CHARACTERS_MAX = 500

ReplayResult = Literal["replayed", "discarded", "planned", "in_progress", "skipped", "gone"]

NOT_REPLAYED: dict[str, tuple[ReplayResult, str]] = {
    "open": ("in_progress", "it is in progress"),
    "gone": ("gone", "what it takes was erased or dropped"),
    "over": ("skipped", "what was asked for was done meanwhile"),
}
"""What the store did not put back, and why."""

PageLimit = Annotated[int, Meta(ge=1, le=PAGE_EVENTS_MAX, description="events of one page")]
Rate = Annotated[float, Meta(gt=0, le=1_000, description="events a second, at most")]
Reason = Annotated[
    str, Meta(min_length=1, max_length=REASON_CHARACTERS_MAX, description="why, for those who come after")
]


class EventChange(Struct, frozen=True):
    """What became of one event. `destination` of a replayed one: its lane, to be decided, or its effects.

    `planned`: a dry run found that it would be done. `in_progress`, `skipped`, `gone`: nothing was done, for `reason`.
    """

    event_id: str
    store: str
    result: ReplayResult
    destination: Literal["lane", "effects"] | None = None
    reason: str | None = None


class EventChangePage(Struct, frozen=True):
    """What became of each event of a page, and where to go on; null at the end."""

    items: list[EventChange]
    next: str | None = None


class BulkRequest(Struct, frozen=True, kw_only=True):
    """The events of a page: those that match `filter`, after the cursor `after`, or `all`. `dry_run` only reports."""

    filter: EventFilter
    all: bool = False
    dry_run: bool = True
    limit: PageLimit = 50
    rate: Rate = 50.0
    after: str | None = None


async def replay_event(
    places: NamedStores, operator: Actor, event_id: str, *, rerun_done: bool, dry_run: bool
) -> EventChange:
    """Put one event back.

    Raises:
        Rejection: 404 `not_found`.
        StoreUnavailable, StoreFull: not known to be done; may be repeated.
    """
    place, _ = await locate_event(places, event_id)
    return await run_to_completion(_replay(place, operator, event_id, rerun_done=rerun_done, dry_run=dry_run))


async def discard_event(places: NamedStores, operator: Actor, event_id: str, reason: str) -> EventChange:
    """End one dead letter for good.

    Raises:
        Rejection: 404 `not_found`, 409 `not_a_dead_letter`.
        StoreUnavailable: not known to be done; may be repeated.
    """
    place, shown = await locate_event(places, event_id)
    if shown["state"] != "dead":
        raise Rejection(409, "not_a_dead_letter", f"{event_id[:64]} is no dead letter; it is {shown['state']}.")
    return await run_to_completion(_discard(place, operator, event_id, reason, dry_run=False))


async def replay_page(places: NamedStores, operator: Actor, bulk: BulkRequest, *, rerun_done: bool) -> EventChangePage:
    """Put back a page of dead or ended events.

    Raises:
        Rejection: nothing narrows it down, or events that are not over are meant.
        StoreUnavailable, StoreFull: a part may be done; go on from the same cursor.
    """
    if bulk.filter.state not in {"dead", "ended"}:
        raise Rejection(422, "invalid", "Only events that are `dead` or `ended` can be put back.")

    def change(hit: EventHit) -> Coroutine[Any, Any, EventChange]:
        return _replay(hit.store, operator, hit.summary.id, rerun_done=rerun_done, dry_run=bulk.dry_run)

    return await _walk(places, bulk, change)


async def discard_page(places: NamedStores, operator: Actor, bulk: BulkRequest, reason: str) -> EventChangePage:
    """End a page of dead letters for good.

    Raises:
        Rejection: nothing narrows it down, or other events are meant.
        StoreUnavailable: a part may be done; go on from the same cursor.
    """
    if bulk.filter.state != "dead":
        raise Rejection(422, "invalid", "Only dead letters can be discarded.")

    def change(hit: EventHit) -> Coroutine[Any, Any, EventChange]:
        return _discard(hit.store, operator, hit.summary.id, reason, dry_run=bulk.dry_run)

    return await _walk(places, bulk, change)


async def _walk(
    places: NamedStores, bulk: BulkRequest, change: Callable[[EventHit], Coroutine[Any, Any, EventChange]]
) -> EventChangePage:
    """Change the events of a page one by one, no faster than the rate, and not much longer than a page may take."""
    if bulk.filter.is_unfiltered and not bulk.all:
        raise Rejection(422, "invalid", "Say which events are meant, or that `all` are.")
    hits, following = await find_events(places, bulk.filter, bulk.limit, Cursor.read(bulk.after))
    items: list[EventChange] = []
    began = time.monotonic()
    for hit in hits:
        items.append(await run_to_completion(change(hit)))
        spent = time.monotonic() - began
        if not bulk.dry_run:
            # Counted from the page's begin, so that a slow store does not slow it down once more.
            await asyncio.sleep(len(items) / bulk.rate - spent)
        if spent >= PAGE_SECONDS_MAX and len(items) < len(hits):
            following = hit.cursor
            break
    return EventChangePage(items, following and following.write())


async def _replay(place: NamedStore, operator: Actor, event_id: str, *, rerun_done: bool, dry_run: bool) -> EventChange:
    shown = await place.store.events.get(event_id)
    if shown is None:
        return EventChange(event_id, place.name, "gone", reason="it was erased meanwhile")
    planned = plan_replay(shown, rerun_done=rerun_done)
    if isinstance(planned, str):
        in_progress = shown["state"] in {"queued", "decided"}
        return EventChange(event_id, place.name, "in_progress" if in_progress else "skipped", reason=planned)
    if dry_run:
        return EventChange(event_id, place.name, "planned", "effects" if planned.ledger else "lane")
    # One by one, so that each has its line in the audit log and the walk may stop behind any.
    (went,) = await place.store.replays.replay([planned])
    if went == "open" or went == "gone" or went == "over":  # noqa: PLR1714 - in a set, the type would not narrow
        result, reason = NOT_REPLAYED[went]
        return EventChange(event_id, place.name, result, reason=reason)
    log_admin_change(operator, "event.replayed", event_id, moved_to=went, rerun_done=rerun_done)
    return EventChange(event_id, place.name, "replayed", went)


async def _discard(place: NamedStore, operator: Actor, event_id: str, reason: str, *, dry_run: bool) -> EventChange:
    if dry_run:
        return EventChange(event_id, place.name, "planned")
    if not await place.store.replays.discard([event_id], reason):
        return EventChange(event_id, place.name, "gone", reason="it is no dead letter any more")
    log_admin_change(operator, "dead_letter.discarded", event_id)
    return EventChange(event_id, place.name, "discarded")
