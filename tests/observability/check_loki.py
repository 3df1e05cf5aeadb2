"""Results of every panel on a real Loki with the lines of a whole run, requested as Grafana's data source does.

Not collected by `pytest`: no package index has a binary of Loki. LOKI=<binary> pytest tests/observability/check_loki.py
"""

import math
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import msgspec
import pytest
import yaml

from helm.dashboards.generator.log_alerts import LOGS
from helm.dashboards.generator.logql import to_logql
from helm.dashboards.generator.panels import ROWS
from helm.dashboards.generator.queries import Count, Levels, Lines, LogQuery, Max, Metric, Quantile, Ratio, Sum
from tests.free_ports import find_free_ports
from tests.observability.expected import Series, grouped, matching, result_by_key, weigh
from tests.observability.logql import substitute_variables
from tests.observability.material import Line
from tests.observability.run import Run

LOG_QUERIES: Sequence[LogQuery] = [
    query for row in ROWS for panel in row.panels for query in panel.queries if not isinstance(query, Metric)
]
SECONDS_MAX = 60.0
LINES_MAX = 5_000
RANGE = "6h"
"""Range that contains the whole run."""


class Loki:
    """A running Loki."""

    def __init__(self, url: str) -> None:
        self.url = url

    def push(self, lines: Sequence[Line]) -> None:
        """Send lines with the labels of a collector."""
        streams = [
            {
                "stream": {"namespace": "shop", "app": "waybill", "component": component},
                "values": [[_nanoseconds(line), msgspec.json.encode(line).decode()] for line in group],
            }
            for (component,), group in grouped(lines, ("component",)).items()
        ]
        body, headers = msgspec.json.encode({"streams": streams}), {"Content-Type": "application/json"}
        with urlopen(Request(f"{self.url}/loki/api/v1/push", body, headers), timeout=SECONDS_MAX):  # noqa: S310 - our own server
            pass

    def value(self, query: LogQuery) -> list[Series]:
        """Request one value of the whole time range for each series."""
        return self.instant(substitute_variables(to_logql(query).replace("$__auto", RANGE)))

    def instant(self, text: str) -> list[Series]:
        """Request the values of a query now."""
        answer = self._get("query", query=text, time=time.time_ns())
        return [(series["metric"], [float(series["value"][1])]) for series in answer]

    def lines(self, text: str) -> list[str]:
        """Request the lines of a query."""
        now = time.time_ns()
        times = {"start": now - 6 * 3_600 * 10**9, "end": now}
        streams = self._get("query_range", query=text, limit=LINES_MAX, **times)
        return [line for stream in streams for _, line in stream["values"]]

    def _get(self, path: str, **parameters: object) -> list[dict[str, Any]]:
        url = f"{self.url}/loki/api/v1/{path}?{urlencode(parameters)}"
        with urlopen(url, timeout=SECONDS_MAX) as answer:  # noqa: S310 - our own server
            return msgspec.json.decode(answer.read())["data"]["result"]


def _nanoseconds(line: Line) -> str:
    return str(int(datetime.fromisoformat(line["timestamp"]).timestamp() * 1_000_000) * 1_000)


def config(folder: Path, port: int, grpc_port: int) -> dict[str, Any]:
    """Return the configuration of one process with storage in a folder."""
    files = {"chunks_directory": str(folder / "chunks"), "rules_directory": str(folder / "rules")}
    schema = {"from": "2024-01-01", "store": "tsdb", "object_store": "filesystem", "schema": "v13"}
    ring = {"kvstore": {"store": "inmemory"}}
    return {
        "auth_enabled": False,
        "server": {
            "http_listen_address": "127.0.0.1",
            "http_listen_port": port,
            "grpc_listen_address": "127.0.0.1",
            "grpc_listen_port": grpc_port,
        },
        "common": {
            "instance_addr": "127.0.0.1",
            "path_prefix": str(folder),
            "storage": {"filesystem": files},
            "replication_factor": 1,
            "ring": ring,
        },
        "schema_config": {"configs": [schema | {"index": {"prefix": "index_", "period": "24h"}}]},
        "limits_config": {"per_stream_rate_limit": "100MB", "per_stream_rate_limit_burst": "200MB"},
        "analytics": {"reporting_enabled": False},
    }


@pytest.fixture(scope="session")
def loki(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loki]:
    folder = tmp_path_factory.mktemp("loki")
    port, grpc_port = find_free_ports(2)
    (folder / "loki.yaml").write_text(yaml.safe_dump(config(folder, port, grpc_port)))
    command = [os.environ["LOKI"], f"-config.file={folder / 'loki.yaml'}"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    store = Loki(f"http://127.0.0.1:{port}")
    try:
        for number, line in enumerate(run.lines):
            if "weight" in line:
                line["weight"] = 1 + number % 3  # as if the lines were sampled
        _push_when_ready(store, run.lines)
        yield store
    finally:
        server.terminate()
        server.wait(SECONDS_MAX)


def _push_when_ready(store: Loki, lines: Sequence[Line]) -> None:
    deadline, is_pushed = time.monotonic() + SECONDS_MAX, False
    while time.monotonic() < deadline:
        try:
            if not is_pushed:
                store.push(lines)
                is_pushed = True
            found = store.instant(f'sum(count_over_time({{app="waybill"}}[{RANGE}]))')
            if found and found[0][1] == [len(lines)]:
                return
        except (HTTPError, URLError, ConnectionError):
            pass
        time.sleep(0.5)
    raise TimeoutError("Loki does not return all pushed lines")


@pytest.mark.parametrize("query", [each for each in LOG_QUERIES if isinstance(each, Count)], ids=to_logql)
def test_counts_match_the_run(run: Run, loki: Loki, query: Count) -> None:
    found = result_by_key(loki.value(query), query.by)
    groups = grouped(matching(run.lines, query.event, query.where), query.by)
    expected = {key: float(weigh(lines)) for key, lines in groups.items()} or ({} if query.by else {(): 0.0})
    if query.rate:
        assert set(found) == set(expected)
    else:
        assert found == expected


@pytest.mark.parametrize("query", [each for each in LOG_QUERIES if isinstance(each, Quantile)], ids=to_logql)
def test_quantiles_match_the_run(run: Run, loki: Loki, query: Quantile) -> None:
    found = result_by_key(loki.value(query), query.by)
    groups = grouped(matching(run.lines, query.event, query.where), query.by)
    assert set(found) == set(groups)
    for key, lines in groups.items():
        values = sorted(line[query.field] for line in lines)
        place = query.part * (len(values) - 1)
        assert values[max(math.floor(place) - 1, 0)] <= found[key] <= values[min(math.ceil(place) + 1, len(values) - 1)]


@pytest.mark.parametrize("query", [each for each in LOG_QUERIES if isinstance(each, Max)], ids=to_logql)
def test_maxima_match_the_run(run: Run, loki: Loki, query: Max) -> None:
    largest = max(line[query.field] for line in matching(run.lines, query.event, ()))
    assert result_by_key(loki.value(query), ())[()] == pytest.approx(largest / query.divisor)


@pytest.mark.parametrize("query", [each for each in LOG_QUERIES if isinstance(each, Ratio)], ids=to_logql)
def test_ratios_match_the_run(run: Run, loki: Loki, query: Ratio) -> None:
    lines = matching(run.lines, query.bottom.event, query.bottom.where)
    top = query.top
    if isinstance(top, Sum):
        share: float = sum(line.get(top.field) or 0 for line in lines) / len(lines)
    else:
        share = weigh(matching(lines, top.event, top.where)) / weigh(lines)
    assert result_by_key(loki.value(query), ())[()] == pytest.approx(share)


def test_levels_and_feeds_match_the_run(run: Run, loki: Loki) -> None:
    levels = {key: len(lines) for key, lines in grouped(run.lines, ("level",)).items()}
    assert result_by_key(loki.value(Levels()), ("level",)) == levels
    errors, single = (each for each in LOG_QUERIES if isinstance(each, Lines))
    expected = [line for line in run.lines if line["level"] in {"warning", "error", "critical"}]
    assert len(loki.lines(substitute_variables(to_logql(errors)))) == len(expected)
    event_id = run.of("attempt.finished", outcome="matched")[0]["event_id"]
    rows = loki.lines(substitute_variables(to_logql(single).replace("$event_id", event_id)))
    assert len(rows) == sum(line.get("event_id") == event_id for line in run.lines)


@pytest.mark.parametrize("alert", LOGS, ids=lambda alert: alert.name)
def test_alerts_are_accepted(loki: Loki, alert: Any) -> None:
    loki.instant(alert.expr)
