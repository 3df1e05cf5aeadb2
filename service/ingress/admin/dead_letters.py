"""/dead-letters: the events that wait for a person, to be put back or discarded, one or all that are meant."""

from litestar import Controller, get, post
from litestar.params import FromPath, JSONBody
from msgspec import Struct, structs

from service.ingress.admin.dependencies import Caller, Dependencies, RawParameter, visibility_for
from service.ingress.admin.events import (
    BulkReplayRequest,
    RecordFilter,
    ReplayRequest,
    RuleFilter,
    TextFilter,
    TimestampFilter,
)
from service.ingress.admin.paging import After, LimitParameter
from service.management.event_filter import EventFilter
from service.management.event_search import EventPage, list_events
from service.management.event_view import EventView, get_event
from service.management.replay import (
    BulkRequest,
    EventChange,
    EventChangePage,
    Reason,
    discard_event,
    discard_page,
    replay_event,
    replay_page,
)


class DiscardRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Why a dead letter is ended for good."""

    reason: Reason


class BulkDiscardRequest(BulkRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which dead letters to end for good, and why."""

    reason: Reason


class DeadLetters(Controller):
    """Dead letters: events that were given up, with their last error."""

    path = "/dead-letters"
    tags = ("Dead letters",)

    @get("/", role="viewer")
    async def list_dead_letters(
        self,
        parts: Dependencies,
        source: TextFilter = None,
        type: TextFilter = None,
        error_kind: TextFilter = None,
        record: RecordFilter = None,
        rule: RuleFilter = None,
        since: TimestampFilter = None,
        until: TimestampFilter = None,
        limit: LimitParameter = 50,
        after: After = None,
    ) -> EventPage:
        """List dead letters, those that died last first. A page may be short, or empty, and yet have a `next`."""
        event_filter = EventFilter(
            source=source,
            type=type,
            error_kind=error_kind,
            record=record,
            rule=rule,
            state="dead",
            since=since,
            until=until,
        )
        return await list_events(parts.named_stores, event_filter, limit, after)

    @get("/{event_id:str}", role="viewer")
    async def show_dead_letter(
        self,
        event_id: FromPath[str],
        parts: Dependencies,
        caller: Caller,
        raw: RawParameter = False,
    ) -> EventView:
        """Show one dead letter with its whole history."""
        return await get_event(parts.named_stores, event_id, visibility_for(caller, raw=raw), dead_only=True)

    @post("/{event_id:str}/replay", role="operator", status_code=200)
    async def replay_dead_letter(
        self, event_id: FromPath[str], data: JSONBody[ReplayRequest], parts: Dependencies, caller: Caller
    ) -> EventChange:
        """Put one dead letter back. One that is under way is told of, and left alone."""
        return await replay_event(
            parts.named_stores, caller, event_id, rerun_done=data.rerun_done, dry_run=data.dry_run
        )

    @post("/{event_id:str}/discard", role="operator", status_code=200)
    async def discard_dead_letter(
        self, event_id: FromPath[str], data: JSONBody[DiscardRequest], parts: Dependencies, caller: Caller
    ) -> EventChange:
        """End one dead letter for good."""
        return await discard_event(parts.named_stores, caller, event_id, data.reason)

    @post("/replay", role="operator", status_code=200)
    async def replay_dead_letters(
        self, data: JSONBody[BulkReplayRequest], parts: Dependencies, caller: Caller
    ) -> EventChangePage:
        """Put back a page of dead letters, at most `rate` a second; a dry run unless told otherwise."""
        return await replay_page(parts.named_stores, caller, _dead(data), rerun_done=data.rerun_done)

    @post("/discard", role="operator", status_code=200)
    async def discard_dead_letters(
        self, data: JSONBody[BulkDiscardRequest], parts: Dependencies, caller: Caller
    ) -> EventChangePage:
        """End a page of dead letters for good, at most `rate` a second; a dry run unless told otherwise."""
        return await discard_page(parts.named_stores, caller, _dead(data), data.reason)


def _dead(data: BulkRequest) -> BulkRequest:
    return structs.replace(data, filter=structs.replace(data.filter, state="dead"))
