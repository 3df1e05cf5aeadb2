"""Log queries in LogQL, for Loki. The collector adds the labels namespace, app and component."""

from collections.abc import Iterable

from helm.dashboards.generator.queries import (
    ANY_INSTANCE,
    COMPONENTS,
    WEIGHTED,
    Count,
    ErrorEvents,
    Levels,
    Lines,
    LogQuery,
    Max,
    NonJsonLines,
    Quantile,
    Ratio,
    Sum,
    Where,
    with_filters,
)

EVERYTHING = '{namespace=~"$namespace", app="$app"}'


def to_logql(query: LogQuery) -> str:
    """Format the query for Loki, with a value for each interval of a graph."""
    match query:
        case Count():
            return _count(query)
        case Sum(event, field, where):
            return f"sum(sum_over_time({_lines(event, (field,), where)} | {_unwrap(field)} [$__auto]))"
        case Quantile(part, event, field, by, where):
            lines = _lines(event, (*by, field), where)
            return f"quantile_over_time({part}, {lines} | {_unwrap(field)} [$__auto]) by ({', '.join(by)})"
        case Max(event, field, divisor):
            text = f"max(max_over_time({_lines(event, (field,), ())} | {_unwrap(field)} [$__auto]))"
            return f"{text} / {divisor}" if divisor > 1 else text
        case Ratio(top, bottom):
            return f"({to_logql(top)}) / {_count(bottom, or_nothing=False, weighted=isinstance(top, Count))}"
        case _:
            return _format_unfiltered(query)


def _count(count: Count, *, or_nothing: bool = True, weighted: bool = True) -> str:
    weighted &= count.event in WEIGHTED
    counted = "rate" if count.rate else "sum_over_time" if weighted else "count_over_time"
    fields = (*count.by, "weight") if weighted else count.by
    lines = _lines(count.event, fields, count.where) + (f" | {_unwrap('weight')}" if weighted else "")
    by = f" by ({', '.join(count.by)})" if count.by else ""
    text = f"sum{by} ({counted}({lines} [$__auto]))"
    # a count of no lines has no series, and a number panel would be empty
    return text if by or not or_nothing else f"{text} or vector(0)"


def _format_unfiltered(query: LogQuery) -> str:
    """Format the queries over the lines of both pods."""
    match query:
        case ErrorEvents(most):
            selection = (
                f"| json message, level, error_kind, instance | {_filters((ANY_INSTANCE,))}"
                ' | level=~"error|critical" | error_kind!=""'
            )
            return f"topk({most}, sum by (message, error_kind) (count_over_time({EVERYTHING} {selection} [$__auto])))"
        case Levels():
            lines = f"{EVERYTHING} | json level, instance | {_filters((ANY_INSTANCE,))}"
            return f"sum by (level) (count_over_time({lines} [$__auto]))"
        case NonJsonLines():
            return f'sum(count_over_time({EVERYTHING} | json | __error__="JSONParserErr" [$__auto])) or vector(0)'
        case Lines(fields, where):
            template = " ".join(f"{{{{.{field}}}}}" for field in fields)
            text_filter = "".join(f' |= "{each.value}"' for each in where if each.field == "event_id")
            # without an event id, the filter would select the lines without one
            some = ' | event_id!=""' if text_filter else ""
            return f'{EVERYTHING}{text_filter} | json{some} | {_filters(where)} | line_format "{template}"'
        case _:
            raise TypeError(f"no LogQL for {type(query).__name__}: add a case here")


def _lines(event: str, fields: Iterable[str], where: tuple[Where, ...]) -> str:
    """Select the lines of an event: first by its name as text, which is cheap, then by parsed fields."""
    filters = with_filters(event, where)
    named = dict.fromkeys(("message", *fields, *(each.field for each in filters)))
    selector = f'{EVERYTHING[:-1]}, component="{COMPONENTS[event]}"}}'
    filters_text = _filters((Where("message", "=", event), *filters))
    return f'{selector} |= "{event}" | json {", ".join(named)} | {filters_text}'


def _filters(where: Iterable[Where]) -> str:
    return " | ".join(f"{each.field}{each.operator}{_literal(each.value)}" for each in where)


def _literal(value: str | int) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _unwrap(field: str) -> str:
    return f'unwrap {field} | __error__=""'
