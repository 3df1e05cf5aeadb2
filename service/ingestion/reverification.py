"""Judging refused deliveries again, by what is configured now, and taking the good ones in as if they came again.

They go the way every delivery goes: media type, proof, envelope, and the one store call that knows an event key. What
was taken in meanwhile, because its sender came again, is found to be a duplicate.
"""

import hashlib
from collections.abc import Callable, Mapping

from msgspec import Struct, structs

from service.errors import Refusal
from service.events import Delivery, new_event_id
from service.ingestion.arrivals import Origin, Outcome, build_arrivals, match_outcomes
from service.ingestion.event_store import EventStore
from service.ingestion.headers import check_media
from service.ingestion.trace_context import continue_trace
from service.sources import Admission, Source
from service.store import Refused


class Finding(Struct, frozen=True):
    """What is thought of a refused delivery now: `admission` if it is good, else the `code` and `detail` why not."""

    refused: Refused
    delivery: Delivery
    admission: Admission | None
    code: str | None = None
    detail: str = ""


def judge(refused: Refused, sources: Mapping[str, Source]) -> Finding:
    """Judge one again, at the time it came: a timestamp is as fresh as it was then. Pure."""
    delivery = Delivery(
        refused.source, refused.headers, refused.body, refused.received_at, path_token=refused.path_token
    )
    source = sources.get(refused.source)
    if source is None:
        return Finding(refused, delivery, None, "unknown_source", "No source of this name is configured any more.")
    if not refused.whole:
        return Finding(refused, delivery, None, refused.code, "Its body was not read to the end, so it is not here.")
    try:
        check_media(delivery.headers, source.content_types)
        admission = structs.replace(source, entropy=_entropy_of(refused.id)).admit(delivery)
    except Refusal as refusal:
        return Finding(refused, delivery, None, refusal.code, refusal.detail)
    return Finding(refused, delivery, admission)


async def take_in(
    finding: Finding, admission: Admission, sources: Mapping[str, Source], store: EventStore
) -> list[Outcome]:
    """Take a good one in; give what became of each of its facts.

    Raises:
        StoreUnavailable, StoreFull: not known to be safe; may be repeated.
    """
    delivery, first_id = finding.delivery, new_event_id()
    traceparent, _ = continue_trace(delivery.headers.get("traceparent"), first_id)
    origin = Origin(delivery, traceparent, sources[delivery.source].window_ms, first_id)
    arrivals = build_arrivals(admission, origin)
    return match_outcomes(admission.facts, await store.ingest_all(arrivals) if arrivals else [])


def _entropy_of(refused_id: str) -> Callable[[int], bytes]:
    """Where each delivery is an event of its own, the same refused one is the same event however often it is taken."""
    return lambda size: hashlib.blake2b(refused_id.encode(), digest_size=size).digest()
