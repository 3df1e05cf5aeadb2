"""/live: the events that arrive and end, as server-sent events or as batches."""

from typing import Annotated, Any

from litestar import Controller, Request, get
from litestar.params import QueryParameter
from litestar.response import ServerSentEvent
from msgspec import structs

from service.ingress.admin.dependencies import Operations
from service.ingress.admin.events import FilterParameters, TextFilter
from service.ingress.live import render_events, stream_live
from service.management.event_filter import State
from service.management.live import POSITION_CHARACTERS_MAX, LiveBatch

StateFilter = Annotated[State | None, QueryParameter(name="state")]
Position = Annotated[
    str | None, QueryParameter(max_length=POSITION_CHARACTERS_MAX, description="the `next` of the previous batch")
]


class Live(Controller):
    """Live view of events. It has no bodies and no inputs of effects."""

    path = "/live"
    tags = ("Events",)

    @get("/", role="viewer", media_type="text/event-stream")
    async def stream_events(
        self,
        request: Request[Any, Any, Any],
        operations: Operations,
        event_filter: FilterParameters,
        outcome: TextFilter = None,
        event_state: StateFilter = None,
    ) -> ServerSentEvent:
        """Follow the events that match a filter, as server-sent events.

        A message `event` has one event as in the list: when it ends, when it becomes a dead letter, and once if it is
        pending for two seconds. `since` begins in the past. `skipped` counts events that were too many to read,
        `unavailable` names the error of the store. A client that reconnects with `Last-Event-ID` continues there, and
        may get events of the last second again. 16 streams per process; a stream ends after an hour.
        """
        event_filter = structs.replace(event_filter, outcome=outcome, state=event_state)
        return await stream_live(request, operations, event_filter, render_events)

    @get("/batch", role="viewer")
    async def read_batch(
        self,
        operations: Operations,
        event_filter: FilterParameters,
        outcome: TextFilter = None,
        event_state: StateFilter = None,
        after: Position = None,
    ) -> LiveBatch:
        """Return the events of the live view after a position, oldest first, and the next position.

        Without `after` the answer has the events since `since`, or none. Call it once a second with the `next` of the
        previous answer.
        """
        event_filter = structs.replace(event_filter, outcome=outcome, state=event_state)
        return await operations.read_live(event_filter, after)
