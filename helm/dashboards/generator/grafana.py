"""Grafana dashboards: rows of panels on a grid of 24 columns, and template variables."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from helm.dashboards.generator.logql import to_logql
from helm.dashboards.generator.logsql import to_logsql
from helm.dashboards.generator.panels import ROWS, Panel, PanelKind
from helm.dashboards.generator.queries import ErrorEvents, Lines, LogQuery

Json = dict[str, Any]

COLUMNS = 24
HEIGHT = 8
SCHEMA_VERSION = 39

TYPES: Mapping[PanelKind, str] = {
    "lines": "timeseries",
    "bars": "timeseries",
    "number": "stat",
    "gauges": "bargauge",
    "table": "table",
    "feed": "logs",
}
WIDTHS: Mapping[PanelKind, int] = {"lines": 8, "bars": 8, "number": 4, "gauges": 8, "table": 8, "feed": 24}


def loki_board() -> str:
    """Build the dashboard for Loki."""
    return _board("Waybill", "waybill-loki", "loki", lambda query: {"expr": to_logql(query), **_loki(query)})


def victorialogs_board() -> str:
    """Build the same dashboard for VictoriaLogs."""
    datasource = "victoriametrics-logs-datasource"
    return _board("Waybill (VictoriaLogs)", "waybill-victorialogs", datasource, _victorialogs)


def _loki(query: LogQuery) -> Json:
    return {"queryType": "instant" if isinstance(query, ErrorEvents) else "range"}


def _victorialogs(query: LogQuery) -> Json:
    form = "instant" if isinstance(query, Lines) else "stats" if isinstance(query, ErrorEvents) else "statsRange"
    return {"expr": to_logsql(query), "queryType": form}


def _board(title: str, uid: str, datasource: str, build_target: Callable[[LogQuery], Json]) -> str:
    board = {
        "uid": uid,
        "title": title,
        "tags": ["waybill"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": _variables(datasource)},
        "panels": list(_panels(uid, datasource, build_target)),
    }
    return msgspec.json.format(msgspec.json.encode(board), indent=2).decode() + "\n"


def _variables(datasource: str) -> list[Json]:
    textboxes = (
        ("namespace", "Namespace", ".+"),
        ("app", "App", "waybill"),
        ("source", "Source", ".+"),
        ("event_id", "Event", ""),
    )
    variables: list[Json] = [{"name": "datasource", "label": "Logs", "type": "datasource", "query": datasource}]
    for name, label, text in textboxes:
        current = {"text": text, "value": text}
        variables.append({"name": name, "label": label, "type": "textbox", "query": text, "current": current})
    return variables


def _panels(uid: str, datasource: str, build_target: Callable[[LogQuery], Json]) -> Iterator[Json]:
    grid = _Grid()
    for row in ROWS:
        yield {"id": grid.next_id(), "type": "row", "title": row.title, "panels": [], "gridPos": grid.row()}
        for panel in row.panels:
            targets = [
                {"refId": chr(ord("A") + number), "datasource": _source(datasource), **build_target(query)}
                for number, query in enumerate(panel.queries)
            ]
            yield {
                "id": grid.next_id(),
                "type": TYPES[panel.kind],
                "title": panel.title,
                "description": panel.description,
                "datasource": _source(datasource),
                "gridPos": grid.panel(WIDTHS[panel.kind]),
                "targets": targets,
                "fieldConfig": {"defaults": _defaults(panel, uid), "overrides": []},
                "options": _options(panel),
            }


class _Grid:
    """Allocator of panel ids and grid positions."""

    def __init__(self) -> None:
        self.id = self.x = self.y = 0

    def next_id(self) -> int:
        self.id += 1
        return self.id

    def row(self) -> Json:
        self.y += HEIGHT if self.x else 0
        self.x = 0
        grid = {"x": 0, "y": self.y, "w": COLUMNS, "h": 1}
        self.y += 1
        return grid

    def panel(self, width: int) -> Json:
        if self.x + width > COLUMNS:
            self.x, self.y = 0, self.y + HEIGHT
        grid = {"x": self.x, "y": self.y, "w": width, "h": HEIGHT}
        self.x += width
        return grid


def _source(datasource: str) -> Json:
    return {"type": datasource, "uid": "${datasource}"}


def _defaults(panel: Panel, uid: str) -> Json:
    steps: list[Json] = [{"color": "green", "value": None}]
    if panel.red is not None:
        steps.append({"color": "red", "value": panel.red})
    defaults: Json = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.kind == "bars":
        defaults["custom"] = {"drawStyle": "bars", "fillOpacity": 80, "stacking": {"mode": "normal"}}
    if panel.kind == "feed":
        url = f"/d/{uid}?var-event_id=${{__value.raw}}&${{namespace:queryparam}}&${{app:queryparam}}"
        defaults["links"] = [{"title": "Show this event", "url": url}]
    return defaults


def _options(panel: Panel) -> Json:
    match panel.kind:
        case "number":
            return {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "graphMode": "area"}
        case "feed":
            return {"showTime": True, "enableLogDetails": True, "sortOrder": "Ascending", "wrapLogMessage": True}
        case _:
            return {}
