"""One canonical line an attempt, `attempt.finished`, at its end and even on failure; the same in the event's story."""

import time
from typing import Any

from service.errors import WaybillError
from service.events import Event, trace_id
from service.log import current_logger, log_info
from service.metrics.families import (
    ATTEMPT_ERRORS,
    ATTEMPT_SECONDS,
    ATTEMPTS,
    END_TO_END_SECONDS,
    EVENTS_DEAD_LETTERED,
    QUEUE_WAIT_SECONDS,
)
from service.store import Job, LaneHead
from workers.processing.history import AttemptEntry

ERROR_CHARACTERS_MAX = 300
ENDS = frozenset({"matched", "unmatched", "unchanged", "resolved", "ignored", "dead_lettered"})
"""Outcomes after which no attempt follows."""

UNKNOWN_SOURCE = "unknown"
"""The source, where the event could not be read."""


class AttemptLog:
    """Collects what is known of an attempt while it runs; `finish` says it once.

    `now_ms` is the store's clock at the last answer; from there time is counted by our own steady clock.
    """

    def __init__(self, job: Job, head: LaneHead, now_ms: int, attempts_max: int) -> None:
        self._began = time.perf_counter()
        self._now_ms = now_ms
        self._head = head
        self.fields: dict[str, Any] = {
            "event_id": head.id,
            "attempt": head.attempts,
            "attempts_max": attempts_max,
            "queue_wait_ms": max(now_ms - max(job.due_ms, head.received_ms), 0),
        }

    def set_event(self, event: Event) -> None:
        """Say which event it is."""
        self.fields |= {
            "source_name": event.source,
            "event_type": event.type,
            "platform": event.record.platform,
            "record_kind": event.record.kind,
            "trace_id": trace_id(event.traceparent),
        }

    @property
    def duration_ms(self) -> float:
        """How long the attempt has taken."""
        return round((time.perf_counter() - self._began) * 1000, 2)

    @property
    def age_seconds(self) -> float:
        """How long ago the event came."""
        return (self._now_ms - self._head.received_ms + self.duration_ms) / 1000

    def line(self, outcome: str, error: WaybillError | None = None) -> AttemptEntry:
        """The story's line for this end."""
        return AttemptEntry(
            at_ms=int(time.time() * 1000),
            attempt=self._head.attempts,
            outcome=outcome,
            duration_ms=self.duration_ms,
            error_kind=error.kind if error else None,
            error=str(error)[:ERROR_CHARACTERS_MAX] if error else None,
        )

    def finish(self, outcome: str, error: WaybillError | None = None) -> None:
        """Log the line."""
        level = "error" if outcome == "dead_lettered" else "warning" if error and outcome != "deferred" else "info"
        duration_ms = self.duration_ms
        e2e_ms = round(self._now_ms - self._head.received_ms + duration_ms, 2)
        self._count(outcome, error.kind if error else None, duration_ms, e2e_ms)
        fields = self.fields | {
            "outcome": outcome,
            "duration_ms": duration_ms,
            "e2e_ms": e2e_ms,
            "error_kind": error.kind if error else None,
            "http_status": getattr(error, "http_status", None),
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
        if outcome in ENDS:
            END_TO_END_SECONDS.observe((source,), e2e_ms / 1000)


LEVELS = {"warning": 30, "error": 40}
