"""Reverification of quarantined deliveries with the current configuration, and ingestion of the valid ones.

The checks are those of a new delivery: media type, signature, envelope, dedupe key. A delivery that its sender has
redelivered meanwhile is a duplicate.
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
    """Result of one reverification: `admission` for a valid delivery, else `code` and `detail` of the rejection."""

    quarantined: QuarantinedDelivery
    delivery: Delivery
    admission: VerifiedDelivery | None
    code: str | None = None
    detail: str = ""


def reverify(quarantined: QuarantinedDelivery, sources: Mapping[str, Source]) -> Reverification:
    """Verify and parse a quarantined delivery again. Its timestamp is compared with the time of receipt. Pure."""
    delivery = Delivery(
        quarantined.source,
        quarantined.headers,
        quarantined.body,
        quarantined.received_at,
        path_token=quarantined.path_token,
        query=quarantined.query,
        is_item=quarantined.item is not None,
    )
    source = sources.get(quarantined.source)
    if source is None:
        return Reverification(
            quarantined,
            delivery,
            None,
            "unknown_source",
            f"Source {quarantined.source} is not configured any more. Add it to `sources`, or delete the delivery.",
        )
    if not quarantined.whole:
        return Reverification(
            quarantined,
            delivery,
            None,
            quarantined.code,
            "The body was not read to its end and is not stored. Ask the sender to redeliver.",
        )
    try:
        if delivery.is_item:
            return Reverification(quarantined, delivery, source.parse_item(delivery, quarantined.dedupe_key))
        check_content_type(delivery.headers, source.content_types)
        admission = structs.replace(source, entropy=_deterministic_entropy(quarantined.id)).verify_and_parse(delivery)
    except Rejection as rejection:
        return Reverification(quarantined, delivery, None, rejection.code, rejection.detail)
    return Reverification(quarantined, delivery, admission)


async def ingest(
    reverification: Reverification, admission: VerifiedDelivery, sources: Mapping[str, Source], store: EventStore
) -> list[FactOutcome]:
    """Ingest a valid delivery.

    Returns:
        The outcome of each fact, in order.

    Raises:
        StoreUnavailable, StoreFull: the events may not be stored. The call may be repeated.
    """
    delivery, first_id = reverification.delivery, new_event_id()
    traceparent, _ = continue_trace(delivery.headers.get("traceparent"), first_id)
    source = sources[delivery.source]
    context = DeliveryContext(delivery, traceparent, source.window_ms, first_id, source.stored_headers)
    requests = build_ingest_requests(admission, context)
    return match_outcomes(admission, await store.ingest_all(requests) if requests else [])


def _deterministic_entropy(quarantined_id: str) -> Callable[[int], bytes]:
    """Return a deterministic entropy source, so that a delivery released twice has the same dedupe key."""
    return lambda size: hashlib.blake2b(quarantined_id.encode(), digest_size=size).digest()
