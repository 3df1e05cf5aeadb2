"""Events built from the facts of one delivery, and the outcome of each fact. Pure."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from service.events import EVENT_VERSION, Delivery, Event, Fact, new_event_id
from service.ingestion.headers import stored_headers
from service.ingestion.sources import VerifiedDelivery
from service.store import IngestRequest, IngestResult

FactStatus = Literal["queued", "duplicate", "ignored"]


class FactOutcome(Struct, frozen=True, gc=False):
    """What became of one fact: the id is the event's, the first one's for a duplicate, None where it was ignored."""

    status: FactStatus
    event_id: str | None


IGNORED = FactOutcome("ignored", None)


class DeliveryContext(Struct, frozen=True, gc=False):
    """What all events of one delivery share; `window_ms` is how long their keys claim, `first_id` the first's id."""

    delivery: Delivery
    traceparent: str
    window_ms: int
    first_id: str


def build_ingest_requests(admission: VerifiedDelivery, origin: DeliveryContext) -> list[IngestRequest]:
    """Make an event of each fact that is about a record, with the part of the body that tells it."""
    headers = stored_headers(origin.delivery.headers)
    arrivals: list[IngestRequest] = []
    for index, fact in enumerate(admission.facts):
        if fact.record is not None:
            # The first one is named as the delivery is, so that its line leads to it.
            event_id = new_event_id() if arrivals else origin.first_id
            event = Event(
                EVENT_VERSION,
                event_id,
                origin.delivery.source,
                fact.type,
                fact.change,
                fact.record,
                fact.occurred_at,
                headers,
                origin.traceparent,
                admission.bodies[index],
                identified=admission.identified[index],
            )
            arrivals.append(IngestRequest(event, admission.claims[index], origin.window_ms))
    return arrivals


def match_outcomes(facts: Sequence[Fact], receipts: Sequence[IngestResult]) -> list[FactOutcome]:
    """Say for each fact, in order, what became of it: those about no record have no receipt and were ignored."""
    remaining = iter(receipts)
    return [IGNORED if fact.record is None else _outcome(next(remaining)) for fact in facts] or [IGNORED]


def _outcome(receipt: IngestResult) -> FactOutcome:
    return FactOutcome(receipt.status, receipt.event_id)
