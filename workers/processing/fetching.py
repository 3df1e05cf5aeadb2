"""Fetch records and follow hints: one log line `record.fetched` per request, for successes and errors."""

import time
from collections.abc import Mapping
from typing import Any

from service.errors import Deferred, PermanentError, TransientError
from service.events import Event, RecordRef, trace_id
from service.log import log_info
from service.metrics.families import FETCH_SECONDS, FETCHES
from service.platforms.base import CallContext, FetchedRecord, Platform
from service.tracing.spans import Span, current_traceparent, start_span

THROTTLED_KINDS = frozenset({"account_throttled", "circuit_open"})


async def fetch_record(platforms: Mapping[str, Platform], event: Event, attempt: int) -> FetchedRecord:
    """Fetch the record of an event.

    Raises:
        TransientError: the connector failed, or `unknown_platform`: the account is not configured in this worker.
            During a rolling deployment a newer worker may have the account.
        PermanentError: the connector failed.
        Deferred: a limit of the account is reached, or its circuit breaker is open.
    """
    started = time.perf_counter()
    with _start_span(event) as span:
        try:
            fetched = await _platform(platforms, event).fetch(event.record, _context(event))
        except (TransientError, PermanentError, Deferred) as error:
            _log_fetch_error(event, attempt, started, error)
            raise
        result = {"outcome": "ok", "http_status": fetched.http_status, "gone": fetched.record is None}
        span.set({"waybill.operation": fetched.operation, "http.response.status_code": fetched.http_status})
        _log_fetch(event, attempt, started, result, fetched.operation)
        return fetched


async def follow_hint(platforms: Mapping[str, Platform], event: Event, attempt: int) -> tuple[RecordRef, ...]:
    """Return the records that a hint leads to.

    Raises:
        TransientError, PermanentError, Deferred: as `fetch_record`.
    """
    started = time.perf_counter()
    with _start_span(event):
        try:
            refs = await _platform(platforms, event).resolve(event.record, _context(event))
        except (TransientError, PermanentError, Deferred) as error:
            _log_fetch_error(event, attempt, started, error)
            raise
        _log_fetch(event, attempt, started, {"outcome": "ok", "records": len(refs)}, "resolve")
        return refs


def _log_fetch_error(
    event: Event, attempt: int, started: float, error: TransientError | PermanentError | Deferred
) -> None:
    # No request was sent.
    if error.kind in THROTTLED_KINDS:
        return
    result = {"outcome": "error", "error_kind": error.kind, "http_status": error.http_status}
    _log_fetch(event, attempt, started, result, error.operation or "fetch")


def _platform(platforms: Mapping[str, Platform], event: Event) -> Platform:
    platform = platforms.get(event.record.platform)
    if platform is None:
        raise TransientError("unknown_platform", f"platforms.{event.record.platform} is not configured in this worker")
    return platform


def _start_span(event: Event) -> Span:
    return start_span("fetch", "client", attributes={"waybill.platform": event.record.platform})


def _context(event: Event) -> CallContext:
    return CallContext(event.id, current_traceparent(event.traceparent), event.correlation_id)


def _log_fetch(event: Event, attempt: int, started: float, result: dict[str, Any], operation: str = "fetch") -> None:
    seconds = time.perf_counter() - started
    FETCHES.inc((event.record.platform, operation, result["outcome"], result.get("error_kind")))
    FETCH_SECONDS.observe((event.record.platform,), seconds)
    fields: dict[str, Any] = {
        "event_id": event.id,
        "trace_id": trace_id(event.traceparent),
        "source_name": event.source,
        "platform": event.record.platform,
        "record_kind": event.record.kind,
        "attempt": attempt,
        "duration_ms": round(seconds * 1000, 2),
        "operation": operation,
    }
    log_info("record.fetched", fields | result)
