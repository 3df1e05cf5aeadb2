"""Ingest requests and outcomes for deliveries of no, one and several facts."""

import json

from service.events import Delivery, Fact, RecordRef
from service.ingestion.arrivals import IGNORED, DeliveryContext, FactOutcome, build_ingest_requests, match_outcomes
from service.ingestion.sources import VerifiedDelivery
from service.ingress.http.responses import accepted_response
from service.store import IngestResult

CONTEXT = DeliveryContext(
    Delivery("erp", {"webhook-id": "1", "x-signature": "s"}, b"{}", 0.0), "00-a-b-00", 1_000, "first"
)
ORDER = Fact("order.updated", "e1", "updated", RecordRef("erp", "purchase_order", "1"), "2026-11-20")
PING = Fact("ping")


def verified_delivery(*facts: Fact) -> VerifiedDelivery:
    """Return facts with dedupe keys and bodies; every second fact has an event id."""
    numbers = range(len(facts))
    dedupe_keys, bodies = tuple(f"c{n}" for n in numbers), tuple(b"%d" % n for n in numbers)
    return VerifiedDelivery(facts, dedupe_keys, bodies, tuple(f"evt-{n}" if n % 2 == 0 else None for n in numbers))


def test_facts_without_a_record_are_ignored() -> None:
    assert build_ingest_requests(verified_delivery(PING), CONTEXT) == []
    assert match_outcomes(verified_delivery(PING), []) == [IGNORED]
    assert match_outcomes(verified_delivery(), []) == [IGNORED]


def test_first_event_has_the_delivery_id_and_others_have_new_ids() -> None:
    requests = build_ingest_requests(verified_delivery(PING, ORDER, ORDER), CONTEXT)
    first, second = (request.event for request in requests)
    assert (first.id, len(second.id)) == ("first", 32)
    assert [request.dedupe_key for request in requests] == ["c1", "c2"]
    assert (first.body, first.identified, second.body, second.identified) == (b"1", False, b"2", True)
    assert (first.sender_id, second.sender_id) == (None, "evt-2")
    assert first.headers == {"webhook-id": "1"}
    assert (first.type, first.change, first.record, first.occurred_at) == (
        "order.updated", "updated", ORDER.record, "2026-11-20",
    )  # fmt: skip


def test_outcomes_are_in_the_order_of_the_facts() -> None:
    results = [IngestResult("duplicate", "old"), IngestResult("queued", "new")]
    outcomes = match_outcomes(verified_delivery(ORDER, PING, ORDER), results)
    assert outcomes == [FactOutcome("duplicate", "old"), IGNORED, FactOutcome("queued", "new")]
    answer = accepted_response(outcomes)
    assert answer.status == 202
    assert json.loads(answer.body) == {
        "status": "queued",
        "event_id": "new",
        "events": [
            {"status": "duplicate", "event_id": "old"},
            {"status": "ignored", "event_id": None},
            {"status": "queued", "event_id": "new"},
        ],
    }


def test_response_for_one_fact_does_not_depend_on_the_length_of_its_id() -> None:
    for event_id in ("a" * 32, "short"):
        answer = accepted_response([FactOutcome("queued", event_id)])
        assert json.loads(answer.body) == {"status": "queued", "event_id": event_id}
        lengths = [value for name, value in answer.headers if name == b"content-length"]
        assert lengths == [str(len(answer.body)).encode()]
    assert json.loads(accepted_response([IGNORED]).body) == {"status": "ignored", "event_id": None}
