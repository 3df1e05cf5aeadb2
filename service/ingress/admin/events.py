"""/events: list, search, show and replay events."""

from datetime import datetime
from typing import Annotated

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter, SkipValidation
from msgspec import Struct, structs

from service.ingress.admin.dependencies import Operations, RawParameter
from service.ingress.admin.paging import After, LimitParameter
from service.management.event_filter import EventFilter, State, Verdict
from service.management.event_search import EventPage, MatchedPage
from service.management.event_view import EventView
from service.management.explanation import Explanation
from service.management.replay import BulkRequest, EventChange, EventChangePage

TextFilter = Annotated[str | None, QueryParameter(max_length=300)]
RecordFilter = Annotated[
    str | None, QueryParameter(max_length=500, description="id or lane of a record, such as pack:customer:1")
]
RuleFilter = Annotated[str | None, QueryParameter(max_length=64, description="a rule with effects in the decision")]
VerdictFilter = Annotated[
    Verdict | None, QueryParameter(description="result of a rule of the decision: of `rule`, or of any")
]
TimestampFilter = Annotated[
    datetime | None, QueryParameter(description="time of arrival, death or end; UTC without a zone")
]


def event_filter(
    source: TextFilter = None,
    type: TextFilter = None,
    error_kind: TextFilter = None,
    record: RecordFilter = None,
    rule: RuleFilter = None,
    verdict: VerdictFilter = None,
    since: TimestampFilter = None,
    until: TimestampFilter = None,
) -> EventFilter:
    """Provide the dependency `event_filter`."""
    return EventFilter(
        source=source,
        type=type,
        error_kind=error_kind,
        record=record,
        rule=rule,
        verdict=verdict,
        since=since,
        until=until,
    )


FilterParameters = NamedDependency[SkipValidation[EventFilter]]
"""Type of the parameter `event_filter` of a route: query parameters that events and dead letters share."""


class ReplayRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Options of a replay: unfinished effects only, or with `rerun_done` all effects under new idempotency keys."""

    rerun_done: bool = False
    dry_run: bool = False


class BulkReplayRequest(BulkRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filter of events to replay; `filter.state` is `dead` or `ended`."""

    rerun_done: bool = False


class Events(Controller):
    """Events. The role viewer sees no bodies and no inputs of effects."""

    path = "/events"
    tags = ("Events",)

    @get("/", role="viewer")
    async def list_events(
        self,
        operations: Operations,
        event_filter: FilterParameters,
        outcome: TextFilter = None,
        event_state: Annotated[State | None, QueryParameter(name="state")] = None,
        limit: LimitParameter = 50,
        after: After = None,
    ) -> EventPage:
        """List events, newest first. A page may be short or empty and still have a `next`."""
        event_filter = structs.replace(event_filter, outcome=outcome, state=event_state)
        return await operations.list_events(event_filter, limit, after)

    @get("/search", role="viewer")
    async def search_events(
        self,
        operations: Operations,
        text: Annotated[str, QueryParameter(min_length=1, max_length=500)],
        limit: LimitParameter = 50,
    ) -> MatchedPage:
        """Find events by id, by the sender's id, or by the id or lane of the record."""
        return await operations.search_events(text, limit)

    @get("/{event_id:str}", role="viewer")
    async def show_event(self, event_id: FromPath[str], operations: Operations, raw: RawParameter = False) -> EventView:
        """Return one event with its delivery, decision, effects and attempts."""
        return await operations.get_event(event_id, raw=raw)

    @get("/{event_id:str}/explanation", role="viewer")
    async def explain_event(
        self, event_id: FromPath[str], operations: Operations, raw: RawParameter = False
    ) -> Explanation:
        """Explain one event: its decisions with every rule as a tree and the values seen, its effects and attempts.

        An attempt has its request and its answer, as far as the role sees them. `waiting_for` and `next_attempt_at`
        tell why the event has not ended. `decisions` is empty before the decision.
        """
        return await operations.explain_event(event_id, raw=raw)

    @post("/{event_id:str}/replay", role="operator", status_code=200)
    async def replay_event(
        self, event_id: FromPath[str], data: JSONBody[ReplayRequest], operations: Operations
    ) -> EventChange:
        """Replay one event. An event in progress is reported and not changed."""
        return await operations.replay_event(event_id, rerun_done=data.rerun_done, dry_run=data.dry_run)

    @post("/replay", role="operator", status_code=200)
    async def replay_events(self, data: JSONBody[BulkReplayRequest], operations: Operations) -> EventChangePage:
        """Replay a page of events, at most `rate` per second. The default is a dry run. Continue with `next`."""
        return await operations.replay_page(data, rerun_done=data.rerun_done)
