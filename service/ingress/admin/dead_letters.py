"""/dead-letters: list, show, replay and discard dead letters."""

from litestar import Controller, get, post
from litestar.params import FromPath, JSONBody
from msgspec import Struct, structs

from service.ingress.admin.dependencies import Operations, RawParameter
from service.ingress.admin.events import BulkReplayRequest, FilterParameters, ReplayRequest
from service.ingress.admin.paging import After, LimitParameter
from service.ingress.admin.problems import FieldError, ValidationProblem
from service.management.dead_letter_groups import DeadLetterGroups
from service.management.event_search import EventPage
from service.management.event_view import EventView
from service.management.replay import BulkRequest, EventChange, EventChangePage, Reason


class DiscardRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Reason to discard a dead letter."""

    reason: Reason


class BulkDiscardRequest(BulkRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filter of dead letters to discard, and the reason."""

    reason: Reason


class DeadLetters(Controller):
    """Dead letters: events that are not attempted any more, with their last error."""

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
        """List dead letters, newest first. A page may be short or empty and still have a `next`."""
        return await operations.list_events(structs.replace(event_filter, state="dead"), limit, after)

    @get("/groups", role="viewer")
    async def group_dead_letters(self, operations: Operations) -> DeadLetterGroups:
        """List the newest dead letters in groups by error, source and rule, the largest group first."""
        return await operations.group_dead_letters()

    @get("/{event_id:str}", role="viewer")
    async def show_dead_letter(
        self, event_id: FromPath[str], operations: Operations, raw: RawParameter = False
    ) -> EventView:
        """Return one dead letter with its history."""
        return await operations.get_event(event_id, raw=raw, dead_only=True)

    @post("/{event_id:str}/replay", role="operator", status_code=200)
    async def replay_dead_letter(
        self, event_id: FromPath[str], data: JSONBody[ReplayRequest], operations: Operations
    ) -> EventChange:
        """Replay one dead letter. An event in progress is reported and not changed."""
        return await operations.replay_event(event_id, rerun_done=data.rerun_done, dry_run=data.dry_run)

    @post("/{event_id:str}/discard", role="operator", status_code=200)
    async def discard_dead_letter(
        self, event_id: FromPath[str], data: JSONBody[DiscardRequest], operations: Operations
    ) -> EventChange:
        """Discard one dead letter."""
        return await operations.discard_event(event_id, data.reason)

    @post("/replay", role="operator", status_code=200)
    async def replay_dead_letters(self, data: JSONBody[BulkReplayRequest], operations: Operations) -> EventChangePage:
        """Replay a page of dead letters, at most `rate` per second. The default is a dry run."""
        return await operations.replay_page(_dead_only(data), rerun_done=data.rerun_done)

    @post("/discard", role="operator", status_code=200)
    async def discard_dead_letters(self, data: JSONBody[BulkDiscardRequest], operations: Operations) -> EventChangePage:
        """Discard a page of dead letters, at most `rate` per second. The default is a dry run."""
        return await operations.discard_page(_dead_only(data), data.reason)


def _dead_only(data: BulkRequest) -> BulkRequest:
    """Return the request for dead letters.

    Raises:
        Rejection: 422 `invalid`: The filter has another state.
    """
    if data.filter.state not in {None, "dead"}:
        raise ValidationProblem([FieldError("/filter/state", "is not dead", "remove it, or use /events/replay")])
    return structs.replace(data, filter=structs.replace(data.filter, state="dead"))
