"""Time of the calls for spans while traces are off: `python -m tests.bench.spans`. Prints microseconds per event."""

import statistics
import time

from service.tracing.spans import current_ids, current_traceparent, start_span

EVENTS = 200_000
RUNS = 5
LINES = 4
"""Log lines of one event."""
EVENT_ATTRIBUTES = {"waybill.event_id": "", "waybill.source": "", "waybill.event_type": "", "waybill.platform": ""}


def run() -> float:
    """Make the calls of many events, and return the microseconds per event."""
    started = time.perf_counter()
    for _ in range(EVENTS):
        start_span("delivery", "server", age_ms=1.0, attributes={"waybill.source": "a"}).end()
        start_span("queue wait", "consumer", attributes=EVENT_ATTRIBUTES).end()
        with start_span("attempt", "consumer", attributes=dict(EVENT_ATTRIBUTES)) as attempt:
            with start_span("fetch", "client", attributes={"waybill.platform": "p"}) as span:
                span.set({"waybill.operation": "a", "http.response.status_code": 200})
                current_traceparent("x")
            with start_span("decision"):
                pass
            with start_span("effect", "client", attributes=dict(EVENT_ATTRIBUTES)) as span:
                span.set_error(None)
                current_traceparent("x")
            attempt.set({"waybill.outcome": "matched"})
            attempt.set_error(None)
        for _ in range(LINES):
            current_ids()
    return (time.perf_counter() - started) / EVENTS * 1_000_000


if __name__ == "__main__":
    print(f"{statistics.median(run() for _ in range(RUNS)):.2f} us per event")  # noqa: T201 - a script
