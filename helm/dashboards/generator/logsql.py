"""A question in LogsQL, for VictoriaLogs, with namespace and app as stream fields."""

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
    Sum,
    Where,
    with_filters,
)

MESSAGE = "_msg"
"""The field `message` under the name that VictoriaLogs gives it with `_msg_field=message`."""

EVERYTHING = '{namespace=~"$namespace",app="$app"}'


def to_logsql(question: LogQuery) -> str:
    """Write the question for VictoriaLogs; the answer's number is called `n`."""
    match question:
        case Count():
            counted = "rate()" if question.rate else "count()"
            return f"{_lines(question.event, question.where)} | stats {_by(question.by)}{counted} n"
        case Sum(event, field, where):
            return f"{_lines(event, where)} | stats sum({field}) n"
        case Quantile(part, event, field, by, where):
            return f"{_lines(event, where)} | stats {_by(by)}quantile({part}, {field}) n"
        case Max(event, field, divisor):
            query = f"{_lines(event, ())} | stats max({field}) n"
            return f"{query} | math n / {divisor} as n" if divisor > 1 else query
        case Ratio(top, bottom):
            counted = f"sum({top.field})" if isinstance(top, Sum) else "count()"
            condition = f" if ({_filters(top.where)})" if top.where else ""
            stats = f"stats {counted}{condition} top, count() bottom"
            return f"{_lines(bottom.event, bottom.where)} | {stats} | math top / bottom as n"
        case _:
            return _of_all(question)


def _of_all(question: LogQuery) -> str:
    """Questions that are asked of the lines of both pods."""
    match question:
        case ErrorEvents(most):
            found = "level:in(error, critical) error_kind:*"
            return f"{EVERYTHING} {found} | stats by ({MESSAGE}, error_kind) count() n | sort by (n) desc limit {most}"
        case Levels():
            return f"{EVERYTHING} | stats by (level) count() n"
        case NonJsonLines():
            return f'{EVERYTHING} {MESSAGE}:="" | stats count() n'
        case Lines(fields, where):
            shown = ", ".join(MESSAGE if field == "message" else field for field in fields)
            return f"{EVERYTHING} {_filters(where)} | fields _time, {shown} | sort by (_time)"
        case _:
            raise TypeError(f"no LogsQL for {type(question).__name__}")


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
