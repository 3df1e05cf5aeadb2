"""Replay of ended events and dead letters, and discard of dead letters, one event or one page at a time.

A page keeps a rate limit and ends after some seconds with a cursor, so that a bulk request can stop and continue.
Replayed events have left the index or are in progress, so that no event is replayed twice.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Literal

from msgspec import Meta, Struct

from service.errors import ConfigError, Rejection
from service.management.audit_entries import record_change
from service.management.audit_log import Actor, to_completion
from service.management.event_filter import CURSOR_PATTERN, Cursor, EventFilter
from service.management.event_search import EventHit, find_events
from service.management.event_view import locate_event
from service.management.installation import InstallationOperations
from service.management.stores import NamedStore, NamedStores
from service.store.management.replay import plan_replay

PAGE_SECONDS_MAX = 5.0
"""Time limit of a page. The page then ends early, with a cursor."""

PAGE_EVENTS_MAX = 200
REASON_CHARACTERS_MAX = 500

ReplayResult = Literal["replayed", "discarded", "planned", "in_progress", "skipped", "gone"]

NOT_REPLAYED: dict[str, tuple[ReplayResult, str]] = {
    "open": ("in_progress", "the event is in progress"),
    "gone": ("gone", "the data of the event was erased or has expired"),
    "over": ("skipped", "the effects were done in the meantime"),
}
"""Result and reason by the store's answer for an event that was not replayed."""

PageLimit = Annotated[int, Meta(ge=1, le=PAGE_EVENTS_MAX, description="events of one page")]
CursorText = Annotated[str, Meta(pattern=CURSOR_PATTERN, description="the `next` of the previous page")]
Rate = Annotated[float, Meta(ge=0.1, le=1_000, description="events a second, at most")]
Reason = Annotated[str, Meta(min_length=1, max_length=REASON_CHARACTERS_MAX, description="why; stored with the event")]


class EventChange(Struct, frozen=True):
    """Result of a replay or discard of one event.

    `destination` of a replayed event is its lane, for a new decision, or its effects. `planned` is the result of a dry
    run. For `in_progress`, `skipped` and `gone` nothing was changed, because of `reason`.
    """

    event_id: str
    store: str
    result: ReplayResult
    destination: Literal["lane", "effects"] | None = None
    reason: str | None = None


class EventChangePage(Struct, frozen=True):
    """Results of one page of events, and the cursor of the next page; null at the end."""

    items: list[EventChange]
    next: str | None = None


class BulkRequest(Struct, frozen=True, kw_only=True):
    """The events of a page: those that match `filter`, after the cursor `after`, or `all`. `dry_run` only reports."""

    filter: EventFilter
    all: bool = False
    dry_run: bool = True
    limit: PageLimit = 50
    rate: Rate = 50.0
    after: CursorText | None = None


class ReplayOperations(InstallationOperations):
    """Replay and discard."""

    async def replay_event(self, event_id: str, *, rerun_done: bool, dry_run: bool) -> EventChange:
        """Replay one event.

        Raises:
            Rejection: 404 `not_found`.
            StoreUnavailable, StoreFull: The event may or may not be replayed. The call can be repeated.
        """
        named, shown = await locate_event(self.stores, event_id)
        return await _replay(named, self.actor, shown["id"], rerun_done=rerun_done, dry_run=dry_run)

    async def discard_event(self, event_id: str, reason: str) -> EventChange:
        """Discard one dead letter.

        Raises:
            Rejection: 404 `not_found`, 409 `not_a_dead_letter`.
            StoreUnavailable: The event may or may not be discarded. The call can be repeated.
        """
        named, shown = await locate_event(self.stores, event_id)
        if shown["state"] != "dead":
            raise Rejection(
                409, "not_a_dead_letter", f"Event {event_id[:64]} is not a dead letter; its state is {shown['state']}."
            )
        return await _discard(named, self.actor, shown["id"], reason, self._days_min())

    async def replay_page(self, bulk: BulkRequest, *, rerun_done: bool) -> EventChangePage:
        """Replay a page of dead or ended events.

        Raises:
            Rejection: 422 `invalid`: The filter is empty without `all`, or its state is not `dead` or `ended`.
            StoreUnavailable, StoreFull: Some events may be replayed. Repeat the call with the same cursor.
        """
        if bulk.filter.state not in {"dead", "ended"}:
            raise Rejection(
                422, "invalid", "Only dead and ended events can be replayed. Set filter.state to dead or ended."
            )

        def change(hit: EventHit) -> Awaitable[EventChange]:
            return _replay(hit.store, self.actor, hit.summary.id, rerun_done=rerun_done, dry_run=bulk.dry_run)

        return await _change_page(self.stores, bulk, change)

    async def discard_page(self, bulk: BulkRequest, reason: str) -> EventChangePage:
        """Discard a page of dead letters.

        Raises:
            Rejection: 422 `invalid`: The filter is empty without `all`, or its state is not `dead`.
            StoreUnavailable: Some events may be discarded. Repeat the call with the same cursor.
        """
        if bulk.filter.state != "dead":
            raise Rejection(422, "invalid", "Only dead letters can be discarded. Set filter.state to dead.")

        days_min = self._days_min()

        async def change(hit: EventHit) -> EventChange:
            if bulk.dry_run:
                return EventChange(hit.summary.id, hit.store.name, "planned")
            return await _discard(hit.store, self.actor, hit.summary.id, reason, days_min)

        return await _change_page(self.stores, bulk, change)

    def _days_min(self) -> float:
        """Return the longest dedupe window. Commands have the settings, and not the longer retention of the pods."""
        with contextlib.suppress(ConfigError):  # secrets of waybill.yaml may be missing on the machine of a command
            return self.installation.config().dedupe_days if self.installation.is_configured else 0.0
        return 0.0


async def _change_page(
    stores: NamedStores, bulk: BulkRequest, change: Callable[[EventHit], Awaitable[EventChange]]
) -> EventChangePage:
    """Change the events of a page one by one, within the rate and the time limit of a page."""
    if bulk.filter.is_unfiltered and not bulk.all:
        raise Rejection(422, "invalid", "The filter is empty. Set a field of filter, or all to true.")
    hits, cursor = await find_events(stores, bulk.filter, bulk.limit, Cursor.parse(bulk.after))
    items: list[EventChange] = []
    started = time.monotonic()
    for hit in hits:
        items.append(await change(hit))
        if not bulk.dry_run:
            # The time of the store's calls counts, so that a slow store does not reduce the rate further.
            await asyncio.sleep(len(items) / bulk.rate - (time.monotonic() - started))
        if time.monotonic() - started >= PAGE_SECONDS_MAX and len(items) < len(hits):
            cursor = hit.cursor
            break
    return EventChangePage(items, cursor and cursor.format())


@to_completion
async def _replay(named: NamedStore, actor: Actor, event_id: str, *, rerun_done: bool, dry_run: bool) -> EventChange:
    shown = await named.store.events.get(event_id)
    if shown is None:
        return EventChange(event_id, named.name, "gone", reason="the event was erased in the meantime")
    planned = plan_replay(shown, rerun_done=rerun_done)
    if isinstance(planned, str):
        in_progress = shown["state"] in {"queued", "decided"}
        return EventChange(event_id, named.name, "in_progress" if in_progress else "skipped", reason=planned)
    if dry_run:
        return EventChange(event_id, named.name, "planned", "effects" if planned.ledger else "lane")
    # One event per call: every event gets its line in the audit log, and the page can stop after any event.
    (destination,) = await named.store.replays.replay([planned])
    if destination == "open" or destination == "gone" or destination == "over":  # noqa: PLR1714 - narrows the type
        result, reason = NOT_REPLAYED[destination]
        return EventChange(event_id, named.name, result, reason=reason)
    await record_change(named.store, actor, "event.replayed", event_id, moved_to=destination, rerun_done=rerun_done)
    return EventChange(event_id, named.name, "replayed", destination)


@to_completion
async def _discard(named: NamedStore, actor: Actor, event_id: str, reason: str, days_min: float) -> EventChange:
    if not await named.store.replays.discard([event_id], reason, days_min):
        return EventChange(event_id, named.name, "gone", reason="the event is not a dead letter any more")
    await record_change(named.store, actor, "dead_letter.discarded", event_id)
    return EventChange(event_id, named.name, "discarded")
