"""Panels of the log dashboards, from an overview to a single event."""

from typing import Literal

from msgspec import Struct

from helm.dashboards.generator.queries import (
    ANY_INSTANCE,
    Count,
    ErrorEvents,
    Levels,
    Lines,
    LogQuery,
    Max,
    Metric,
    NonJsonLines,
    Quantile,
    Ratio,
    Sum,
    Where,
)

PanelKind = Literal["lines", "bars", "number", "gauges", "table", "feed"]

DELIVERY, ATTEMPT, FETCH, ACTION, QUEUE = (
    "delivery.received",
    "attempt.finished",
    "record.fetched",
    "action.finished",
    "queue.sampled",
)
ENDED = Where("outcome", "=~", "matched|unmatched|record_missing|unchanged|stale|resolved|ignored|dead_lettered")
DECIDED = Where("outcome", "=~", "matched|unmatched|record_missing")
REJECTED = Where("delivery_status", "=", "rejected")
RETRIED = Where("outcome", "=", "retried")
DEAD = Where("outcome", "=", "dead_lettered")
ERROR = Where("outcome", "=", "error")
FAILED = Where("http_status", ">=", 500)


class Panel(Struct, frozen=True):
    """One panel. Several queries share one graph.

    A number is the value of the whole time range, or the newest value of a `Max`. It is red from the value `red` on, or
    below it with `red_below`.
    """

    title: str
    kind: PanelKind
    queries: tuple[LogQuery | Metric, ...]
    unit: str = "short"
    red: float | None = None
    description: str = ""
    red_below: bool = False


class Row(Struct, frozen=True):
    """Row of related panels."""

    title: str
    panels: tuple[Panel, ...]


def _per_decision(field: str) -> Ratio:
    """Average of a field. All lines of decisions have one weight, since none is an error."""
    evaluated = Where("outcome", "=~", "matched|unmatched")
    return Ratio(Sum(ATTEMPT, field, (evaluated,)), Count(ATTEMPT, where=(evaluated,)))


OVERVIEW = Row(
    "Overview",
    (
        Panel("Deliveries", "number", (Count(DELIVERY),)),
        Panel(
            "5xx rate",
            "number",
            (Ratio(Count(DELIVERY, where=(FAILED,)), Count(DELIVERY)),),
            "percentunit",
            0.01,
            "Errors of Waybill or its store. Senders redeliver.",
        ),
        Panel("Response time p50", "number", (Quantile(0.5, DELIVERY, "duration_ms"),), "ms"),
        Panel("Workers alive", "number", (Max(QUEUE, "workers"),), red=1, red_below=True),
        Panel("Longest due job", "number", (Max(QUEUE, "oldest_due_ms", 1_000),), "s", 1_800),
        Panel("Oldest pending event", "number", (Max(QUEUE, "oldest_age_ms", 1_000),), "s"),
        Panel("Dead letters", "number", (Max(QUEUE, "dead_letters"),), red=1),
        Panel("Events dead-lettered", "number", (Count(ATTEMPT, (), (DEAD,)),), red=1),
    ),
)
INGRESS = Row(
    "Ingress",
    (
        Panel("Deliveries per second", "lines", (Count(DELIVERY, ("source_name",), rate=True),), "reqps"),
        Panel("Deliveries by status", "bars", (Count(DELIVERY, ("delivery_status",)),)),
        Panel("Response time p99", "lines", (Quantile(0.99, DELIVERY, "duration_ms", ("source_name",)),), "ms"),
        Panel("Rejected, by reason", "bars", (Count(DELIVERY, ("source_name", "reason"), (REJECTED,)),)),
        Panel(
            "Duplicates", "bars", (Count(DELIVERY, ("source_name",), (Where("delivery_status", "=", "duplicate"),)),)
        ),
    ),
)
QUEUE_ROW = Row(
    "Queue",
    (
        Panel("Jobs: due", "lines", (Max(QUEUE, "due"),)),
        Panel(
            "Jobs: deferred, running, parked",
            "lines",
            (Max(QUEUE, "deferred"), Max(QUEUE, "running"), Max(QUEUE, "parked")),
        ),
        Panel("Store memory", "lines", (Max(QUEUE, "memory_bytes"),), "bytes"),
        Panel("Queue wait p95", "lines", (Quantile(0.95, ATTEMPT, "queue_wait_ms"),), "ms"),
        Panel(
            "End-to-end latency p95",
            "lines",
            (Quantile(0.95, ATTEMPT, "e2e_ms", ("source_name",), (ENDED,)),),
            "ms",
        ),
    ),
)
ATTEMPTS = Row(
    "Attempts",
    (
        Panel("Attempts by outcome", "bars", (Count(ATTEMPT, ("outcome",)),)),
        Panel("Retries by error", "bars", (Count(ATTEMPT, ("error_kind",), (RETRIED,)),)),
        Panel(
            "Events dead-lettered by source and error",
            "bars",
            (Count(ATTEMPT, ("source_name", "error_kind"), (DEAD,)),),
        ),
        Panel(
            "Deferred attempts by error",
            "bars",
            (Count(ATTEMPT, ("error_kind",), (Where("outcome", "=", "deferred"),)),),
            description="Events that wait for an open circuit, a limit or a newer state of the record.",
        ),
        Panel("Attempts per event", "gauges", (Count(ATTEMPT, ("attempt",), (DECIDED,)),)),
    ),
)
PLATFORMS = Row(
    "Platforms",
    (
        Panel("Platform response time p95", "lines", (Quantile(0.95, FETCH, "duration_ms", ("platform",)),), "ms"),
        Panel("Platform errors by status", "bars", (Count(FETCH, ("platform", "http_status"), (ERROR,)),)),
        Panel("Platform errors by kind", "bars", (Count(FETCH, ("platform", "error_kind"), (ERROR,)),)),
        Panel("429 responses", "bars", (Count(FETCH, ("platform",), (Where("http_status", "=", 429),)),)),
    ),
)
RULES = Row(
    "Rules",
    (
        Panel("Effects per rule", "bars", (Count(ACTION, ("rule_id",)),)),
        Panel("Effects by outcome", "bars", (Count(ACTION, ("action_type", "outcome")),)),
        Panel(
            "Failed effects by destination and error",
            "bars",
            (Count(ACTION, ("destination_name", "error_kind"), (ERROR,)),),
            description="Effects without a destination of waybill.yaml, such as a plain URL, have no name.",
        ),
        Panel("Effect duration p95", "lines", (Quantile(0.95, ACTION, "duration_ms", ("action_type",)),), "ms"),
        Panel("Rules matched per decision", "lines", (_per_decision("rules_matched"),)),
        Panel("Rules with result unknown per decision", "lines", (_per_decision("rules_unknown"),)),
        Panel("Failed rules", "bars", (Count("rule.failed", ("rule_id",)),)),
    ),
)
ERRORS = Row(
    "Errors",
    (
        Panel("Top errors", "table", (ErrorEvents(),)),
        Panel("Log lines by level", "bars", (Levels(),)),
        Panel(
            "Admin API: denied calls",
            "bars",
            (Count("admin.denied", ("reason", "client_host")),),
            description="Calls without a known token or with an insufficient role; at most one line per second.",
        ),
        Panel("Log lines that are not JSON", "number", (NonJsonLines(),), red=1),
        Panel(
            "Errors and warnings",
            "feed",
            (
                Lines(
                    (
                        "level",
                        "message",
                        "source_name",
                        "delivery_status",
                        "outcome",
                        "reason",
                        "error_kind",
                        "event_id",
                    ),
                    (Where("level", "=~", "warning|error|critical"), ANY_INSTANCE),
                ),
            ),
            description="A click on a line shows the link to the lines of its event.",
        ),
    ),
)
SINGLE_EVENT = Row(
    "Single event",
    (
        Panel(
            "Event log",
            "feed",
            (
                Lines(
                    (
                        "message",
                        "delivery_status",
                        "outcome",
                        "attempt",
                        "operation",
                        "rule_id",
                        "duration_ms",
                        "error_kind",
                    ),
                    (Where("event_id", "=", "$event_id"),),
                ),
            ),
            description="The lines of the event whose id stands in the variable Event; empty without an id.",
        ),
    ),
)

ROWS = (OVERVIEW, INGRESS, QUEUE_ROW, ATTEMPTS, PLATFORMS, RULES, ERRORS, SINGLE_EVENT)
