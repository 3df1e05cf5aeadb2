"""Ask the platform, and say so: one `record.fetched` line for every question, whatever the answer."""

import time
from collections.abc import Mapping
from typing import Any

from service.errors import Deferred, PermanentError, TransientError
from service.events import Event, RecordRef, trace_id
from service.log import log_info
from service.metrics.families import FETCH_SECONDS, FETCHES
from service.platforms.base import CallContext, FetchedRecord, Platform

THROTTLED_KINDS = frozenset({"account_throttled", "circuit_open"})


async def fetch_record(platforms: Mapping[str, Platform], event: Event, attempt: int) -> FetchedRecord:
    """Fetch the record an event is about.

    Raises:
        TransientError, PermanentError: as the platform's connector; `unknown_platform` where the account is not
            configured here, which waits, since in a rolling deploy a newer worker may have it.
        Deferred: a limit is reached, or the platform rests.
    """
    started = time.perf_counter()
    try:
        fetched = await _platform(platforms, event).fetch(event.record, _context(event))
    except (TransientError, PermanentError, Deferred) as error:
        _log_fetch_error(event, attempt, started, error)
        raise
    found = {"outcome": "ok", "http_status": fetched.http_status, "gone": fetched.record is None}
    _log_fetch(event, attempt, started, found, fetched.operation)
    return fetched


async def follow_hint(platforms: Mapping[str, Platform], event: Event, attempt: int) -> tuple[RecordRef, ...]:
    """Find the records a hint is about.

    Raises:
        TransientError, PermanentError: as `fetch_record`.
    """
    started = time.perf_counter()
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
    """Nothing was asked where a limit or a pause came before it: nothing to tell then."""
    if error.kind in THROTTLED_KINDS:
        return
    found = {"outcome": "error", "error_kind": error.kind, "http_status": error.http_status}
    _log_fetch(event, attempt, started, found, error.operation or "fetch")


def _platform(platforms: Mapping[str, Platform], event: Event) -> Platform:
    platform = platforms.get(event.record.platform)
    if platform is None:
        raise TransientError("unknown_platform", f"no platform {event.record.platform!r} is configured here")
    return platform


def _context(event: Event) -> CallContext:
    return CallContext(event.id, event.traceparent, event.headers.get("x-correlation-id"))


def _log_fetch(event: Event, attempt: int, started: float, found: dict[str, Any], operation: str = "fetch") -> None:
    seconds = time.perf_counter() - started
    FETCHES.inc((event.record.platform, operation, found["outcome"], found.get("error_kind")))
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
    log_info("record.fetched", fields | found)
