"""What effects write into the store itself, by the call that says they are done: derived events, stream entries."""

from msgspec import Struct

from service.store.connection.client import Argument
from service.store.queue.ingest import IngestRequest, ingest_arguments


class EmittedEvent(Struct, frozen=True):
    """A derived event, by the effect at `place` of its decision."""

    place: int
    arrival: IngestRequest


class StreamEntry(Struct, frozen=True):
    """An entry of a stream, by the effect at `place`; the stream is cut to `length_max` entries, the newest."""

    place: int
    stream: str
    length_max: int
    event_id: str
    rule: str
    data: bytes


Output = EmittedEvent | StreamEntry


def output_arguments(output: Output) -> tuple[Argument, ...]:
    """Write an output as settle.lua takes it: the place from 1, its kind, and six that depend on the kind."""
    if isinstance(output, EmittedEvent):
        return (output.place + 1, "event", *ingest_arguments(output.arrival))
    return (output.place + 1, "entry", output.stream, output.length_max, output.event_id, output.rule, output.data, "")
