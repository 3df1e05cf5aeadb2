"""Judging refused deliveries again, by what is configured now, and taking the good ones in as if they came again.

They go the way every delivery goes: media type, proof, envelope, and the one store call that knows an event key. What
was taken in meanwhile, because its sender came again, is found to be a duplicate.
"""

import hashlib
from collections.abc import Callable, Mapping

from msgspec import Struct, structs

from service.errors import Rejection
from service.events import Delivery, new_event_id
from service.ingestion.arrivals import DeliveryContext, FactOutcome, build_ingest_requests, match_outcomes
from service.ingestion.event_store import EventStore
from service.ingestion.headers import check_content_type
from service.ingestion.sources import Source, VerifiedDelivery
from service.ingestion.trace_context import continue_trace
from service.store import QuarantinedDelivery


class Reverification(Struct, frozen=True):
    """What is thought of a refused delivery now: `admission` if it is good, else the `code` and `detail` why not."""

    quarantined: QuarantinedDelivery
    delivery: Delivery
    admission: VerifiedDelivery | None
    code: str | None = None
    detail: str = ""


def reverify(quarantined: QuarantinedDelivery, sources: Mapping[str, Source]) -> Reverification:
    """Judge one again, at the time it came: a timestamp is as fresh as it was then. Pure."""
    delivery = Delivery(
        quarantined.source,
        quarantined.headers,
        quarantined.body,
        quarantined.received_at,
        path_token=quarantined.path_token,
    )
    source = sources.get(quarantined.source)
    if source is None:
        return Reverification(
            quarantined, delivery, None, "unknown_source", "No source of this name is configured any more."
        )
    if not quarantined.whole:
        return Reverification(
            quarantined, delivery, None, quarantined.code, "Its body was not read to the end, so it is not here."
        )
    try:
        check_content_type(delivery.headers, source.content_types)
        admission = structs.replace(source, entropy=_entropy_of(quarantined.id)).verify_and_parse(delivery)
    except Rejection as refusal:
        return Reverification(quarantined, delivery, None, refusal.code, refusal.detail)
    return Reverification(quarantined, delivery, admission)


async def ingest(
    finding: Reverification, admission: VerifiedDelivery, sources: Mapping[str, Source], store: EventStore
) -> list[FactOutcome]:
    """Take a good one in; give what became of each of its facts.

    Raises:
        StoreUnavailable, StoreFull: not known to be safe; may be repeated.
    """
    delivery, first_id = finding.delivery, new_event_id()
    traceparent, _ = continue_trace(delivery.headers.get("traceparent"), first_id)
    origin = DeliveryContext(delivery, traceparent, sources[delivery.source].window_ms, first_id)
    arrivals = build_ingest_requests(admission, origin)
    return match_outcomes(admission.facts, await store.ingest_all(arrivals) if arrivals else [])


def _entropy_of(quarantined_id: str) -> Callable[[int], bytes]:
    """Where each delivery is an event of its own, the same refused one is the same event however often it is taken."""
    return lambda size: hashlib.blake2b(quarantined_id.encode(), digest_size=size).digest()
