"""The one list of panels: what an operator wants to see, from the front door to a single event."""

from typing import Literal

from msgspec import Struct

from service.dev.boards.questions import (
    Count,
    Levels,
    Lines,
    Peak,
    Quantile,
    Question,
    Ratio,
    Strays,
    Sum,
    Troubles,
    Where,
)

Kind = Literal["lines", "bars", "number", "gauges", "table", "feed"]

DELIVERY, ATTEMPT, FETCH, ACTION, QUEUE = (
    "delivery.received",
    "attempt.finished",
    "record.fetched",
    "action.finished",
    "queue.sampled",
)
ENDED = Where("outcome", "=~", "matched|unmatched|unchanged|resolved|ignored|dead_lettered")
DECIDED = Where("outcome", "=~", "matched|unmatched")
REJECTED = Where("status", "=", "rejected")
RETRIED = Where("outcome", "=", "retried")
DEAD = Where("outcome", "=", "dead_lettered")
ERROR = Where("outcome", "=", "error")


class Panel(Struct, frozen=True):
    """One panel. `red` is the value from which it turns red; several questions are drawn into one."""

    title: str
    kind: Kind
    questions: tuple[Question, ...]
    unit: str = "short"
    red: float | None = None
    meaning: str = ""


class Row(Struct, frozen=True):
    """Panels that belong together."""

    title: str
    panels: tuple[Panel, ...]


FRONT_DOOR = Row(
    "Front door",
    (
        Panel("Deliveries per second", "lines", (Count(DELIVERY, ("source",), rate=True),), "reqps"),
        Panel("Deliveries by status", "bars", (Count(DELIVERY, ("status",)),)),
        Panel("Answered within, median", "number", (Quantile(0.5, DELIVERY, "duration_ms"),), "ms"),
        Panel("Answered within, 99 of 100", "lines", (Quantile(0.99, DELIVERY, "duration_ms", ("source",)),), "ms"),
        Panel(
            "Answered 5xx",
            "number",
            (Ratio(Count(DELIVERY, where=(Where("http_status", ">=", 500),)), Count(DELIVERY)),),
            "percentunit",
            0.01,
            "Our own faults; the sender comes again.",
        ),
        Panel("Rejected, by reason", "bars", (Count(DELIVERY, ("source", "reason"), (REJECTED,)),)),
        Panel("Duplicates", "bars", (Count(DELIVERY, ("source",), (Where("status", "=", "duplicate"),)),)),
    ),
)
IN_THE_QUEUE = Row(
    "Queue",
    (
        Panel("Jobs: due", "lines", (Peak(QUEUE, "due"),)),
        Panel("Jobs: deferred and running", "lines", (Peak(QUEUE, "deferred"), Peak(QUEUE, "running"))),
        Panel("Oldest event", "number", (Peak(QUEUE, "oldest_age_ms", 1_000),), "s", 300),
        Panel("Dead letters waiting", "number", (Peak(QUEUE, "dead_letters", span="range"),), red=1),
        Panel("Workers alive", "number", (Peak(QUEUE, "workers"),)),
        Panel("Store memory", "lines", (Peak(QUEUE, "memory_bytes"),), "bytes"),
        Panel("Wait in the queue, 95 of 100", "lines", (Quantile(0.95, ATTEMPT, "queue_wait_ms"),), "ms"),
        Panel(
            "From receipt to end, 95 of 100", "lines", (Quantile(0.95, ATTEMPT, "e2e_ms", ("source",), (ENDED,)),), "ms"
        ),
    ),
)
ATTEMPTS = Row(
    "Attempts",
    (
        Panel("By outcome", "bars", (Count(ATTEMPT, ("outcome",)),)),
        Panel("Retries by cause", "bars", (Count(ATTEMPT, ("error_kind",), (RETRIED,)),)),
        Panel("Attempts needed", "gauges", (Count(ATTEMPT, ("attempt",), (DECIDED,), "range"),)),
        Panel("Dead-lettered", "number", (Count(ATTEMPT, (), (DEAD,), "range"),), red=1),
        Panel("Dead-lettered, by source and cause", "bars", (Count(ATTEMPT, ("source", "error_kind"), (DEAD,)),)),
    ),
)
PLATFORMS = Row(
    "Platforms",
    (
        Panel("Answers within, 95 of 100", "lines", (Quantile(0.95, FETCH, "duration_ms", ("platform",)),), "ms"),
        Panel("Errors by status", "bars", (Count(FETCH, ("platform", "http_status"), (ERROR,)),)),
        Panel("Errors by cause", "bars", (Count(FETCH, ("platform", "error_kind"), (ERROR,)),)),
        Panel("Asked to slow down", "bars", (Count(FETCH, ("platform",), (Where("http_status", "=", 429),)),)),
    ),
)
RULES = Row(
    "Rules",
    (
        Panel("Effects per rule", "bars", (Count(ACTION, ("rule",)),)),
        Panel("Rules matched per attempt", "lines", (Ratio(Sum(ATTEMPT, "rules_matched"), Count(ATTEMPT)),)),
        Panel("Effects by outcome", "bars", (Count(ACTION, ("do", "outcome")),)),
        Panel("Effects within, 95 of 100", "lines", (Quantile(0.95, ACTION, "duration_ms", ("do",)),), "ms"),
        Panel("Rules that could not say", "lines", (Ratio(Sum(ATTEMPT, "rules_unknown"), Count(ATTEMPT)),)),
    ),
)
TROUBLE = Row(
    "Trouble",
    (
        Panel("Commonest errors", "table", (Troubles(),)),
        Panel("Lines by level", "bars", (Levels(),)),
        Panel("Lines that are no JSON", "number", (Strays(),), red=1),
        Panel(
            "Admin API: refused",
            "bars",
            (Count("admin.denied", ("reason", "peer")),),
            meaning="Lines of calls without a known token, or beyond its role; of many a second, one.",
        ),
        Panel(
            "Trouble feed",
            "feed",
            (
                Lines(
                    ("level", "event", "source", "status", "outcome", "reason", "error_kind", "event_id"),
                    (Where("level", "=~", "warning|error|critical"),),
                ),
            ),
        ),
    ),
)
ONE_EVENT = Row(
    "One event, start to end",
    (
        Panel(
            "Its lines",
            "feed",
            (
                Lines(
                    ("event", "status", "outcome", "attempt", "operation", "rule", "duration_ms", "error_kind"),
                    (Where("event_id", "=", "$event_id"),),
                ),
            ),
        ),
    ),
)

ROWS = (FRONT_DOOR, IN_THE_QUEUE, ATTEMPTS, PLATFORMS, RULES, TROUBLE, ONE_EVENT)
