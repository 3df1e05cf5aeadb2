"""Log line `delivery.received` and metrics of each delivery, accepted or rejected.

The line never contains the body, a header or a secret. It names only configured sources: another path may contain a
misplaced token, and arbitrary paths must not become sources on a dashboard.
"""

from collections.abc import Sequence
from time import perf_counter
from typing import Any

from structlog.typing import FilteringBoundLogger

from service.events import Delivery, Fact, new_event_id, trace_id
from service.ingestion.arrivals import FactOutcome
from service.ingestion.headers import correlation_id_of
from service.ingress.http.responses import primary_outcome
from service.log import get_logger, log_info
from service.metrics.families import DELIVERIES, DELIVERY_ACK_SECONDS, DIFFERING_DUPLICATES
from service.redaction import loggable_id, loggable_name
from service.store import IngestResult
from service.tracing.spans import NO_SPAN, Attributes, start_span

UNKNOWN_SOURCE = "unknown"
EVENT_IDS_MAX = 32
"""Maximum number of event ids in the line of one delivery. All its events share the trace id."""


class DeliveryLog:
    """Data collected about one delivery. `id` becomes the id of its first event, if there is one.

    `differing` are the ids of the events whose content differs from that of this delivery, their duplicate.
    `delivery` has an empty body until `whole` is true. `verified` is true after its signature was checked. `address` is
    the client address, which is never logged.
    """

    __slots__ = (
        "_began", "address", "body_bytes", "correlation_id", "delivery", "differing", "event_type", "id", "outcomes",
        "reason", "repaired", "sender_event_id", "source", "span", "trace_id", "verified", "whole",
    )  # fmt: skip

    def __init__(self) -> None:
        self._began = perf_counter()
        self.id = new_event_id()
        self.trace_id = self.id
        self.span = NO_SPAN
        self.source = UNKNOWN_SOURCE
        self.address = ""
        self.delivery: Delivery | None = None
        self.whole = False
        self.verified = False
        self.event_type: str | None = None
        self.sender_event_id: str | None = None
        self.reason: str | None = None
        self.correlation_id: str | None = None
        self.body_bytes = 0
        self.repaired = False
        self.outcomes: Sequence[FactOutcome] = ()
        self.differing: Sequence[str] = ()

    def set_verified(self, traceparent: str) -> str:
        """Note that the signature is valid, and start the span of the delivery.

        Unverified requests have no span: they must not fill the queue of the collector.

        Returns:
            The traceparent for the events: that of the span, or `traceparent` without traces.
        """
        self.verified = True
        self.span = start_span(
            "delivery",
            "server",
            parent=None if self.trace_id == self.id else traceparent,
            age_ms=(perf_counter() - self._began) * 1000,
            attributes={"waybill.source": self.source},
        )
        if self.span.traceparent is None:
            return traceparent
        self.trace_id = trace_id(self.span.traceparent) or self.id
        return self.span.traceparent

    def set_facts(self, facts: Sequence[Fact]) -> None:
        """Set the event type and the correlation id from the facts. Several facts share those of the first."""
        if facts and self.delivery is not None:
            self.correlation_id = correlation_id_of(facts[0], self.delivery.headers)
            self.event_type = loggable_name(facts[0].type)
            self.reason = facts[0].reason
            self.sender_event_id = facts[0].id

    def set_results(self, outcomes: Sequence[FactOutcome], results: Sequence[IngestResult]) -> None:
        """Set the outcome of each fact, and the events of which the delivery is a duplicate with other content."""
        self.outcomes = outcomes
        self.differing = [result.event_id for result in results if result.differs]

    def log_accepted(self, http_status: int) -> None:
        """Log and count an acknowledged delivery."""
        outcome = primary_outcome(self.outcomes)
        duration_ms = self._duration_ms()
        self._set_result(outcome.status, http_status, outcome.event_id)
        DELIVERIES.inc((self.source, outcome.status, None))
        DELIVERY_ACK_SECONDS.observe((self.source,), duration_ms / 1000)
        fields: dict[str, Any] = {
            "source_name": self.source,
            "event_type": self.event_type,
            "delivery_status": outcome.status,
            "http_status": http_status,
            "duration_ms": duration_ms,
            "body_bytes": self.body_bytes,
            "event_id": outcome.event_id,
            "trace_id": self.trace_id,
            "weight": 1,
        }
        if self.sender_event_id is not None:
            fields["sender_event_id"] = loggable_id(self.sender_event_id)
        if self.correlation_id is not None:
            fields["correlation_id"] = loggable_id(self.correlation_id)
        if outcome.status == "ignored" and self.reason is not None:
            fields["reason"] = self.reason
        if self.repaired:
            fields["body_repaired"] = True
        if len(self.outcomes) > 1:
            fields |= self._several()
        if self.differing:
            DIFFERING_DUPLICATES.inc((self.source,), len(self.differing))
            fields["differing_event_ids"] = self.differing[:EVENT_IDS_MAX]
        if self.differing or "items_rejected" in fields:
            get_logger().warning("delivery.received", **fields)
        else:
            log_info("delivery.received", fields)

    def count_rejected(self, reason: str) -> None:
        """Count a rejected delivery; `reason` is the stable code."""
        DELIVERIES.inc((self.source, "rejected", reason))

    def log_rejected(self, log: FilteringBoundLogger, http_status: int, reason: str, *, quarantined: bool) -> None:
        """Log and count a rejected delivery; `quarantined` is true if it was queued for quarantine."""
        self.count_rejected(reason)
        self._set_result("rejected", http_status)
        self.span.fail(reason)
        log.warning(
            "delivery.received",
            source_name=self.source,
            event_type=self.event_type,
            delivery_status="rejected",
            reason=reason,
            http_status=http_status,
            duration_ms=self._duration_ms(),
            body_bytes=self.body_bytes,
            trace_id=self.trace_id,
            quarantined=quarantined,
            weight=1,
        )

    def _set_result(self, status: str, http_status: int, event_id: str | None = None) -> None:
        if self.span is not NO_SPAN:
            result: Attributes = {
                "waybill.delivery_status": status,
                "waybill.event_id": event_id,
                "waybill.event_type": self.event_type,
                "http.response.status_code": http_status,
            }
            self.span.set(result)

    def _duration_ms(self) -> float:
        return round((perf_counter() - self._began) * 1000, 3)

    def _several(self) -> dict[str, Any]:
        ids = [outcome.event_id for outcome in self.outcomes if outcome.event_id is not None]
        ignored = sum(outcome.status == "ignored" for outcome in self.outcomes)
        fields = {"events": len(self.outcomes), "ignored": ignored, "event_ids": ids[:EVENT_IDS_MAX]}
        rejected = sum(outcome.status == "rejected" for outcome in self.outcomes)
        return fields | ({"items_rejected": rejected} if rejected else {})
