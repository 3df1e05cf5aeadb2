"""Outputs: derived events and stream entries, written by the same call that marks their effect as done."""

from msgspec import Struct

from service.store.connection.client import Argument
from service.store.queue.ingest import IngestRequest, ingest_arguments


class EmittedEvent(Struct, frozen=True):
    """Derived event of the effect at index `place` of the decision."""

    place: int
    request: IngestRequest


class StreamEntry(Struct, frozen=True):
    """Stream entry of the effect at index `place`. The stream is trimmed to its newest `length_max` entries."""

    place: int
    stream: str
    length_max: int
    event_id: str
    rule: str
    data: bytes


Output = EmittedEvent | StreamEntry


def output_arguments(output: Output) -> tuple[Argument, ...]:
    """Return the arguments for settle.lua: the position from 1, the kind, and seven values that depend on the kind."""
    if isinstance(output, EmittedEvent):
        return (output.place + 1, "event", *ingest_arguments(output.request))
    entry = (output.stream, output.length_max, output.event_id, output.rule, output.data)
    return (output.place + 1, "entry", *entry, "", "")
