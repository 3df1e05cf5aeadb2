"""/dead-letters: the events that wait for a person, to be put back or discarded, one or all that are meant."""

from litestar import Controller, get, post
from litestar.params import FromPath, JSONBody
from msgspec import Struct, structs

from service.ingress.admin.dependencies import Operations, RawParameter
from service.ingress.admin.events import BulkReplayRequest, FilterParameters, ReplayRequest
from service.ingress.admin.paging import After, LimitParameter
from service.management.event_search import EventPage
from service.management.event_view import EventView
from service.management.replay import BulkRequest, EventChange, EventChangePage, Reason


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
        operations: Operations,
        event_filter: FilterParameters,
        limit: LimitParameter = 50,
        after: After = None,
    ) -> EventPage:
        """List dead letters, those that died last first. A page may be short, or empty, and yet have a `next`."""
        return await operations.list_events(structs.replace(event_filter, state="dead"), limit, after)

    @get("/{event_id:str}", role="viewer")
    async def show_dead_letter(
        self, event_id: FromPath[str], operations: Operations, raw: RawParameter = False
    ) -> EventView:
        """Show one dead letter with its whole history."""
        return await operations.get_event(event_id, raw=raw, dead_only=True)

    @post("/{event_id:str}/replay", role="operator", status_code=200)
    async def replay_dead_letter(
        self, event_id: FromPath[str], data: JSONBody[ReplayRequest], operations: Operations
    ) -> EventChange:
        """Put one dead letter back. One that is under way is told of, and left alone."""
        return await operations.replay_event(event_id, rerun_done=data.rerun_done, dry_run=data.dry_run)

    @post("/{event_id:str}/discard", role="operator", status_code=200)
    async def discard_dead_letter(
        self, event_id: FromPath[str], data: JSONBody[DiscardRequest], operations: Operations
    ) -> EventChange:
        """End one dead letter for good."""
        return await operations.discard_event(event_id, data.reason)

    @post("/replay", role="operator", status_code=200)
    async def replay_dead_letters(self, data: JSONBody[BulkReplayRequest], operations: Operations) -> EventChangePage:
        """Put back a page of dead letters, at most `rate` a second; a dry run unless told otherwise."""
        return await operations.replay_page(_dead(data), rerun_done=data.rerun_done)

    @post("/discard", role="operator", status_code=200)
    async def discard_dead_letters(self, data: JSONBody[BulkDiscardRequest], operations: Operations) -> EventChangePage:
        """End a page of dead letters for good, at most `rate` a second; a dry run unless told otherwise."""
        return await operations.discard_page(_dead(data), data.reason)


def _dead(data: BulkRequest) -> BulkRequest:
    return structs.replace(data, filter=structs.replace(data.filter, state="dead"))
