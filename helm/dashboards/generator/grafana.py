"""Layout of Grafana dashboards: rows of panels on a grid of 24 columns."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from helm.dashboards.generator.panels import Panel, PanelKind, Row
from helm.dashboards.generator.queries import ErrorEvents, LogQuery, Metric

Json = dict[str, Any]

COLUMNS = 24
GRAPHS_PER_LINE = 3
SCHEMA_VERSION = 39

TYPES: Mapping[PanelKind, str] = {
    "lines": "timeseries",
    "bars": "timeseries",
    "number": "stat",
    "gauges": "bargauge",
    "table": "table",
    "feed": "logs",
}
HEIGHTS: Mapping[PanelKind, int] = {"number": 4, "feed": 12}
HEIGHT = 8

COLORS: Mapping[str, str] = {
    "debug": "blue",
    "info": "green",
    "warning": "yellow",
    "error": "red",
    "critical": "dark-red",
    "queued": "green",
    "duplicate": "blue",
    "ignored": "text",
    "rejected": "red",
    "matched": "green",
    "unmatched": "blue",
    "record_missing": "dark-orange",
    "unchanged": "light-blue",
    "resolved": "light-green",
    "stale": "purple",
    "waiting": "yellow",
    "retried": "orange",
    "deferred": "yellow",
    "dead_lettered": "red",
    "ok": "green",
    "done": "green",
}
"""Colors of series whose name is or ends with a level, a status or an outcome."""

COLORED = re.compile(r"\{\{(level|outcome|status|delivery_status)\}\}$")

BuildTarget = Callable[[LogQuery | Metric, Panel], Json]


class Board(Struct, frozen=True):
    """One dashboard: rows of panels on one kind of datasource."""

    title: str
    uid: str
    datasource: str
    rows: Sequence[Row]
    build_target: BuildTarget
    variables: Sequence[Json]
    annotations: Sequence[Json]
    hours: int
    refresh: str


def to_json(board: Board) -> str:
    """Build the JSON of a dashboard."""
    datasource: Json = {"name": "datasource", "label": "Data source", "type": "datasource", "query": board.datasource}
    content = {
        "uid": board.uid,
        "title": board.title,
        "tags": ["waybill"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "refresh": board.refresh,
        "time": {"from": f"now-{board.hours}h", "to": "now"},
        "templating": {"list": [datasource, *board.variables]},
        "annotations": {"list": list(board.annotations)},
        "links": [
            {"type": "dashboards", "tags": ["waybill"], "title": "Dashboards", "asDropdown": True, "keepTime": True}
        ],
        "panels": list(_panels(board)),
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode() + "\n"


def _panels(board: Board) -> Iterator[Json]:
    number, y = 0, 0
    for row in board.rows:
        number += 1
        yield {
            "id": number, "type": "row", "title": row.title, "panels": [],
            "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
        }  # fmt: skip
        y += 1
        for line in _lines(row.panels):
            height = max(HEIGHTS.get(panel.kind, HEIGHT) for panel in line)
            for position, (panel, width) in enumerate(zip(line, _widths(len(line)), strict=True)):
                number += 1
                place = {"x": sum(_widths(len(line))[:position]), "y": y, "w": width, "h": height}
                yield _panel(board, panel, number, place)
            y += height


def _lines(panels: Sequence[Panel]) -> Iterator[Sequence[Panel]]:
    """Divide a row into lines of panels of similar height, so that no hole remains."""
    numbers = [panel for panel in panels if panel.kind == "number"]
    graphs = [panel for panel in panels if panel.kind not in {"number", "feed"}]
    if len(numbers) > GRAPHS_PER_LINE:
        yield numbers
    else:
        graphs += numbers
    # Five graphs are lines of three and two, four are two lines of two.
    lines = -(-len(graphs) // GRAPHS_PER_LINE)
    sizes = [len(graphs) // lines + (line < len(graphs) % lines) for line in range(lines)]
    for size in sizes:
        yield graphs[:size]
        graphs = graphs[size:]
    yield from ([panel] for panel in panels if panel.kind == "feed")


def _widths(panels: int) -> Sequence[int]:
    return [COLUMNS // panels] * panels


def _panel(board: Board, panel: Panel, number: int, place: Json) -> Json:
    targets = [
        {
            "refId": chr(ord("A") + position),
            "datasource": source_of(board.datasource),
            **board.build_target(query, panel),
        }
        for position, query in enumerate(panel.queries)
    ]
    return {
        "id": number,
        "type": TYPES[panel.kind],
        "title": panel.title,
        "description": panel.description,
        "datasource": source_of(board.datasource),
        "gridPos": place,
        "targets": targets,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": _overrides(panel, targets, board.uid)},
        "options": _options(panel),
        **({"transformations": _transformations(panel)} if panel.kind == "table" else {}),
    }


def source_of(datasource: str) -> Json:
    """Return the datasource that the variable `datasource` names."""
    return {"type": datasource, "uid": "${datasource}"}


def _defaults(panel: Panel) -> Json:
    steps: list[Json] = [{"color": "red" if panel.red_below else "green", "value": None}]
    if panel.red is not None:
        steps.append({"color": "green" if panel.red_below else "red", "value": panel.red})
    defaults: Json = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.kind == "lines":
        defaults["custom"] = {"lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "spanNulls": False}
    if panel.kind == "bars":
        defaults["custom"] = {"drawStyle": "bars", "fillOpacity": 80, "stacking": {"mode": "normal"}}
    return defaults


def _overrides(panel: Panel, targets: Sequence[Json], uid: str) -> list[Json]:
    if panel.kind == "feed":
        # The labels of a line are its fields. The text of a line is in the field Line, or body in newer versions.
        url = f"/d/{uid}?var-event_id=${{__labels.tags.event_id}}&${{namespace:queryparam}}&${{app:queryparam}}"
        links = [{"title": "Show the lines of this event", "url": url}]
        return [_override("byRegexp", "/^(Line|body)$/", "links", links)]
    if any(COLORED.search(target["legendFormat"]) for target in targets):
        return [
            _override("byRegexp", f"/(^| ){name}$/", "color", {"mode": "fixed", "fixedColor": color})
            for name, color in COLORS.items()
        ]
    return []


def _override(matcher: str, options: str, name: str, value: object) -> Json:
    return {"matcher": {"id": matcher, "options": options}, "properties": [{"id": name, "value": value}]}


def _transformations(panel: Panel) -> list[Json]:
    """Turn the series of a table into rows without their time."""
    if isinstance(panel.queries[0], ErrorEvents):
        return [
            {"id": "labelsToFields", "options": {"mode": "columns"}},
            {"id": "merge", "options": {}},
            {"id": "organize", "options": {"excludeByName": {"Time": True}}},
        ]
    return [{"id": "organize", "options": {"excludeByName": {"Time": True}}}]


def _options(panel: Panel) -> Json:
    match panel.kind:
        case "number":
            return {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "graphMode": "none"}
        case "feed":
            return {"showTime": True, "enableLogDetails": True, "sortOrder": "Descending", "wrapLogMessage": True}
        case "lines" | "bars":
            return {
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }
        case _:
            return {}
