"""Steps of the demonstration: deliveries and expected outcomes. Values only; `service.dev.demo` runs them."""

from collections.abc import Mapping

from msgspec import Struct, structs

from service.dev.demo_senders import DeliveryRequest, signed_by_hmac, with_basic
from service.dev.sandbox_client import FaultRequest, Seed
from service.dev.workspace import FLOW_PASSWORD, FLOW_TENANT, FLOW_USER, PACK_ORGANIZATION, PACK_SECRET

SLOW_FETCH_MS = 20_000
"""Longer than the demonstration waits, so that only a killed worker and a second fetch can end the event in time."""


class DemoOutcome(Struct, frozen=True):
    """Outcome of a delivery: HTTP response, and for an event outcome, attempts and calls.

    `outcome` is empty if the delivery was rejected. `calls` counts the requests about the record at the sandbox.
    """

    answer: str
    outcome: str = ""
    attempts: int = 0
    calls: int = 0

    def __str__(self) -> str:
        """Format the outcome for the table."""
        if not self.outcome:
            return self.answer
        attempt = "" if self.attempts == 1 else f", attempt {self.attempts}"
        calls = {0: "no call", 1: "1 call"}.get(self.calls, f"{self.calls} calls")
        return f"{self.answer.removesuffix(' queued')} → {self.outcome}{attempt}, {calls}"


QUEUED = "202 queued"
DONE_ONCE = DemoOutcome(QUEUED, "matched", 1, 1)


class DemoStep(Struct, frozen=True):
    """One delivery with its title, record, fault and expected outcome.

    Before the delivery, the sandbox receives `seed` and `fault`, or deletes the record if `deleted` is set.
    """

    title: str
    request: DeliveryRequest
    record_id: str
    expected: DemoOutcome
    seed: Seed | None = None
    fault: FaultRequest | None = None
    deleted: bool = False
    kills_worker: bool = False


def purchase_order(order_id: str, ordered: int, received: int) -> Seed:
    """Build a received purchase order of pack.cloud with one line of 9.95 EUR per unit."""
    line = {
        "id": f"{order_id}-1",
        "purchase_order_id": order_id,
        "product_id": "pencil-orange",
        "price": {"currency": "EUR", "value": "9.95"},
        "quantity_ordered": ordered,
        "quantity_received": received,
    }
    timestamps = {"created_at": "2026-11-18T07:45:00.000000Z", "updated_at": "2026-11-20T09:15:00.000000Z"}
    record = {"id": order_id, "reference": f"ORD-{order_id}", "status": "received", "lines": [line], **timestamps}
    return Seed("pack_cloud", "purchase_order", order_id, record)


def customer(customer_uid: str) -> Seed:
    """Build a business customer of Flow Retail."""
    record = {
        "customerUid": customer_uid,
        "customerType": "COMPANY",
        "companyName": "Eksempel AS",
        "createdAt": "2026-07-30T18:12:05.623Z",
        "lastModifiedAt": "2026-11-20T18:12:05.623Z",
    }
    return Seed("flow_retail", "customer", customer_uid, record)


def fetch_path(order_id: str) -> str:
    """Return the path of a purchase order of pack.cloud at the sandbox."""
    return f"/pack_cloud/v1/organizations/{PACK_ORGANIZATION}/purchase-orders/{order_id}"


def build_warm_up(secrets: Mapping[str, str]) -> DemoStep:
    """Build the delivery that opens all connections before the first step."""
    request = changed_order(secrets, "po-warm-up", "evt-0")
    return DemoStep(
        "", request, "po-warm-up", DemoOutcome(QUEUED, "unmatched", 1, 0), purchase_order("po-warm-up", 1, 1)
    )


def build_steps(secrets: Mapping[str, str]) -> tuple[DemoStep, ...]:
    """Build the steps in their order. The last step kills a worker."""
    return (*_ingress_steps(secrets), *_failure_steps(secrets))


def _ingress_steps(secrets: Mapping[str, str]) -> tuple[DemoStep, ...]:
    """Build the steps about accepted and rejected deliveries."""
    short = changed_order(secrets, "po-short", "evt-1")
    forged = structs.replace(short, body=short.body.replace(b"po-short", b"po-shirt"))
    unknown_source = structs.replace(short, source="nobody")
    customer_update = {
        "action": "CUSTOMER_UPDATE",
        "tenant": {"Id": 1, "Uid": FLOW_TENANT},
        "customer": {"Id": 7, "Uid": "c-1000"},
    }
    return (
        DemoStep(
            "purchase order, received incomplete", short, "po-short", DONE_ONCE, purchase_order("po-short", 100, 40)
        ),
        DemoStep(
            "purchase order, received in full",
            changed_order(secrets, "po-full", "evt-2"),
            "po-full",
            DemoOutcome(QUEUED, "unmatched", 1, 0),
            purchase_order("po-full", 100, 100),
        ),
        DemoStep("redelivery of the first delivery", short, "po-short", DemoOutcome("202 duplicate", "matched", 1, 1)),
        DemoStep("delivery with a changed body", forged, "po-shirt", DemoOutcome("401 not_verified")),
        DemoStep("delivery to an unknown source", unknown_source, "po-short", DemoOutcome("404 unknown_source")),
        DemoStep(
            "customer update with HTTP Basic",
            with_basic("flow-till", customer_update, FLOW_USER, secrets[FLOW_PASSWORD]),
            "c-1000",
            DONE_ONCE,
            customer("c-1000"),
        ),
    )


def _failure_steps(secrets: Mapping[str, str]) -> tuple[DemoStep, ...]:
    """Build the steps about failures after the response 202."""
    return (
        DemoStep(
            "platform error 500, once",
            changed_order(secrets, "po-flaky", "evt-3"),
            "po-flaky",
            DemoOutcome(QUEUED, "matched", 2, 1),
            purchase_order("po-flaky", 60, 12),
            FaultRequest(fetch_path("po-flaky"), status=500),
        ),
        DemoStep(
            "record deleted on the platform",
            changed_order(secrets, "po-gone", "evt-4", "deleted"),
            "po-gone",
            DemoOutcome(QUEUED, "unmatched", 1, 0),
            deleted=True,
        ),
        DemoStep(
            "platform error 422, permanent",
            changed_order(secrets, "po-rejected", "evt-5"),
            "po-rejected",
            DemoOutcome(QUEUED, "dead_lettered", 1, 0),
            fault=FaultRequest(fetch_path("po-rejected"), status=422),
        ),
        DemoStep(
            "worker killed during an event",
            changed_order(secrets, "po-crash", "evt-6"),
            "po-crash",
            DemoOutcome(QUEUED, "matched", 2, 1),
            purchase_order("po-crash", 30, 3),
            FaultRequest(fetch_path("po-crash"), delay_ms=SLOW_FETCH_MS),
            kills_worker=True,
        ),
    )


def changed_order(secrets: Mapping[str, str], order_id: str, event: str, change: str = "updated") -> DeliveryRequest:
    """Build a delivery of pack.cloud about a changed purchase order. `event` is the event id of the sender."""
    payload = {"event_code": f"purchase_order.{change}", "id": event, "organization_id": PACK_ORGANIZATION}
    return signed_by_hmac("pack-orders", {**payload, "data": {"id": order_id}}, secrets[PACK_SECRET])
