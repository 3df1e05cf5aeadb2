"""`ActionContext` of one effect. Its outputs are written together with the ledger entry `done`."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from service.events import Event
from service.exchange import Exchange
from service.store import IngestRequest
from service.store.queue.outputs import EmittedEvent, Output, StreamEntry
from service.tracing.spans import current_traceparent
from workers.processing.history import StoredEffect


class EffectContext(Struct, frozen=True):
    """Event and attempt of the effects, for log lines, history entries and actions."""

    event: Event
    attempt: int
    generation: int = 0

    @property
    def event_id(self) -> str:
        """Id of the event."""
        return self.event.id

    @property
    def source(self) -> str:
        """Name of the event's source."""
        return self.event.source

    @property
    def traceparent(self) -> str | None:
        """Trace of the delivery."""
        return self.event.traceparent


class RunningAction:
    """The `ActionContext` of one effect. `index` is its index in the decision."""

    def __init__(
        self,
        context: EffectContext,
        effect: StoredEffect,
        index: int,
        resources: Mapping[str, Any],
        *,
        is_repeated: bool = False,
    ) -> None:
        self._resources = resources
        self._index = index
        self.idempotency_key = effect.idempotency_key(context.event_id, context.generation)
        self.is_repeated = is_repeated
        self.event = context.event
        self.event_id = context.event_id
        self.source = context.source
        self.rule = effect.rule_id
        self.action = effect.action_id
        self.traceparent = current_traceparent(context.traceparent)
        self.exchange = Exchange()
        self.outputs: list[Output] = []

    def resource(self, name: str) -> Any:  # noqa: ANN401 - resources have any type
        """Return the shared resource `name`.

        Raises:
            KeyError: there is no such resource.
        """
        return self._resources[name]

    def emit(self, event: Event) -> None:
        """Enqueue an event and mark this effect as done, atomically."""
        window_ms = int(self._resources["dedupe_hours"] * 3_600_000)
        self.outputs.append(EmittedEvent(self._index, IngestRequest(event, event.id, window_ms)))

    def publish(self, stream: str, data: bytes, length_max: int) -> None:
        """Append an entry to a stream and mark this effect as done, atomically."""
        self.outputs.append(StreamEntry(self._index, stream, length_max, self.event_id, self.rule, data))
