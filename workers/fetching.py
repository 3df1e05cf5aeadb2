"""Ask the platform, and say so: one `record.fetched` line for every question, whatever the answer."""

import time
from collections.abc import Mapping
from typing import Any

from service.errors import Held, PermanentError, TransientError
from service.events import Event, RecordRef, trace_id
from service.log import tell_often
from service.metrics.families import FETCH_SECONDS, FETCHES
from service.platforms.base import FetchContext, Fetched, Platform

UNASKED = frozenset({"account_throttled", "circuit_open"})


async def fetch_record(platforms: Mapping[str, Platform], event: Event, attempt: int) -> Fetched:
    """Fetch the record an event is about.

    Raises:
        TransientError, PermanentError: as the platform's connector; `unknown_platform` where the account is not
            configured here, which waits, since in a rolling deploy a newer worker may have it.
        Held: a limit is reached, or the platform rests.
    """
    started = time.perf_counter()
    try:
        fetched = await _platform(platforms, event).fetch(event.record, _context(event))
    except (TransientError, PermanentError, Held) as error:
        _tell_error(event, attempt, started, error)
        raise
    found = {"outcome": "ok", "http_status": fetched.http_status, "gone": fetched.record is None}
    _tell(event, attempt, started, found, fetched.operation)
    return fetched


async def follow_hint(platforms: Mapping[str, Platform], event: Event, attempt: int) -> tuple[RecordRef, ...]:
    """Find the records a hint is about.

    Raises:
        TransientError, PermanentError: as `fetch_record`.
    """
    started = time.perf_counter()
    try:
        refs = await _platform(platforms, event).resolve(event.record, _context(event))
    except (TransientError, PermanentError, Held) as error:
        _tell_error(event, attempt, started, error)
        raise
    _tell(event, attempt, started, {"outcome": "ok", "records": len(refs)}, "resolve")
    return refs


def _tell_error(event: Event, attempt: int, started: float, error: TransientError | PermanentError | Held) -> None:
    """Nothing was asked where a limit or a pause came before it: nothing to tell then."""
    if error.kind in UNASKED:
        return
    found = {"outcome": "error", "error_kind": error.kind, "http_status": error.http_status}
    _tell(event, attempt, started, found, error.operation or "fetch")


def _platform(platforms: Mapping[str, Platform], event: Event) -> Platform:
    platform = platforms.get(event.record.platform)
    if platform is None:
        raise TransientError("unknown_platform", f"no platform {event.record.platform!r} is configured here")
    return platform


def _context(event: Event) -> FetchContext:
    return FetchContext(event.id, event.traceparent, event.headers.get("x-correlation-id"))


def _tell(event: Event, attempt: int, started: float, found: dict[str, Any], operation: str = "fetch") -> None:
    seconds = time.perf_counter() - started
    FETCHES.add((event.record.platform, operation, found["outcome"], found.get("error_kind")))
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
    tell_often("record.fetched", fields | found)
