"""/events: every event there is, listed, found, shown with its whole history, and put back by hand."""

from datetime import datetime
from typing import Annotated

from litestar import Controller, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Struct

from service.ingress.admin.dependencies import Caller, Dependencies, RawParameter, visibility_for
from service.ingress.admin.paging import After, LimitParameter
from service.management.event_filter import EventFilter, State
from service.management.event_search import EventPage, MatchedPage, list_events, search_events
from service.management.event_view import EventView, get_event
from service.management.replay import BulkRequest, EventChange, EventChangePage, replay_event, replay_page

TextFilter = Annotated[str | None, QueryParameter(max_length=300)]
RecordFilter = Annotated[
    str | None, QueryParameter(max_length=500, description="a record's id or lane, as pack:customer:1")
]
RuleFilter = Annotated[str | None, QueryParameter(max_length=64, description="a rule whose effects it asked for")]
TimestampFilter = Annotated[
    datetime | None, QueryParameter(description="when it arrived, died or ended; UTC without a zone")
]


class ReplayRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """How to put one event back: its unfinished effects, or with `rerun_done` every effect under a new key."""

    rerun_done: bool = False
    dry_run: bool = False


class BulkReplayRequest(BulkRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which events to put back, and how; `filter.state` says whether those that are `dead` or that `ended`."""

    rerun_done: bool = False


class Events(Controller):
    """Events. Those with the role viewer see no bodies and no inputs of effects."""

    path = "/events"
    tags = ("Events",)

    @get("/", role="viewer")
    async def list_events(
        self,
        parts: Dependencies,
        source: TextFilter = None,
        type: TextFilter = None,
        outcome: TextFilter = None,
        error_kind: TextFilter = None,
        record: RecordFilter = None,
        rule: RuleFilter = None,
        event_state: Annotated[State | None, QueryParameter(name="state")] = None,
        since: TimestampFilter = None,
        until: TimestampFilter = None,
        limit: LimitParameter = 50,
        after: After = None,
    ) -> EventPage:
        """List events, newest first. A page may be short, or empty, and yet have a `next`."""
        event_filter = EventFilter(
            source=source,
            type=type,
            outcome=outcome,
            error_kind=error_kind,
            record=record,
            rule=rule,
            state=event_state,
            since=since,
            until=until,
        )
        return await list_events(parts.named_stores, event_filter, limit, after)

    @get("/search", role="viewer")
    async def search_events(
        self,
        parts: Dependencies,
        text: Annotated[str, QueryParameter(min_length=1, max_length=500)],
        limit: LimitParameter = 50,
    ) -> MatchedPage:
        """Find events by Waybill's own id, by the id that a sender gave, or by the record's id or lane."""
        return await search_events(parts.named_stores, parts.sources, text, limit)

    @get("/{event_id:str}", role="viewer")
    async def show_event(
        self, event_id: FromPath[str], parts: Dependencies, caller: Caller, raw: RawParameter = False
    ) -> EventView:
        """Show one event: what arrived, the decision, every effect and attempt."""
        return await get_event(parts.named_stores, event_id, visibility_for(caller, raw=raw))

    @post("/{event_id:str}/replay", role="operator", status_code=200)
    async def replay_event(
        self, event_id: FromPath[str], data: JSONBody[ReplayRequest], parts: Dependencies, caller: Caller
    ) -> EventChange:
        """Put one event back. One that is under way is told of, and left alone."""
        return await replay_event(
            parts.named_stores, caller, event_id, rerun_done=data.rerun_done, dry_run=data.dry_run
        )

    @post("/replay", role="operator", status_code=200)
    async def replay_events(
        self, data: JSONBody[BulkReplayRequest], parts: Dependencies, caller: Caller
    ) -> EventChangePage:
        """Put back a page of events, at most `rate` a second; a dry run unless told otherwise. Go on with `next`."""
        return await replay_page(parts.named_stores, caller, data, rerun_done=data.rerun_done)
