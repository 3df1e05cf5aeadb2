"""Events built from the facts of one delivery, and the outcome of each fact. Pure."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct, structs

from service.events import CORRELATION_HEADER, EVENT_VERSION, Delivery, Event, new_event_id
from service.ingestion.dedupe_keys import digest_content
from service.ingestion.headers import correlation_id_of, stored_headers
from service.ingestion.sources import VerifiedDelivery
from service.store import IngestRequest, IngestResult

FactStatus = Literal["queued", "duplicate", "ignored", "rejected"]


class FactOutcome(Struct, frozen=True, gc=False):
    """Outcome of one fact.

    `event_id` is the id of the new event, the id of the first event for a duplicate, or None for an ignored fact and
    for an item of a batch that is rejected.
    """

    status: FactStatus
    event_id: str | None


IGNORED = FactOutcome("ignored", None)
REJECTED = FactOutcome("rejected", None)


class DeliveryContext(Struct, frozen=True, gc=False):
    """Values shared by all events of one delivery.

    `window_ms` is the dedupe window, `first_id` the first event id, `headers` the headers that the source stores in
    addition.
    """

    delivery: Delivery
    traceparent: str
    window_ms: int
    first_id: str
    headers: frozenset[str] = frozenset()


def build_ingest_requests(verified: VerifiedDelivery, context: DeliveryContext) -> list[IngestRequest]:
    """Build an event for each fact about a record, with the bytes of the body that contain the fact."""
    headers = stored_headers(context.delivery.headers, context.headers)
    requests: list[IngestRequest] = []
    for index, fact in enumerate(verified.facts):
        if fact.record is not None:
            # The first event has the id of the delivery, so that the log line of the delivery names it.
            event_id = new_event_id() if requests else context.first_id
            correlation_id = correlation_id_of(fact, context.delivery.headers)
            event = Event(
                EVENT_VERSION,
                event_id,
                context.delivery.source,
                fact.type,
                fact.change,
                fact.record if fact.record.id else structs.replace(fact.record, id=event_id),
                fact.occurred_at,
                {**headers, CORRELATION_HEADER: correlation_id} if correlation_id else headers,
                context.traceparent,
                verified.bodies[index],
                identified=verified.sender_ids[index] is not None,
                sender_id=verified.sender_ids[index],
            )
            content = digest_content(fact, event.body)
            requests.append(IngestRequest(event, verified.dedupe_keys[index], context.window_ms, content))
    return requests


def match_outcomes(verified: VerifiedDelivery, results: Sequence[IngestResult]) -> list[FactOutcome]:
    """Return the outcome of each fact and rejected item, in order. A fact without a record is ignored."""
    remaining = iter(results)
    outcomes = [IGNORED if fact.record is None else _outcome(next(remaining)) for fact in verified.facts]
    for rejected in verified.rejected:
        outcomes.insert(rejected.item.index, REJECTED)
    return outcomes or [IGNORED]


def _outcome(result: IngestResult) -> FactOutcome:
    return FactOutcome(result.status, result.event_id)
