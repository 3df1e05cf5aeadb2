"""What a panel asks of the log lines. A question names events and fields of the log schema and no query language."""

from typing import Literal

from msgspec import Struct

FilterOperator = Literal["=", "!=", "=~", ">="]
Span = Literal["interval", "range"]
"""Over each step of a graph, or over all that is looked at."""


class Where(Struct, frozen=True):
    """A field's value compared: equal, other, matching as a whole, at least."""

    field: str
    operator: FilterOperator
    value: str | int


class Count(Struct, frozen=True):
    """How many lines of an event there are, by the values of fields. `rate` gives them per second."""

    event: str
    by: tuple[str, ...] = ()
    where: tuple[Where, ...] = ()
    span: Span = "interval"
    rate: bool = False


class Sum(Struct, frozen=True):
    """A field's values added up."""

    event: str
    field: str
    where: tuple[Where, ...] = ()


class Quantile(Struct, frozen=True):
    """Below which value a part of a field's values lies."""

    part: float
    event: str
    field: str
    by: tuple[str, ...] = ()
    where: tuple[Where, ...] = ()


class Max(Struct, frozen=True):
    """A field's largest value, divided by so much."""

    event: str
    field: str
    divisor: int = 1
    span: Span = "interval"


class Ratio(Struct, frozen=True):
    """One question's answer as a part of another's."""

    top: Count | Sum
    bottom: Count


class ErrorEvents(Struct, frozen=True):
    """The commonest errors, by event and kind."""

    most: int = 10


class Levels(Struct, frozen=True):
    """How many lines there are of each level."""


class NonJsonLines(Struct, frozen=True):
    """How many lines are not ours: no JSON, or cut by a collector."""


class Lines(Struct, frozen=True):
    """Lines as they are, as a feed; `fields` are what is shown of each."""

    fields: tuple[str, ...]
    where: tuple[Where, ...] = ()


LogQuery = Count | Sum | Quantile | Max | Ratio | ErrorEvents | Levels | NonJsonLines | Lines

COMPONENTS = {
    "delivery.received": "service",
    "attempt.finished": "workers",
    "record.fetched": "workers",
    "action.finished": "workers",
    "queue.sampled": "workers",
    "admin.denied": "service",
}
"""Which pod writes the lines that are counted."""

WITH_SOURCE = frozenset(COMPONENTS) - {"queue.sampled", "admin.denied"}
"""Events that the dashboard's choice of a source narrows."""


def with_filters(event: str, where: tuple[Where, ...]) -> tuple[Where, ...]:
    """Add the dashboard's choice of sources, where the event has one."""
    return (*where, Where("source_name", "=~", "$source")) if event in WITH_SOURCE else where
