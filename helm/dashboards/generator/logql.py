"""A question in LogQL, for Loki. What the collector adds as labels: namespace, app and component."""

from collections.abc import Iterable

from helm.dashboards.generator.questions import (
    COMPONENTS,
    Count,
    ErrorEvents,
    Levels,
    Lines,
    LogQuery,
    Max,
    NonJsonLines,
    Quantile,
    Ratio,
    Span,
    Sum,
    Where,
    with_filters,
)

EVERYTHING = '{namespace=~"$namespace", app="$app"}'
SPANS: dict[Span, str] = {"interval": "$__auto", "range": "$__range"}


def to_logql(question: LogQuery) -> str:
    """Write the question for Loki."""
    match question:
        case Count():
            return _count(question)
        case Sum(event, field, where):
            return f"sum(sum_over_time({_lines(event, (field,), where)} | {_unwrap(field)} [$__auto]))"
        case Quantile(part, event, field, by, where):
            lines = _lines(event, (*by, field), where)
            return f"quantile_over_time({part}, {lines} | {_unwrap(field)} [$__auto]) by ({', '.join(by)})"
        case Max(event, field, divisor, span):
            query = f"max(max_over_time({_lines(event, (field,), ())} | {_unwrap(field)} [{SPANS[span]}]))"
            return f"{query} / {divisor}" if divisor > 1 else query
        case Ratio(top, bottom):
            return f"({to_logql(top)}) / {_count(bottom, or_nothing=False)}"
        case _:
            return _of_all(question)


def _count(count: Count, *, or_nothing: bool = True) -> str:
    counted = "rate" if count.rate else "count_over_time"
    by = f" by ({', '.join(count.by)})" if count.by else ""
    query = f"sum{by} ({counted}({_lines(count.event, count.by, count.where)} [{SPANS[count.span]}]))"
    # a count of nothing is no series at all, and a number panel then shows nothing
    return query if by or not or_nothing else f"{query} or vector(0)"


def _of_all(question: LogQuery) -> str:
    """Questions that are asked of the lines of both pods."""
    match question:
        case ErrorEvents(most):
            found = '| json message, level, error_kind | level=~"error|critical" | error_kind!=""'
            return f"topk({most}, sum by (message, error_kind) (count_over_time({EVERYTHING} {found} [$__range])))"
        case Levels():
            return f"sum by (level) (count_over_time({EVERYTHING} | json level [$__auto]))"
        case NonJsonLines():
            return f'sum(count_over_time({EVERYTHING} | json | __error__="JSONParserErr" [$__auto])) or vector(0)'
        case Lines(fields, where):
            shown = " ".join(f"{{{{.{field}}}}}" for field in fields)
            first = "".join(f' |= "{each.value}"' for each in where if each.field == "event_id")
            return f'{EVERYTHING}{first} | json | {_filters(where)} | line_format "{shown}"'
        case _:
            raise TypeError(f"no LogQL for {type(question).__name__}")


def _lines(event: str, fields: Iterable[str], where: tuple[Where, ...]) -> str:
    """Lines of an event that pass: the name first as plain text, which is cheap, then the fields that are needed."""
    filters = with_filters(event, where)
    named = dict.fromkeys(("message", *fields, *(each.field for each in filters)))
    selector = f'{EVERYTHING[:-1]}, component="{COMPONENTS[event]}"}}'
    passed = _filters((Where("message", "=", event), *filters))
    return f'{selector} |= "{event}" | json {", ".join(named)} | {passed}'


def _filters(where: Iterable[Where]) -> str:
    return " | ".join(f"{each.field}{each.operator}{_literal(each.value)}" for each in where)


def _literal(value: str | int) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _unwrap(field: str) -> str:
    return f'unwrap {field} | __error__=""'
