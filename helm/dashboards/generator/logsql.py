"""Log queries in LogsQL, for VictoriaLogs, with namespace and app as stream fields."""

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

MESSAGE = "_msg"
"""Name of the field `message` in VictoriaLogs with `_msg_field=message`."""

EVERYTHING = '{namespace=~"$namespace",app="$app"}'


def to_logsql(query: LogQuery) -> str:
    """Format the query for VictoriaLogs. The result is in the column `n`; there are no other columns but the groups."""
    match query:
        case Count():
            text = f"{_lines(query.event, query.where)} | stats {_by(query.by)}{_counted(query)} n"
            # The sum of no weight is not a number.
            return text if query.by else f"{text} | math n default 0 as n"
        case Sum(event, field, where):
            return f"{_lines(event, where)} | stats sum({field}) n"
        case Quantile(part, event, field, by, where):
            return f"{_lines(event, where)} | stats {_by(by)}quantile({part}, {field}) n"
        case Max(event, field, divisor):
            text = f"{_lines(event, ())} | stats max({field}) n"
            return f"{text} | math n / {divisor} as n" if divisor > 1 else text
        case Ratio(top, bottom):
            condition = f" if ({_filters(top.where)})" if top.where else ""
            counts = (f"sum({top.field})", "count()") if isinstance(top, Sum) else (_counted(top), _counted(bottom))
            stats = f"stats {counts[0]}{condition} top, {counts[1]} bottom"
            share = "math (top default 0) / bottom as n | delete top, bottom"
            return f"{_lines(bottom.event, bottom.where)} | {stats} | {share}"
        case _:
            return _format_unfiltered(query)


def _format_unfiltered(query: LogQuery) -> str:
    """Format the queries over the lines of both pods."""
    match query:
        case ErrorEvents(most):
            selection = f"level:in(error, critical) error_kind:* {_filter(ANY_INSTANCE)}"
            return (
                f"{EVERYTHING} {selection} | stats by ({MESSAGE}, error_kind) count() n | sort by (n) desc limit {most}"
            )
        case Levels():
            return f"{EVERYTHING} {_filter(ANY_INSTANCE)} | stats by (level) count() n"
        case NonJsonLines():
            return f'{EVERYTHING} {MESSAGE}:="" | stats count() n'
        case Lines(fields, where):
            names = [MESSAGE if field == "message" else field for field in fields]
            line = " ".join(f"<{name}>" for name in names)
            # without an event id, the filter would select the lines without one
            some = " event_id:*" if any(each.field == "event_id" for each in where) else ""
            kept = ", ".join(dict.fromkeys((MESSAGE, *names, "event_id", "level")))
            selected = f"{EVERYTHING}{some} {_filters(where)} | fields _time, {kept}"
            return f'{selected} | format "{line}" as {MESSAGE} | sort by (_time desc)'
        case _:
            raise TypeError(f"no LogsQL for {type(query).__name__}: add a case here")


def _counted(count: Count) -> str:
    if count.event in WEIGHTED:
        return "rate_sum(weight)" if count.rate else "sum(weight)"
    return "rate()" if count.rate else "count()"


def _by(fields: tuple[str, ...]) -> str:
    return f"by ({', '.join(fields)}) " if fields else ""


def _lines(event: str, where: tuple[Where, ...]) -> str:
    filters = (Where("component", "=", COMPONENTS[event]), Where(MESSAGE, "=", event), *with_filters(event, where))
    return f"{EVERYTHING} {_filters(filters)}"


def _filters(where: Iterable[Where]) -> str:
    return " ".join(_filter(each) for each in where)


def _filter(where: Where) -> str:
    match where.operator:
        case "=":
            return f'{where.field}:="{where.value}"'
        case "!=":
            return f'-{where.field}:="{where.value}"'
        case "=~":
            return f'{where.field}:~"^({where.value})$"'
        case ">=":
            return f"{where.field}:>={where.value}"
