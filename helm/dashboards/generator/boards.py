"""The three dashboards: metrics for Prometheus, and logs for Loki and for VictoriaLogs."""

from helm.dashboards.generator.grafana import Board, Json, source_of, to_json
from helm.dashboards.generator.logql import to_logql
from helm.dashboards.generator.logsql import to_logsql
from helm.dashboards.generator.metric_panels import ANNOTATIONS, METRIC_ROWS, SCOPE
from helm.dashboards.generator.panels import ROWS, Panel
from helm.dashboards.generator.queries import Count, Levels, Lines, LogQuery, Max, Metric, Quantile, Ratio, Sum, Where

VICTORIALOGS = "victoriametrics-logs-datasource"


def loki_board() -> str:
    """Build the log dashboard for Loki."""
    source = source_of("loki")
    variables = [
        _query_variable("namespace", "Namespace", source, {"label": "namespace", "stream": "", "type": 1}, many=True),
        _query_variable("app", "App", source, {"label": "app", "stream": "", "type": 1}, text="waybill"),
        _textbox("source", "Source", ".+"),
        _textbox("platform", "Platform", ".+"),
        _textbox("destination", "Destination", ".*"),
        _textbox("instance", "Instance", ".*"),
        _textbox("event_id", "Event", ""),
    ]
    annotations = [
        _annotation(name, source, color, {"expr": to_logql(_lines_of(message)), "queryType": "range"})
        for name, message, color in LOG_ANNOTATIONS
    ]
    return to_json(Board("Waybill logs (Loki)", "waybill-loki", "loki", ROWS, _loki, variables, annotations, 1, "5m"))


def victorialogs_board() -> str:
    """Build the same dashboard for VictoriaLogs."""
    source = source_of(VICTORIALOGS)

    def values(field: str) -> Json:
        return {"type": "fieldValue", "field": field, "query": "*", "limit": 100}

    variables = [
        _query_variable("namespace", "Namespace", source, values("namespace"), many=True),
        _query_variable("app", "App", source, values("app"), text="waybill"),
        _query_variable("source", "Source", source, values("source_name"), many=True),
        _query_variable("platform", "Platform", source, values("platform"), many=True),
        _query_variable("destination", "Destination", source, values("destination_name"), many=True, all_value=".*"),
        _query_variable("instance", "Instance", source, values("instance"), many=True),
        _textbox("event_id", "Event", ""),
    ]
    annotations = [
        _annotation(name, source, color, {"expr": to_logsql(_lines_of(message)), "queryType": "instant"})
        for name, message, color in LOG_ANNOTATIONS
    ]
    return to_json(
        Board(
            "Waybill logs (VictoriaLogs)",
            "waybill-victorialogs",
            VICTORIALOGS,
            ROWS,
            _victorialogs,
            variables,
            annotations,
            1,
            "5m",
        )
    )


def metrics_board() -> str:
    """Build the dashboard for Prometheus."""
    source = source_of("prometheus")

    def values(metric: str, label: str) -> Json:
        return {"query": f"label_values({metric}, {label})", "refId": label}

    built = 'waybill_build_info{namespace=~"$namespace"}'
    scoped = '{namespace=~"$namespace", pod=~"$pod"}'
    variables = [
        _query_variable("namespace", "Namespace", source, values("waybill_build_info", "namespace"), many=True),
        _query_variable("pod", "Instance", source, values(built, "pod"), many=True),
        _query_variable("source", "Source", source, values("waybill_deliveries_total" + scoped, "source"), many=True),
        _query_variable(
            "platform", "Platform", source, values("waybill_fetches_total" + scoped, "platform"), many=True
        ),
        _query_variable(
            "destination", "Destination", source, values("waybill_effects_total" + scoped, "destination"), many=True
        ),
    ]
    annotations = [
        _annotation(name, source, color, {"expr": expr.replace("$scope", SCOPE)}) for name, expr, color in ANNOTATIONS
    ]
    return to_json(
        Board("Waybill", "waybill-metrics", "prometheus", METRIC_ROWS, _prometheus, variables, annotations, 6, "1m")
    )


LOG_ANNOTATIONS = (
    ("Start of a process", "process.started", "blue"),
    ("New rulebook", "rulebook.activated", "green"),
    ("New configuration", "config.reloaded", "purple"),
    ("Circuit opened", "platform.circuit_opened", "orange"),
)
"""Name, log event and color of the annotations of the log dashboards."""


def _lines_of(message: str) -> Lines:
    return Lines(("message",), (Where("message", "=", message),))


def _is_total(query: LogQuery | Metric, panel: Panel) -> bool:
    """Return whether the panel shows one value of the whole time range."""
    return panel.kind in {"number", "gauges", "table"} and not isinstance(query, Max | Metric)


def _legend(query: LogQuery | Metric) -> str:
    """Return the template of the name of a series."""
    match query:
        case Metric(_, legend):
            return legend
        case Count(_, by) | Quantile(by=by) if by:
            return " ".join(f"{{{{{name}}}}}" for name in by)
        case Quantile(part):
            return f"p{part * 100:.0f}"
        case Ratio(Sum()):
            return "average"
        case Max(_, field):
            return field.removesuffix("_ms").removesuffix("_bytes").replace("_", " ")
        case _:
            return "{{level}}" if isinstance(query, Levels) else ""


def _loki(query: LogQuery | Metric, panel: Panel) -> Json:
    assert not isinstance(query, Metric)
    text = to_logql(query)
    if _is_total(query, panel):
        return {"expr": text.replace("$__auto", "$__range"), "queryType": "instant", "legendFormat": _legend(query)}
    return {"expr": text, "queryType": "range", "legendFormat": _legend(query)}


def _victorialogs(query: LogQuery | Metric, panel: Panel) -> Json:
    """Build a target of Grafana's plugin: `instant` returns lines, `stats` one value, `statsRange` one per step."""
    assert not isinstance(query, Metric)
    form = "instant" if isinstance(query, Lines) else "stats" if _is_total(query, panel) else "statsRange"
    return {"expr": to_logsql(query), "queryType": form, "legendFormat": _legend(query)}


def _prometheus(query: LogQuery | Metric, panel: Panel) -> Json:
    assert isinstance(query, Metric)
    kind: Json = {"instant": True, "range": False} if panel.kind in {"number", "table", "gauges"} else {"range": True}
    form: Json = {"format": "table"} if panel.kind == "table" else {}
    return {"expr": query.expr.replace("$scope", SCOPE), "legendFormat": query.legend, **kind, **form}


def _textbox(name: str, label: str, text: str) -> Json:
    current = {"text": text, "value": text}
    return {"name": name, "label": label, "type": "textbox", "query": text, "current": current}


def _query_variable(
    name: str, label: str, source: Json, query: Json, *, many: bool = False, text: str = "", all_value: str = ".+"
) -> Json:
    """Build a variable whose values are requested; with `many`, several or all of them can be selected."""
    current = {"text": "All", "value": "$__all"} if many else {"text": text, "value": text}
    variable: Json = {
        "name": name, "label": label, "type": "query", "datasource": source, "query": {"refId": name, **query},
        "refresh": 2, "sort": 1, "multi": many, "includeAll": many, "current": current,
    }  # fmt: skip
    # Series without the label count, too.
    return variable | ({"allValue": ".*" if source["type"] == "prometheus" else all_value} if many else {})


def _annotation(name: str, source: Json, color: str, target: Json) -> Json:
    return {
        "name": name, "datasource": source, "enable": True, "iconColor": color, "target": {"refId": name, **target},
        **{key: target[key] for key in ("expr",) if key in target},
    }  # fmt: skip
