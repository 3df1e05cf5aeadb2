"""/dead-letters: the events that wait for a person, to be put back or discarded, one or all that are meant."""

from litestar import Controller, get, post
from litestar.params import FromPath, JSONBody
from msgspec import Struct, structs

from service.ingress.admin.events import BulkReplay, Moment, Record, ReplayOrder, Rule, Word
from service.ingress.admin.paging import After, Limit
from service.ingress.admin.parts import Caller, Parts
from service.ingress.admin.sights import Raw, sight_of
from service.oversight.listing import EventPage, list_events
from service.oversight.replaying import (
    Bulk,
    Change,
    ChangePage,
    Reason,
    discard_event,
    discard_page,
    replay_event,
    replay_page,
)
from service.oversight.views import EventView, show_event
from service.oversight.wanted import Wanted


class DiscardOrder(Struct, frozen=True, forbid_unknown_fields=True):
    """Why a dead letter is ended for good."""

    reason: Reason


class BulkDiscard(Bulk, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which dead letters to end for good, and why."""

    reason: Reason


class DeadLetters(Controller):
    """Dead letters: events that were given up, with their last error."""

    path = "/dead-letters"
    tags = ("Dead letters",)

    @get("/", role="viewer")
    async def list_dead_letters(
        self,
        parts: Parts,
        source: Word = None,
        type: Word = None,
        error_kind: Word = None,
        record: Record = None,
        rule: Rule = None,
        since: Moment = None,
        until: Moment = None,
        limit: Limit = 50,
        after: After = None,
    ) -> EventPage:
        """List dead letters, those that died last first. A page may be short, or empty, and yet have a `next`."""
        wanted = Wanted(
            source=source,
            type=type,
            error_kind=error_kind,
            record=record,
            rule=rule,
            state="dead",
            since=since,
            until=until,
        )
        return await list_events(parts.places, wanted, limit, after)

    @get("/{event_id:str}", role="viewer")
    async def show_dead_letter(
        self,
        event_id: FromPath[str],
        parts: Parts,
        caller: Caller,
        raw: Raw = False,
    ) -> EventView:
        """Show one dead letter with its whole history."""
        return await show_event(parts.places, event_id, sight_of(caller, raw=raw), dead_only=True)

    @post("/{event_id:str}/replay", role="operator", status_code=200)
    async def replay_dead_letter(
        self, event_id: FromPath[str], data: JSONBody[ReplayOrder], parts: Parts, caller: Caller
    ) -> Change:
        """Put one dead letter back. One that is under way is told of, and left alone."""
        return await replay_event(parts.places, caller, event_id, rerun_done=data.rerun_done, dry_run=data.dry_run)

    @post("/{event_id:str}/discard", role="operator", status_code=200)
    async def discard_dead_letter(
        self, event_id: FromPath[str], data: JSONBody[DiscardOrder], parts: Parts, caller: Caller
    ) -> Change:
        """End one dead letter for good."""
        return await discard_event(parts.places, caller, event_id, data.reason)

    @post("/replay", role="operator", status_code=200)
    async def replay_dead_letters(self, data: JSONBody[BulkReplay], parts: Parts, caller: Caller) -> ChangePage:
        """Put back a page of dead letters, at most `rate` a second; a dry run unless told otherwise."""
        return await replay_page(parts.places, caller, _dead(data), rerun_done=data.rerun_done)

    @post("/discard", role="operator", status_code=200)
    async def discard_dead_letters(self, data: JSONBody[BulkDiscard], parts: Parts, caller: Caller) -> ChangePage:
        """End a page of dead letters for good, at most `rate` a second; a dry run unless told otherwise."""
        return await discard_page(parts.places, caller, _dead(data), data.reason)


def _dead(data: Bulk) -> Bulk:
    return structs.replace(data, filter=structs.replace(data.filter, state="dead"))
