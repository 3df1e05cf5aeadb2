"""Putting events back and discarding dead letters, by a person's wish: one, or page by page all that are meant.

A page holds a rate, and ends after a while with the cursor to go on from, so that a long walk can be stopped anywhere
and taken up again: what was put back has left the index or is under way, which is told, and never put back twice.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from service.errors import Refusal
from service.oversight.audit import Operator, tell_change, to_its_end
from service.oversight.listing import Hit, find_events
from service.oversight.places import Place, Places
from service.oversight.views import locate_event
from service.oversight.wanted import Cursor, Wanted
from service.store.replay import plan_replay

PAGE_SECONDS_MAX = 5.0
"""After this long a page ends where it is: whoever asked goes on with the next one."""

PAGE_EVENTS_MAX = 200
REASON_CHARACTERS_MAX = 500

Result = Literal["replayed", "discarded", "planned", "in_progress", "skipped", "gone"]

NOWHERE: dict[str, tuple[Result, str]] = {
    "open": ("in_progress", "it is under way"),
    "gone": ("gone", "what it takes was erased or dropped"),
    "over": ("skipped", "what was asked for was done meanwhile"),
}
"""What the store did not put back, and why."""

Limit = Annotated[int, Meta(ge=1, le=PAGE_EVENTS_MAX, description="events of one page")]
Rate = Annotated[float, Meta(gt=0, le=1_000, description="events a second, at most")]
Reason = Annotated[
    str, Meta(min_length=1, max_length=REASON_CHARACTERS_MAX, description="why, for those who come after")
]


class Change(Struct, frozen=True):
    """What became of one event. `destination` of a replayed one: its lane, to be decided, or its effects.

    `planned`: a dry run found that it would be done. `in_progress`, `skipped`, `gone`: nothing was done, for `reason`.
    """

    event_id: str
    store: str
    result: Result
    destination: Literal["lane", "effects"] | None = None
    reason: str | None = None


class ChangePage(Struct, frozen=True):
    """What became of each event of a page, and where to go on; null at the end."""

    items: list[Change]
    next: str | None = None


class Bulk(Struct, frozen=True, kw_only=True):
    """The events of a page: those that match `filter`, after the cursor `after`, or `all`. `dry_run` only reports."""

    filter: Wanted
    all: bool = False
    dry_run: bool = True
    limit: Limit = 50
    rate: Rate = 50.0
    after: str | None = None


async def replay_event(places: Places, operator: Operator, event_id: str, *, rerun_done: bool, dry_run: bool) -> Change:
    """Put one event back.

    Raises:
        Refusal: 404 `not_found`.
        StoreUnavailable, StoreFull: not known to be done; may be repeated.
    """
    place, _ = await locate_event(places, event_id)
    return await to_its_end(_replay(place, operator, event_id, rerun_done=rerun_done, dry_run=dry_run))


async def discard_event(places: Places, operator: Operator, event_id: str, reason: str) -> Change:
    """End one dead letter for good.

    Raises:
        Refusal: 404 `not_found`, 409 `not_a_dead_letter`.
        StoreUnavailable: not known to be done; may be repeated.
    """
    place, shown = await locate_event(places, event_id)
    if shown["state"] != "dead":
        raise Refusal(409, "not_a_dead_letter", f"{event_id[:64]} is no dead letter; it is {shown['state']}.")
    return await to_its_end(_discard(place, operator, event_id, reason, dry_run=False))


async def replay_page(places: Places, operator: Operator, bulk: Bulk, *, rerun_done: bool) -> ChangePage:
    """Put back a page of dead or ended events.

    Raises:
        Refusal: nothing narrows it down, or events that are not over are meant.
        StoreUnavailable, StoreFull: a part may be done; go on from the same cursor.
    """
    if bulk.filter.state not in {"dead", "ended"}:
        raise Refusal(422, "invalid", "Only events that are `dead` or `ended` can be put back.")

    def change(hit: Hit) -> Coroutine[Any, Any, Change]:
        return _replay(hit.store, operator, hit.summary.id, rerun_done=rerun_done, dry_run=bulk.dry_run)

    return await _walk(places, bulk, change)


async def discard_page(places: Places, operator: Operator, bulk: Bulk, reason: str) -> ChangePage:
    """End a page of dead letters for good.

    Raises:
        Refusal: nothing narrows it down, or other events are meant.
        StoreUnavailable: a part may be done; go on from the same cursor.
    """
    if bulk.filter.state != "dead":
        raise Refusal(422, "invalid", "Only dead letters can be discarded.")

    def change(hit: Hit) -> Coroutine[Any, Any, Change]:
        return _discard(hit.store, operator, hit.summary.id, reason, dry_run=bulk.dry_run)

    return await _walk(places, bulk, change)


async def _walk(places: Places, bulk: Bulk, change: Callable[[Hit], Coroutine[Any, Any, Change]]) -> ChangePage:
    """Change the events of a page one by one, no faster than the rate, and not much longer than a page may take."""
    if bulk.filter.everything and not bulk.all:
        raise Refusal(422, "invalid", "Say which events are meant, or that `all` are.")
    hits, following = await find_events(places, bulk.filter, bulk.limit, Cursor.read(bulk.after))
    items: list[Change] = []
    began = time.monotonic()
    for hit in hits:
        items.append(await to_its_end(change(hit)))
        spent = time.monotonic() - began
        if not bulk.dry_run:
            # Counted from the page's begin, so that a slow store does not slow it down once more.
            await asyncio.sleep(len(items) / bulk.rate - spent)
        if spent >= PAGE_SECONDS_MAX and len(items) < len(hits):
            following = hit.cursor
            break
    return ChangePage(items, following and following.write())


async def _replay(place: Place, operator: Operator, event_id: str, *, rerun_done: bool, dry_run: bool) -> Change:
    shown = await place.store.events.show(event_id)
    if shown is None:
        return Change(event_id, place.name, "gone", reason="it was erased meanwhile")
    planned = plan_replay(shown, rerun_done=rerun_done)
    if isinstance(planned, str):
        under_way = shown["state"] in {"queued", "decided"}
        return Change(event_id, place.name, "in_progress" if under_way else "skipped", reason=planned)
    if dry_run:
        return Change(event_id, place.name, "planned", "effects" if planned.ledger else "lane")
    # One by one, so that each has its line in the audit log and the walk may stop behind any.
    (went,) = await place.store.replays.replay([planned])
    if went == "open" or went == "gone" or went == "over":  # noqa: PLR1714 - in a set, the type would not narrow
        result, reason = NOWHERE[went]
        return Change(event_id, place.name, result, reason=reason)
    tell_change(operator, "event.replayed", event_id, moved_to=went, rerun_done=rerun_done)
    return Change(event_id, place.name, "replayed", went)


async def _discard(place: Place, operator: Operator, event_id: str, reason: str, *, dry_run: bool) -> Change:
    if dry_run:
        return Change(event_id, place.name, "planned")
    if not await place.store.replays.discard([event_id], reason):
        return Change(event_id, place.name, "gone", reason="it is no dead letter any more")
    tell_change(operator, "dead_letter.discarded", event_id)
    return Change(event_id, place.name, "discarded")
