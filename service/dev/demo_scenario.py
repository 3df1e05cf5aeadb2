"""What the demonstration sends, and what has to become of it. Values only; `service.dev.demo` plays them."""

from collections.abc import Mapping

from msgspec import Struct, structs

from service.dev.demo_senders import DeliveryRequest, signed_by_hmac, with_basic
from service.dev.sandbox_client import FaultRequest, Seed
from service.dev.workspace import FLOW_PASSWORD, FLOW_TENANT, FLOW_USER, PACK_ORGANIZATION, PACK_SECRET

SLOW_FETCH_MS = 20_000
"""Longer than the demonstration waits: only a killed worker and another one's fetch can end that event in time."""


class ExpectedOutcome(Struct, frozen=True):
    """What becomes of a delivery: the ingress's answer, and for an event its outcome, attempts and calls at the sink.

    `outcome` is the last attempt's, empty where there is no event; `calls` counts what the sink got about the record.
    """

    answer: str
    outcome: str = ""
    attempts: int = 0
    calls: int = 0

    def __str__(self) -> str:
        """Give one short line for the table."""
        if not self.outcome:
            return self.answer
        tried = "" if self.attempts == 1 else f", attempt {self.attempts}"
        calls = {0: "no call", 1: "1 call"}.get(self.calls, f"{self.calls} calls")
        return f"{self.answer.removesuffix(' queued')} → {self.outcome}{tried}, {calls}"


QUEUED = "202 queued"
DONE_ONCE = ExpectedOutcome(QUEUED, "matched", 1, 1)


class DemoStep(Struct, frozen=True):
    """One delivery: what it shows, the record it is about, what the platform does wrong, and what is expected.

    Before it is sent, the sandbox is given `seed` and `fault`, or loses the record (`gone`).
    """

    title: str
    request: DeliveryRequest
    record_id: str
    expected: ExpectedOutcome
    seed: Seed | None = None
    fault: FaultRequest | None = None
    gone: bool = False
    kills_worker: bool = False


def purchase_order(order_id: str, ordered: int, received: int) -> Seed:
    """Make a purchase order of pack.cloud's, received, with one line at 9.95 EUR."""
    line = {
        "id": f"{order_id}-1",
        "purchase_order_id": order_id,
        "product_id": "pencil-orange",
        "price": {"currency": "EUR", "value": "9.95"},
        "quantity_ordered": ordered,
        "quantity_received": received,
    }
    moments = {"created_at": "2026-11-18T07:45:00.000000Z", "updated_at": "2026-11-20T09:15:00.000000Z"}
    record = {"id": order_id, "reference": f"ORD-{order_id}", "status": "received", "lines": [line], **moments}
    return Seed("pack_cloud", "purchase_order", order_id, record)


def customer(customer_uid: str) -> Seed:
    """Make a business customer of Flow Retail's."""
    record = {
        "customerUid": customer_uid,
        "customerType": "COMPANY",
        "companyName": "Eksempel AS",
        "createdAt": "2026-07-30T18:12:05.623Z",
        "lastModifiedAt": "2026-11-20T18:12:05.623Z",
    }
    return Seed("flow_retail", "customer", customer_uid, record)


def fetch_path(order_id: str) -> str:
    """Where the sandbox answers for a purchase order of pack.cloud's."""
    return f"/pack_cloud/v1/organizations/{PACK_ORGANIZATION}/purchase-orders/{order_id}"


def build_warm_up(secrets: Mapping[str, str]) -> DemoStep:
    """Give the delivery that is sent before the acts, so that opening connections distorts no duration."""
    request = updated_order(secrets, "po-warm-up", "evt-0")
    return DemoStep(
        "", request, "po-warm-up", ExpectedOutcome(QUEUED, "unmatched", 1, 0), purchase_order("po-warm-up", 1, 1)
    )


def build_steps(secrets: Mapping[str, str]) -> tuple[DemoStep, ...]:
    """Give the acts in their order; the last one takes a worker down."""
    return (*_ingress_steps(secrets), *_acts_of_trouble(secrets))


def _ingress_steps(secrets: Mapping[str, str]) -> tuple[DemoStep, ...]:
    """What the ingress takes and what it refuses."""
    short = updated_order(secrets, "po-short", "evt-1")
    forged = structs.replace(short, body=short.body.replace(b"po-short", b"po-shirt"))
    stranger = structs.replace(short, source="nobody")
    till = {
        "action": "CUSTOMER_UPDATE",
        "tenant": {"Id": 1, "Uid": FLOW_TENANT},
        "customer": {"Id": 7, "Uid": "c-1000"},
    }
    return (
        DemoStep("a purchase order received short", short, "po-short", DONE_ONCE, purchase_order("po-short", 100, 40)),
        DemoStep(
            "a purchase order received in full",
            updated_order(secrets, "po-full", "evt-2"),
            "po-full",
            ExpectedOutcome(QUEUED, "unmatched", 1, 0),
            purchase_order("po-full", 100, 100),
        ),
        DemoStep("the first delivery once more", short, "po-short", ExpectedOutcome("202 duplicate", "matched", 1, 1)),
        DemoStep("the same with a changed body", forged, "po-shirt", ExpectedOutcome("401 not_verified")),
        DemoStep("the same to an unknown source", stranger, "po-short", ExpectedOutcome("404 unknown_source")),
        DemoStep(
            "a customer changed at the till",
            with_basic("flow-till", till, FLOW_USER, secrets[FLOW_PASSWORD]),
            "c-1000",
            DONE_ONCE,
            customer("c-1000"),
        ),
    )


def _acts_of_trouble(secrets: Mapping[str, str]) -> tuple[DemoStep, ...]:
    """What goes wrong after the 202."""
    return (
        DemoStep(
            "a platform that fails once",
            updated_order(secrets, "po-flaky", "evt-3"),
            "po-flaky",
            ExpectedOutcome(QUEUED, "matched", 2, 1),
            purchase_order("po-flaky", 60, 12),
            FaultRequest(fetch_path("po-flaky"), status=500),
        ),
        DemoStep(
            "a record that is gone",
            updated_order(secrets, "po-gone", "evt-4"),
            "po-gone",
            ExpectedOutcome(QUEUED, "unmatched", 1, 0),
            gone=True,
        ),
        DemoStep(
            "a platform that refuses for good",
            updated_order(secrets, "po-refused", "evt-5"),
            "po-refused",
            ExpectedOutcome(QUEUED, "dead_lettered", 1, 0),
            fault=FaultRequest(fetch_path("po-refused"), status=403),
        ),
        DemoStep(
            "a worker killed during an event",
            updated_order(secrets, "po-crash", "evt-6"),
            "po-crash",
            ExpectedOutcome(QUEUED, "matched", 2, 1),
            purchase_order("po-crash", 30, 3),
            FaultRequest(fetch_path("po-crash"), delay_ms=SLOW_FETCH_MS),
            kills_worker=True,
        ),
    )


def updated_order(secrets: Mapping[str, str], order_id: str, event: str) -> DeliveryRequest:
    """Make pack.cloud's delivery that a purchase order was updated; `event` is its event id."""
    payload = {"event_code": "purchase_order.updated", "id": event, "organization_id": PACK_ORGANIZATION}
    return signed_by_hmac("pack-orders", {**payload, "data": {"id": order_id}}, secrets[PACK_SECRET])
