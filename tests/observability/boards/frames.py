"""Values of every panel of a dashboard, requested as Grafana does."""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from tests.observability.boards.stores import SCRAPE_SECONDS, ask, result_of

DASHBOARDS = Path(__file__).parents[3] / "helm" / "dashboards"
STEPS = 90
LINES_MAX = 1_000
VARIABLES = {
    "${datasource}": "",
    "$namespace": ".+",
    "$app": "waybill",
    "$pod": ".+",
    "$source": ".*",
    "$platform": ".*",
    "$destination": ".*",
    "$instance": ".*",
}
Json = dict[str, Any]


class Window(Struct, frozen=True):
    """Time range of a picture in seconds since the epoch, and the event of the row "Single event"."""

    start: int
    end: int
    event_id: str

    @property
    def step(self) -> int:
        """Seconds between two points of a graph."""
        return max(SCRAPE_SECONDS, round((self.end - self.start) / STEPS))


def board_frames(store: Literal["metrics", "victorialogs"], url: str, window: Window) -> Json:
    """Return the panels of a dashboard with their series or lines."""
    board = msgspec.json.decode((DASHBOARDS / f"waybill-{store}.json").read_bytes())
    request = _prometheus if store == "metrics" else _victorialogs
    panels = [panel | {"frames": [], "lines": []} for panel in board["panels"]]
    for panel in panels:
        for target in panel.get("targets", ()):
            query = _substitute(target["expr"], window)
            found = request(url, target | {"expr": query}, window)
            panel["lines" if panel["type"] == "logs" else "frames"].extend(found)
    return {"title": board["title"], "panels": panels, "start": window.start * 1000, "end": window.end * 1000}


def _substitute(query: str, window: Window) -> str:
    span = f"{window.end - window.start}s"
    values = {
        "$__rate_interval": f"{max(4 * SCRAPE_SECONDS, window.step + SCRAPE_SECONDS)}s",
        "$__range": span,
        "$event_id": window.event_id,
        **VARIABLES,
    }
    for name, value in values.items():
        query = query.replace(name, value)
    return query


def _prometheus(url: str, target: Json, window: Window) -> Iterator[Json]:
    if target.get("instant"):
        answer = ask(f"{url}/api/v1/query", query=target["expr"], time=window.end)
    else:
        times = {"start": window.start, "end": window.end, "step": window.step}
        answer = ask(f"{url}/api/v1/query_range", query=target["expr"], **times)
    yield from (_frame(series, target) for series in result_of(answer))


def _victorialogs(url: str, target: Json, window: Window) -> Iterator[Json]:
    root, query = f"{url}/select/logsql", target["expr"]
    times = {"start": window.start, "end": window.end}
    match target["queryType"]:
        case "statsRange":
            answer = ask(f"{root}/stats_query_range", query=query, step=f"{window.step}s", **times)
        case "stats":
            bounded = f"_time:[{window.start}, {window.end}] {query}"
            answer = ask(f"{root}/stats_query", query=bounded, time=window.end)
        case _:
            rows = ask(f"{root}/query", query=query, limit=LINES_MAX, **times).splitlines()
            yield from sorted(map(msgspec.json.decode, rows), key=lambda row: str(row["_time"]), reverse=True)
            return
    yield from (_frame(series, target) for series in result_of(answer))


def _frame(series: Json, target: Json) -> Json:
    labels = {name: value for name, value in series["metric"].items() if name != "__name__"}
    points = series.get("values") or [series["value"]]
    return {
        "name": _legend(target["legendFormat"], labels),
        "labels": labels,
        "points": [[float(at) * 1000, _number(value)] for at, value in points],
    }


def _legend(template: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda name: labels.get(name[1], ""), template).strip() or " ".join(labels.values())


def _number(value: str) -> float | None:
    """Return the value, None for an empty result and for NaN: a ratio without a divisor."""
    number = float(value or "nan")
    return None if math.isnan(number) else number
