"""Checks of LogQL queries beyond Grafana's grammar, and substitution of dashboard variables."""

import re
from collections.abc import Iterator

VARIABLES = {
    "$__auto": "5m",
    "$__range": "6h",
    "$namespace": ".+",
    "$app": "waybill",
    "$source": ".+",
    "$platform": ".+",
    "$destination": ".*",
    "$instance": ".+",
    "$event_id": "01a1fb9504f87230a989197ff96d4e0e",
}

NEED_UNWRAP = ("quantile_over_time", "sum_over_time", "max_over_time", "min_over_time", "avg_over_time")
REJECT_UNWRAP = ("count_over_time", "absent_over_time")


def substitute_variables(query: str) -> str:
    """Substitute the dashboard variables."""
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    return query


def query_errors(query: str) -> Iterator[str]:
    """Describe each part of a query that Loki would reject."""
    for function, inner in _ranges(query):
        yield from _of_range(function, inner)
    for selector in re.findall(r"\{[^{}]*=[^{}]*\}", query):
        if not re.search(r'(?<![!=~])="[^"]+"|=~"[^"]*[A-Za-z0-9+][^"]*"', selector):
            yield f"a selector that matches everything: {selector}"
    for template in re.findall(r'line_format "((?:[^"\\]|\\.)*)"', query):
        if re.sub(r"\{\{\.\w+\}\}", "", template).count("{"):
            yield f"an invalid template: {template}"
    for pattern in re.findall(r'[=!]~"([^"]*)"', query):
        yield from _of_pattern(pattern)


def _of_range(function: str, inner: str) -> Iterator[str]:
    unwraps = "| unwrap " in inner
    if function in NEED_UNWRAP and not unwraps:
        yield f"{function} without unwrap"
    if function in REJECT_UNWRAP and unwraps:
        yield f"{function} with unwrap"
    if unwraps and not re.search(r'\| unwrap \w+ \| __error__=""', inner):
        yield "one invalid line fails the panel: unwrap is not followed by a filter on __error__"


def _of_pattern(pattern: str) -> Iterator[str]:
    try:
        re.compile(pattern)
    except re.error as error:
        yield f"an invalid pattern {pattern!r}: {error}"


def fields(query: str) -> set[str]:
    """Return every field in a query: extracted, compared, grouped by or shown."""
    named = {name.strip() for part in re.findall(r"\| json ([\w, ]+)", query) for name in part.split(",")}
    named |= set(re.findall(r"\| (\w+)(?:=|!=|>=|=~)", query)) - {"__error__"}
    named |= {name.strip() for part in re.findall(r"\bby \(([\w, ]*)\)", query) for name in part.split(",")} - {""}
    return named | set(re.findall(r"\{\{\.(\w+)\}\}", query)) | set(re.findall(r"unwrap (\w+)", query))


def _ranges(query: str) -> Iterator[tuple[str, str]]:
    for found in re.finditer(r"\b(\w+)\((?:[\d.]+, )?(\{[^\[]*)\[", query):
        yield found[1], found[2]
