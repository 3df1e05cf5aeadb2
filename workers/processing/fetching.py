"""Fetch records and follow hints: one log line `record.fetched` per request, for successes and errors."""

import time
from collections.abc import Mapping
from typing import Any

from service.errors import Deferred, PermanentError, TransientError
from service.events import Event, RecordRef, trace_id
from service.log import log_info
from service.metrics.families import FETCH_SECONDS, FETCHES, LOOKUP_SECONDS, LOOKUPS
from service.platforms.base import CallContext, FetchedRecord, Platform, state_without_fetch
from service.tracing.spans import Span, current_traceparent, start_span

THROTTLED_KINDS = frozenset({"account_throttled", "circuit_open"})


async def fetch_record(platforms: Mapping[str, Platform], event: Event, attempt: int) -> FetchedRecord:
    """Fetch the record of an event. An event without a platform has its state at once.

    Raises:
        TransientError: the connector failed, or `unknown_platform`: the account is not configured in this worker.
            During a rolling deployment a newer worker may have the account.
        PermanentError: the connector failed.
        Deferred: a limit of the account is reached, or its circuit breaker is open.
    """
    if (state := state_without_fetch(event.record)) is not None:
        return state
    return await _fetch(platforms, event, event.record, attempt)


async def fetch_lookup(platforms: Mapping[str, Platform], event: Event, ref: RecordRef, attempt: int) -> FetchedRecord:
    """Fetch a record that a rule looks up.

    Raises:
        TransientError, PermanentError, Deferred: as `fetch_record`.
    """
    started, outcome = time.perf_counter(), "error"
    try:
        fetched = await _fetch(platforms, event, ref, attempt, lookup=True)
        outcome = "ok" if fetched.record is not None else "missing"
    finally:  # a call that the deadline of all look-ups cancels is an error too
        LOOKUPS.inc((ref.platform, outcome))
        LOOKUP_SECONDS.observe((ref.platform,), time.perf_counter() - started)
    return fetched


async def _fetch(
    platforms: Mapping[str, Platform], event: Event, ref: RecordRef, attempt: int, *, lookup: bool = False
) -> FetchedRecord:
    started = time.perf_counter()
    with _start_span(ref) as span:
        try:
            fetched = await _platform(platforms, ref).fetch(ref, _context(event))
        except (TransientError, PermanentError, Deferred) as error:
            _log_fetch_error(event, ref, attempt, started, error, lookup=lookup)
            raise
        result = {"outcome": "ok", "http_status": fetched.http_status, "gone": fetched.record is None}
        span.set({"waybill.operation": fetched.operation, "http.response.status_code": fetched.http_status})
        _log_fetch(event, ref, attempt, started, result, operation=fetched.operation, lookup=lookup)
        return fetched


async def follow_hint(platforms: Mapping[str, Platform], event: Event, attempt: int) -> tuple[RecordRef, ...]:
    """Return the records that a hint leads to.

    Raises:
        TransientError, PermanentError, Deferred: as `fetch_record`.
    """
    started = time.perf_counter()
    with _start_span(event.record):
        try:
            refs = await _platform(platforms, event.record).resolve(event.record, _context(event))
        except (TransientError, PermanentError, Deferred) as error:
            _log_fetch_error(event, event.record, attempt, started, error)
            raise
        _log_fetch(event, event.record, attempt, started, {"outcome": "ok", "records": len(refs)}, operation="resolve")
        return refs


def _log_fetch_error(
    event: Event,
    ref: RecordRef,
    attempt: int,
    started: float,
    error: TransientError | PermanentError | Deferred,
    *,
    lookup: bool = False,
) -> None:
    # No request was sent.
    if error.kind in THROTTLED_KINDS:
        return
    result = {"outcome": "error", "error_kind": error.kind, "http_status": error.http_status}
    _log_fetch(event, ref, attempt, started, result, operation=error.operation or "fetch", lookup=lookup)


def _platform(platforms: Mapping[str, Platform], ref: RecordRef) -> Platform:
    platform = platforms.get(ref.platform)
    if platform is None:
        raise TransientError("unknown_platform", f"platforms.{ref.platform} is not configured in this worker")
    return platform


def _start_span(ref: RecordRef) -> Span:
    return start_span("fetch", "client", attributes={"waybill.platform": ref.platform})


def _context(event: Event) -> CallContext:
    return CallContext(event.id, current_traceparent(event.traceparent), event.correlation_id)


def _log_fetch(
    event: Event,
    ref: RecordRef,
    attempt: int,
    started: float,
    result: dict[str, Any],
    *,
    operation: str = "fetch",
    lookup: bool = False,
) -> None:
    seconds = time.perf_counter() - started
    FETCHES.inc((ref.platform, operation, result["outcome"], result.get("error_kind")))
    FETCH_SECONDS.observe((ref.platform,), seconds)
    fields: dict[str, Any] = {
        "event_id": event.id,
        "trace_id": trace_id(event.traceparent),
        "source_name": event.source,
        "platform": ref.platform,
        "record_kind": ref.kind,
        "attempt": attempt,
        "duration_ms": round(seconds * 1000, 2),
        "operation": operation,
    }
    log_info("record.fetched", fields | result | ({"lookup": True} if lookup else {}))
