"""Log line `attempt.finished`, one per attempt, also on failure, and the history entry with the same values."""

import time
from typing import Any

from service.errors import WaybillError
from service.events import EVENT_KIND, Event, trace_id, traceparent_from_id
from service.log import current_logger, log_info
from service.metrics.families import (
    ATTEMPT_ERRORS,
    ATTEMPT_SECONDS,
    ATTEMPTS,
    END_TO_END_SECONDS,
    EVENTS_DEAD_LETTERED,
    QUEUE_WAIT_SECONDS,
    RECORDS_EXPECTED,
    RULE_ERRORS,
    RULES_UNKNOWN,
)
from service.redaction import loggable_id, loggable_name
from service.store import Job, LaneHead
from service.tracing.spans import NO_SPAN, Attributes, is_tracing, start_span
from workers.processing.history import ERROR_CHARACTERS_MAX, EXISTING, AttemptEntry, DecisionEntry

FINAL_OUTCOMES = frozenset({
    "matched", "unmatched", "record_missing", "unchanged", "stale", "resolved", "ignored", "dead_lettered",
})  # fmt: skip
"""Outcomes that end the event."""

UNKNOWN_SOURCE = "unknown"
"""Label `source` of an event that cannot be decoded."""


RULE_FIELDS = ("event_id", "trace_id", "source_name", "platform", "record_kind", "attempt")
"""Fields of an attempt in the line of a failed rule."""


UNUSUAL_RESULTS = frozenset({"unknown", "error"})
"""Results of rules that are counted."""

SAMPLED = "01"
"""Flags of a traceparent whose trace is recorded."""


class AttemptLog:
    """Collects the fields of one attempt; `finish` logs them.

    `started_at_ms` is the time of the store's clock. The monotonic clock of this process measures from there.
    """

    def __init__(self, job: Job, head: LaneHead, started_at_ms: int, attempts_max: int) -> None:
        self._started = time.perf_counter()
        self._started_at_ms = started_at_ms
        self._head = head
        self.fields: dict[str, Any] = {
            "event_id": head.id,
            "attempt": head.attempts,
            "attempts_max": attempts_max,
            "queue_wait_ms": max(started_at_ms - max(job.due_ms, head.received_ms), 0),
        }
        self.span = NO_SPAN

    def set_event(self, event: Event) -> None:
        """Add the fields of the event."""
        self.fields |= {
            "source_name": event.source,
            "event_type": loggable_name(event.type),
            "platform": event.record.platform,
            "record_kind": event.record.kind,
            "record_id": loggable_id(event.record.id),
            "trace_id": trace_id(event.traceparent),
        }

    def start_span(self, event: Event) -> None:
        """Start the span of the attempt, after one of its wait in the queue. Both are children of the delivery's."""
        if not is_tracing():
            return
        parent = event.traceparent
        # Without a span of a delivery, as for events of polls: the attempts of one event then have one trace.
        if parent is None or parent == traceparent_from_id(event.id):
            parent = traceparent_from_id(event.id)[:-2] + SAMPLED
        waited_ms = self.fields["queue_wait_ms"]
        attributes: Attributes = {
            "waybill.event_id": event.id,
            "waybill.source": event.source,
            "waybill.event_type": loggable_name(event.type),
            "waybill.platform": event.record.platform,
            "waybill.record_kind": event.record.kind,
            "waybill.attempt": self._head.attempts,
        }
        start_span("queue wait", "consumer", parent=parent, age_ms=waited_ms, attributes=attributes).end()
        self.span = start_span("attempt", "consumer", parent=parent, age_ms=self.duration_ms, attributes=attributes)

    @property
    def duration_ms(self) -> float:
        """Duration of the attempt so far."""
        return round((time.perf_counter() - self._started) * 1000, 2)

    @property
    def age_seconds(self) -> float:
        """Seconds since the event was received."""
        return (self._started_at_ms - self._head.received_ms) / 1000 + time.perf_counter() - self._started

    def entry(self, outcome: str, error: WaybillError | None = None) -> AttemptEntry:
        """Build the history entry of the attempt."""
        return AttemptEntry(
            at_ms=int(time.time() * 1000),
            attempt=self._head.attempts,
            outcome=outcome,
            duration_ms=self.duration_ms,
            error_kind=error.kind if error else None,
            error=str(error)[:ERROR_CHARACTERS_MAX] if error else None,
        )

    def report_rules(self, decided: DecisionEntry) -> None:
        """Count the unknown and failed rules of a decision, and write a line for each failed one."""
        for verdict in [each for each in decided.verdicts if each.result in UNUSUAL_RESULTS]:
            if verdict.result == "unknown":
                RULES_UNKNOWN.inc((verdict.rule_id,))
            else:
                RULE_ERRORS.inc((verdict.rule_id,))
                fields = {name: self.fields.get(name) for name in RULE_FIELDS}
                current_logger().warning(
                    "rule.failed",
                    **fields,
                    rule_id=verdict.rule_id,
                    rulebook=decided.rulebook,
                    reason=verdict.reason,
                )

    def count_record(self, event: Event, decided: DecisionEntry) -> None:
        """Count a record that was created or updated: whether it was found."""
        if event.change in EXISTING and event.record.kind != EVENT_KIND:
            result = "missing" if decided.gone else "found"
            RECORDS_EXPECTED.inc((event.record.platform, event.record.kind, result))

    def finish(self, outcome: str, error: WaybillError | None = None) -> None:
        """Log `attempt.finished` and update the metrics."""
        level = "error" if outcome == "dead_lettered" else "warning" if error and outcome != "deferred" else "info"
        duration_ms = self.duration_ms
        e2e_ms = round(self._started_at_ms - self._head.received_ms + duration_ms, 2)
        self.span.set({"waybill.outcome": outcome})
        self.span.set_error(error)
        self._count(outcome, error.kind if error else None, duration_ms, e2e_ms)
        fields = self.fields | {
            "outcome": outcome,
            "duration_ms": duration_ms,
            "e2e_ms": e2e_ms,
            "error_kind": error.kind if error else None,
            "http_status": getattr(error, "http_status", None),
            "weight": 1,
        }
        if level == "info":
            log_info("attempt.finished", fields)
        else:
            current_logger().log(LEVELS[level], "attempt.finished", **fields)

    def _count(self, outcome: str, error_kind: str | None, duration_ms: float, e2e_ms: float) -> None:
        source: str = self.fields.get("source_name", UNKNOWN_SOURCE)
        ATTEMPTS.inc((source, outcome))
        ATTEMPT_SECONDS.observe((source,), duration_ms / 1000)
        QUEUE_WAIT_SECONDS.observe((), self.fields["queue_wait_ms"] / 1000)
        if error_kind:
            ATTEMPT_ERRORS.inc((source, error_kind))
        if outcome == "dead_lettered":
            EVENTS_DEAD_LETTERED.inc((source, error_kind))
        if outcome in FINAL_OUTCOMES:
            END_TO_END_SECONDS.observe((source,), e2e_ms / 1000)


LEVELS = {"warning": 30, "error": 40}
