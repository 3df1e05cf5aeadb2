"""What a running action may use: the `ActionContext` of one effect. What it puts out is kept until it is known done."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from service.events import Event
from service.store import IngestRequest
from service.store.queue.outputs import EmittedEvent, Output, StreamEntry
from workers.processing.history import StoredEffect


class EffectContext(Struct, frozen=True):
    """Whose effects these are, for the log, the story and the actions."""

    event_id: str
    source: str
    traceparent: str | None
    attempt: int
    generation: int = 0


class RunningAction:
    """The `ActionContext` of one effect; `place` is where it stands in its decision."""

    def __init__(self, subject: EffectContext, effect: StoredEffect, place: int, resources: Mapping[str, Any]) -> None:
        self._resources = resources
        self._place = place
        self.idempotency_key = effect.idempotency_key(subject.event_id, subject.generation)
        self.event_id = subject.event_id
        self.source = subject.source
        self.rule = effect.rule_id
        self.action = effect.action_id
        self.traceparent = subject.traceparent
        self.outputs: list[Output] = []

    def resource(self, name: str) -> Any:  # noqa: ANN401 - what the composition root put there
        """Give the shared resource of that name.

        Raises:
            KeyError: there is none.
        """
        return self._resources[name]

    def emit(self, event: Event) -> None:
        """Take in an event, together with the ledger's word that this effect is done."""
        window_ms = int(self._resources["dedupe_hours"] * 3_600_000)
        self.outputs.append(EmittedEvent(self._place, IngestRequest(event, event.id, window_ms)))

    def publish(self, stream: str, data: bytes, length_max: int) -> None:
        """Append to a stream, together with the ledger's word that this effect is done."""
        self.outputs.append(StreamEntry(self._place, stream, length_max, self.event_id, self.rule, data))
