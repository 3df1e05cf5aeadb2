"""Log queries of the panels, in terms of the log schema and independent of a query language."""

from typing import Literal

from msgspec import Struct

FilterOperator = Literal["=", "!=", "=~", ">="]


class Where(Struct, frozen=True):
    """Filter on a field: equal, not equal, full regular expression match, or at least."""

    field: str
    operator: FilterOperator
    value: str | int


class Count(Struct, frozen=True):
    """Number of lines of an event, grouped by fields; `rate` counts per second."""

    event: str
    by: tuple[str, ...] = ()
    where: tuple[Where, ...] = ()
    rate: bool = False


class Sum(Struct, frozen=True):
    """Sum of a field."""

    event: str
    field: str
    where: tuple[Where, ...] = ()


class Quantile(Struct, frozen=True):
    """Quantile of a field; `part` is between 0 and 1."""

    part: float
    event: str
    field: str
    by: tuple[str, ...] = ()
    where: tuple[Where, ...] = ()


class Max(Struct, frozen=True):
    """Maximum of a field, divided by `divisor`."""

    event: str
    field: str
    divisor: int = 1


class Ratio(Struct, frozen=True):
    """Result of one query divided by the result of another."""

    top: Count | Sum
    bottom: Count


class ErrorEvents(Struct, frozen=True):
    """Most frequent errors, by event and error kind."""

    most: int = 10


class Levels(Struct, frozen=True):
    """Number of lines per level."""


class NonJsonLines(Struct, frozen=True):
    """Number of lines that are not JSON, for example cut by a collector."""


class Lines(Struct, frozen=True):
    """Log lines as a list; `fields` are the shown fields."""

    fields: tuple[str, ...]
    where: tuple[Where, ...] = ()


class Metric(Struct, frozen=True):
    """Query of metrics in PromQL; `legend` is the template of a series' name."""

    expr: str
    legend: str = ""


LogQuery = Count | Sum | Quantile | Max | Ratio | ErrorEvents | Levels | NonJsonLines | Lines

COMPONENTS = {
    "delivery.received": "service",
    "attempt.finished": "workers",
    "record.fetched": "workers",
    "action.finished": "workers",
    "rule.failed": "workers",
    "queue.sampled": "workers",
    "admin.denied": "service",
}
"""Component that writes the lines of each event."""

WEIGHTED = frozenset({"delivery.received", "attempt.finished", "record.fetched", "action.finished"})
"""Events whose lines may be sampled. Their number is the sum of `weight`."""

VARIABLES = {
    "source_name": ("$source", frozenset(COMPONENTS) - {"queue.sampled", "admin.denied"}),
    "platform": ("$platform", frozenset({"record.fetched"})),
    "destination_name": ("$destination", frozenset({"action.finished"})),
    "instance": ("$instance", frozenset(COMPONENTS)),
}
"""For each field that a variable of the dashboard filters: the variable, and the events that have the field."""

ANY_INSTANCE = Where("instance", "=~", "$instance")


def with_filters(event: str, where: tuple[Where, ...]) -> tuple[Where, ...]:
    """Add the filters of the dashboard's variables."""
    chosen = [Where(field, "=~", variable) for field, (variable, events) in VARIABLES.items() if event in events]
    return (*where, *chosen)
