"""Values of panels, computed from the lines of a run without a log store."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from helm.dashboards.generator.queries import COMPONENTS, Where
from tests.observability.material import Line

Key = tuple[str, ...]
Series = tuple[dict[str, str], list[float]]
"""Labels and values of one series."""


def matching(lines: Iterable[Line], event: str, where: Iterable[Where]) -> list[Line]:
    """Return the lines that a query selects."""
    return [
        line
        for line in lines
        if line["message"] == event
        and line["component"] == COMPONENTS[event]
        and all(_passes(line, each) for each in where)
    ]


def _passes(line: Line, where: Where) -> bool:
    value = line.get(where.field)
    match where.operator:
        case "=":
            return value == where.value
        case "!=":
            return value != where.value
        case "=~":
            return re.fullmatch(str(where.value), str(value)) is not None
        case ">=":
            return value is not None and value >= where.value


def weigh(lines: Iterable[Line]) -> int:
    """Return the number of lines that sampled lines stand for."""
    return sum(line.get("weight", 1) for line in lines)


def grouped(lines: Iterable[Line], by: Sequence[str]) -> dict[Key, list[Line]]:
    groups: dict[Key, list[Line]] = defaultdict(list)
    for line in lines:
        groups[tuple(_text(line.get(name)) for name in by)].append(line)
    return dict(groups)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def result_by_key(series: Iterable[Series], by: Sequence[str]) -> dict[Key, float]:
    """Return the values by the labels `by`. There is one result column, so that a panel shows one value."""
    found = {tuple(labels.get(name, "") for name in by): values for labels, values in series}
    assert all(set(labels) == {"__name__", *by} for labels, _ in series)
    assert all(len(values) == 1 for values in found.values())
    return {key: values[0] for key, values in found.items()}
