"""Server-sent events of the live view, for the admin API and the console.

A process serves a limited number of streams. Each stream reads the store once a second and holds one batch of events.
It ends after an hour, so that its token is checked again: clients reconnect with Last-Event-ID by themselves.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any
from weakref import WeakSet

import msgspec
from litestar import Request
from litestar.response import ServerSentEvent, ServerSentEventMessage
from litestar.types import HTTPScope, Receive, Send
from msgspec import structs

from service.errors import Rejection, StoreNotDurable, StoreUnavailable
from service.ingress.http.health import READINESS, Readiness
from service.management.event_filter import EventFilter
from service.management.live import LiveBatch, LiveOperations

STREAMS_MAX = 16
READ_INTERVAL_SECONDS = 1.0
STREAM_SECONDS_MAX = 3_600.0

Render = Callable[[LiveBatch], Iterable[ServerSentEventMessage]]


class _LiveStream:
    """Open stream. It counts until its response ends, or until it is released without a response."""

    def __init__(self, operations: LiveOperations, event_filter: EventFilter, readiness: Readiness) -> None:
        self._operations = operations
        self._filter = structs.replace(event_filter, since=None)
        self._readiness = readiness

    async def run(self, batch: LiveBatch, render: Render) -> AsyncGenerator[ServerSentEventMessage]:
        """Yield the messages of batch after batch, until the time is over or the process stops."""
        ends_at = time.monotonic() + STREAM_SECONDS_MAX
        yield ServerSentEventMessage(event="started", data="{}")
        while not self._readiness.stopping and time.monotonic() < ends_at:
            for message in render(batch):
                yield message
            # The position follows the events: a client that disconnects before it receives them again.
            yield ServerSentEventMessage(data=None, id=batch.next, comment="position")
            await asyncio.sleep(READ_INTERVAL_SECONDS)
            try:
                batch = await self._operations.read_live(self._filter, batch.next)
            except (StoreUnavailable, StoreNotDurable) as error:
                batch = LiveBatch([], 0, batch.next)
                yield _message("unavailable", {"code": error.kind})


_open: WeakSet[_LiveStream] = WeakSet()


class _LiveResponse(ServerSentEvent):
    """Response with a stream. Its end ends the count: the iterators of Litestar are released by garbage collection."""

    def __init__(self, stream: _LiveStream, messages: AsyncGenerator[ServerSentEventMessage]) -> None:
        super().__init__(messages)
        self._stream = stream

    def to_asgi_response(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - Litestar calls the result only
        stream = self._stream
        response = super().to_asgi_response(*arguments, **options)  # pyright: ignore[reportUnknownMemberType] - `Request`

        async def respond(scope: HTTPScope, receive: Receive, send: Send) -> None:
            try:
                await response(scope, receive, send)
            finally:
                _open.discard(stream)

        return respond


async def stream_live(
    request: Request[Any, Any, Any], operations: LiveOperations, event_filter: EventFilter, render: Render
) -> ServerSentEvent:
    """Return the stream of the events that match a filter, from the Last-Event-ID of the request on.

    Raises:
        Rejection: 422 `invalid`: not a position; 429 `too_many_requests`: STREAMS_MAX streams are open.
        StoreUnavailable: A store does not answer.
    """
    if len(_open) >= STREAMS_MAX:
        detail = f"{STREAMS_MAX} live views are open, the limit of a process. Close one, or list events."
        raise Rejection(429, "too_many_requests", detail, {"retry-after": "60"})
    stream = _LiveStream(operations, event_filter, request.app.state[READINESS])
    _open.add(stream)
    batch = await operations.read_live(event_filter, request.headers.get("last-event-id"))
    return _LiveResponse(stream, stream.run(batch, render))


def render_events(batch: LiveBatch) -> Iterable[ServerSentEventMessage]:
    """Yield a message `event` for each event, and `skipped` with the number of those that were not read."""
    for row in batch.items:
        yield _message("event", row)
    if batch.skipped:
        yield _message("skipped", {"skipped": batch.skipped})


def _message(event: str, value: object) -> ServerSentEventMessage:
    return ServerSentEventMessage(event=event, data=msgspec.json.encode(value).decode())
