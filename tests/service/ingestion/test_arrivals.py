"""From facts to events and from receipts to the answer, for deliveries that tell of none, one and several things."""

import json

from service.events import Delivery, Fact, RecordRef
from service.ingestion.arrivals import IGNORED, DeliveryContext, FactOutcome, build_ingest_requests, match_outcomes
from service.ingestion.sources import VerifiedDelivery
from service.ingress.http.responses import accepted_response
from service.store import IngestResult

ORIGIN = DeliveryContext(
    Delivery("erp", {"webhook-id": "1", "x-signature": "s"}, b"{}", 0.0), "00-a-b-00", 1_000, "first"
)
ORDER = Fact("order.updated", "e1", "updated", RecordRef("erp", "purchase_order", "1"), "2026-11-20")
PING = Fact("ping")


def admission(*facts: Fact) -> VerifiedDelivery:
    """Facts with their claims, parts of the body and, every second one, an id of their own."""
    numbers = range(len(facts))
    claims, bodies = tuple(f"c{n}" for n in numbers), tuple(b"%d" % n for n in numbers)
    return VerifiedDelivery(facts, claims, bodies, tuple(n % 2 == 0 for n in numbers))


def test_facts_about_no_record_become_no_events() -> None:
    assert build_ingest_requests(admission(PING), ORIGIN) == []
    assert match_outcomes([PING], []) == [IGNORED]
    assert match_outcomes([], []) == [IGNORED]


def test_the_first_event_has_the_deliverys_id_and_each_further_one_its_own() -> None:
    arrivals = build_ingest_requests(admission(PING, ORDER, ORDER), ORIGIN)
    first, second = (arrival.event for arrival in arrivals)
    assert (first.id, len(second.id)) == ("first", 32)
    assert [arrival.dedupe_key for arrival in arrivals] == ["c1", "c2"]
    assert (first.body, first.identified, second.body, second.identified) == (b"1", False, b"2", True)
    assert first.headers == {"webhook-id": "1"}
    assert (first.type, first.change, first.record, first.occurred_at) == (
        "order.updated", "updated", ORDER.record, "2026-11-20",
    )  # fmt: skip


def test_each_fact_is_answered_in_its_place() -> None:
    receipts = [IngestResult("duplicate", "old"), IngestResult("queued", "new")]
    outcomes = match_outcomes([ORDER, PING, ORDER], receipts)
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


def test_a_single_fact_is_answered_the_same_way_whatever_its_ids_length() -> None:
    for event_id in ("a" * 32, "short"):
        answer = accepted_response([FactOutcome("queued", event_id)])
        assert json.loads(answer.body) == {"status": "queued", "event_id": event_id}
        lengths = [value for name, value in answer.headers if name == b"content-length"]
        assert lengths == [str(len(answer.body)).encode()]
    assert json.loads(accepted_response([IGNORED]).body) == {"status": "ignored", "event_id": None}
