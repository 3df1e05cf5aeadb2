"""/events: every event there is, listed, found, shown with its whole history, and put back by hand."""

from datetime import datetime
from typing import Annotated

from litestar import Controller, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Struct

from service.ingress.admin.paging import After, Limit
from service.ingress.admin.parts import Caller, Parts
from service.ingress.admin.sights import Raw, sight_of
from service.oversight.listing import EventPage, FoundPage, list_events, search_events
from service.oversight.replaying import Bulk, Change, ChangePage, replay_event, replay_page
from service.oversight.views import EventView, show_event
from service.oversight.wanted import State, Wanted

Word = Annotated[str | None, QueryParameter(max_length=300)]
Record = Annotated[str | None, QueryParameter(max_length=500, description="a record's id or lane, as pack:customer:1")]
Rule = Annotated[str | None, QueryParameter(max_length=64, description="a rule whose effects it asked for")]
Moment = Annotated[datetime | None, QueryParameter(description="when it arrived, died or ended; UTC without a zone")]


class ReplayOrder(Struct, frozen=True, forbid_unknown_fields=True):
    """How to put one event back: its unfinished effects, or with `rerun_done` every effect under a new key."""

    rerun_done: bool = False
    dry_run: bool = False


class BulkReplay(Bulk, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which events to put back, and how; `filter.state` says whether those that are `dead` or that `ended`."""

    rerun_done: bool = False


class Events(Controller):
    """Events. Those with the role viewer see no bodies and no inputs of effects."""

    path = "/events"
    tags = ("Events",)

    @get("/", role="viewer")
    async def list_events(
        self,
        parts: Parts,
        source: Word = None,
        type: Word = None,
        outcome: Word = None,
        error_kind: Word = None,
        record: Record = None,
        rule: Rule = None,
        wanted_state: Annotated[State | None, QueryParameter(name="state")] = None,
        since: Moment = None,
        until: Moment = None,
        limit: Limit = 50,
        after: After = None,
    ) -> EventPage:
        """List events, newest first. A page may be short, or empty, and yet have a `next`."""
        wanted = Wanted(
            source=source,
            type=type,
            outcome=outcome,
            error_kind=error_kind,
            record=record,
            rule=rule,
            state=wanted_state,
            since=since,
            until=until,
        )
        return await list_events(parts.places, wanted, limit, after)

    @get("/search", role="viewer")
    async def search_events(
        self, parts: Parts, text: Annotated[str, QueryParameter(min_length=1, max_length=500)], limit: Limit = 50
    ) -> FoundPage:
        """Find events by Waybill's own id, by the id that a sender gave, or by the record's id or lane."""
        return await search_events(parts.places, parts.sources, text, limit)

    @get("/{event_id:str}", role="viewer")
    async def show_event(self, event_id: FromPath[str], parts: Parts, caller: Caller, raw: Raw = False) -> EventView:
        """Show one event: what arrived, the decision, every effect and attempt."""
        return await show_event(parts.places, event_id, sight_of(caller, raw=raw))

    @post("/{event_id:str}/replay", role="operator", status_code=200)
    async def replay_event(
        self, event_id: FromPath[str], data: JSONBody[ReplayOrder], parts: Parts, caller: Caller
    ) -> Change:
        """Put one event back. One that is under way is told of, and left alone."""
        return await replay_event(parts.places, caller, event_id, rerun_done=data.rerun_done, dry_run=data.dry_run)

    @post("/replay", role="operator", status_code=200)
    async def replay_events(self, data: JSONBody[BulkReplay], parts: Parts, caller: Caller) -> ChangePage:
        """Put back a page of events, at most `rate` a second; a dry run unless told otherwise. Go on with `next`."""
        return await replay_page(parts.places, caller, data, rerun_done=data.rerun_done)
