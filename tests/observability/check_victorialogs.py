"""Results of every panel on a real VictoriaLogs with the lines of a whole run, requested as Grafana's plugin does.

The plugin (pkg/plugin/query.go of victorialogs-datasource) calls `stats_query` for one value of the time range,
`stats_query_range` for one value per step, and `query` for lines, whose text is `_msg`.

Not collected by `pytest`, since the server has to be built first (tests/observability/build_victorialogs):
VICTORIALOGS=<binary> pytest tests/observability/check_victorialogs.py
"""

import math
import os
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import msgspec
import pytest

from helm.dashboards.generator.logsql import MESSAGE, to_logsql
from helm.dashboards.generator.panels import ROWS
from helm.dashboards.generator.queries import (
    Count,
    ErrorEvents,
    Levels,
    Lines,
    LogQuery,
    Max,
    Metric,
    NonJsonLines,
    Quantile,
    Ratio,
    Sum,
)
from tests.free_ports import find_free_ports
from tests.observability.expected import Series, grouped, matching, result_by_key, weigh
from tests.observability.logql import substitute_variables
from tests.observability.material import Line
from tests.observability.run import Run

LOG_QUERIES: Sequence[LogQuery] = [
    query for row in ROWS for panel in row.panels for query in panel.queries if not isinstance(query, Metric)
]
SECONDS_MAX = 20.0
START = 1_577_836_800
"""Start of the time range in seconds: 2020."""


class VictoriaLogs:
    """A running VictoriaLogs."""

    def __init__(self, url: str) -> None:
        self.url = url

    def feed(self, lines: Iterable[Line]) -> None:
        """Insert lines, with the labels that a collector adds."""
        labels = {"namespace": "shop", "app": "waybill"}
        body = b"\n".join(msgspec.json.encode(labels | line) for line in lines)
        fields = {"_stream_fields": "namespace,app", "_time_field": "timestamp", "_msg_field": "message"}
        url, headers = f"{self.url}/insert/jsonline?{urlencode(fields)}", {"Content-Type": "application/json"}
        with urlopen(Request(url, body, headers), timeout=SECONDS_MAX):  # noqa: S310 - our own server
            pass

    def ask(self, query: str) -> list[dict[str, Any]]:
        """Request lines, as for a panel of type logs."""
        return [msgspec.json.decode(line) for line in self._post("query", query, start=START).splitlines()]

    def value(self, query: str) -> list[Series]:
        """Request one value of the time range for each series, as for a panel of one number."""
        end = int(time.time()) + 1
        answer = self._post("stats_query", f"_time:[{START}, {end}] {query}", time=end)
        return [(row["metric"], [float(row["value"][1])]) for row in _result(answer)]

    def values(self, query: str) -> list[Series]:
        """Request one value per step for each series, as for a graph. The step contains the whole run."""
        answer = self._post("stats_query_range", query, start=START, end=int(time.time()) + 1, step="1000d")
        return [(row["metric"], [float(value) for _, value in row["values"]]) for row in _result(answer)]

    def _post(self, path: str, query: str, **form: object) -> bytes:
        content = urlencode({"query": query, **form}).encode()
        with urlopen(f"{self.url}/select/logsql/{path}", content, timeout=SECONDS_MAX) as answer:  # noqa: S310 - our own server
            return answer.read()


def _result(answer: bytes) -> list[dict[str, Any]]:
    return msgspec.json.decode(answer)["data"]["result"]


@pytest.fixture(scope="session")
def logs(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VictoriaLogs]:
    (port,) = find_free_ports(1)
    data: Path = tmp_path_factory.mktemp("victorialogs")
    options = [f"-storageDataPath={data}", f"-httpListenAddr=127.0.0.1:{port}", "-retentionPeriod=100y"]
    binary = os.environ["VICTORIALOGS"]
    server = subprocess.Popen([binary, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    store = VictoriaLogs(f"http://127.0.0.1:{port}")
    try:
        for number, line in enumerate(run.lines):
            if "weight" in line:
                line["weight"] = 1 + number % 3  # as if the lines were sampled
        _insert_lines(store, run)
        yield store
    finally:
        server.terminate()
        server.wait(SECONDS_MAX)


def _insert_lines(store: VictoriaLogs, run: Run) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    fed = False
    while time.monotonic() < deadline:
        try:
            if not fed:
                store.feed(run.lines)
                fed = True
            ((_, (number,)),) = store.value('{app="waybill"} | stats count() n')  # by labels, which are indexed later
            if number == len(run.lines):
                return
        except (URLError, ConnectionError):
            pass
        time.sleep(0.1)
    raise TimeoutError("VictoriaLogs does not return all inserted lines")


@pytest.mark.parametrize(
    "query", [each for each in LOG_QUERIES if isinstance(each, Count) and not each.rate], ids=to_logsql
)
def test_counts_match_the_run(run: Run, logs: VictoriaLogs, query: Count) -> None:
    expected = {
        key: weigh(lines) for key, lines in grouped(matching(run.lines, query.event, query.where), query.by).items()
    }
    assert result_by_key(logs.value(substitute_variables(to_logsql(query))), query.by) == (
        expected or ({} if query.by else {(): 0})
    )


@pytest.mark.parametrize("query", [each for each in LOG_QUERIES if isinstance(each, Quantile)], ids=to_logsql)
def test_quantiles_match_the_run(run: Run, logs: VictoriaLogs, query: Quantile) -> None:
    results = result_by_key(logs.values(substitute_variables(to_logsql(query))), query.by)
    groups = grouped(matching(run.lines, query.event, query.where), query.by)
    assert set(results) == set(groups)
    for key, lines in groups.items():
        values = sorted(line[query.field] for line in lines)
        place = query.part * (len(values) - 1)
        assert (
            values[math.floor(place) - (place >= 1)]
            <= results[key]
            <= values[min(math.ceil(place) + 1, len(values) - 1)]
        )


@pytest.mark.parametrize("query", [each for each in LOG_QUERIES if isinstance(each, Max)], ids=to_logsql)
def test_maxima_match_the_run(run: Run, logs: VictoriaLogs, query: Max) -> None:
    largest = max(line[query.field] for line in matching(run.lines, query.event, ()))
    assert result_by_key(logs.values(substitute_variables(to_logsql(query))), ())[()] == pytest.approx(
        largest / query.divisor
    )


@pytest.mark.parametrize("query", [each for each in LOG_QUERIES if isinstance(each, Ratio)], ids=to_logsql)
def test_ratios_match_the_run(run: Run, logs: VictoriaLogs, query: Ratio) -> None:
    lines = matching(run.lines, query.bottom.event, query.bottom.where)
    top = query.top
    if isinstance(top, Sum):
        share: float = sum(line.get(top.field) or 0 for line in lines) / len(lines)
    else:
        share = weigh(matching(lines, top.event, top.where)) / weigh(lines)
    for ask in (logs.value, logs.values):
        results = result_by_key(ask(substitute_variables(to_logsql(query))), ())
        assert results[()] == pytest.approx(share)


def test_numbers_without_lines_are_zero(logs: VictoriaLogs) -> None:
    for query in LOG_QUERIES:
        if isinstance(query, Count) and not query.by:
            nothing = to_logsql(query).replace("$source", "no-such-source")
            assert result_by_key(logs.value(substitute_variables(nothing)), ()) == {(): 0}
        if isinstance(query, Ratio) and isinstance(query.top, Count):
            nothing = to_logsql(query).replace(":>=500", ":>=600")
            assert result_by_key(logs.value(substitute_variables(nothing)), ()) == {(): 0}


def test_errors_levels_and_non_json_lines_match_the_run(run: Run, logs: VictoriaLogs) -> None:
    levels = {key: len(lines) for key, lines in grouped(run.lines, ("level",)).items()}
    assert result_by_key(logs.values(substitute_variables(to_logsql(Levels()))), ("level",)) == levels
    assert result_by_key(logs.value(substitute_variables(to_logsql(NonJsonLines()))), ()) == {(): 0}
    bad = [line for line in run.lines if line["level"] in {"error", "critical"} and line.get("error_kind")]
    groups = grouped(bad, ("message", "error_kind")).values()
    commonest = sorted((len(lines) for lines in groups), reverse=True)[:10]
    assert (
        sorted(
            result_by_key(logs.value(substitute_variables(to_logsql(ErrorEvents()))), (MESSAGE, "error_kind")).values(),
            reverse=True,
        )
        == commonest
    )


def test_rate_and_single_event_queries_return_rows(run: Run, logs: VictoriaLogs) -> None:
    for query in LOG_QUERIES:
        if isinstance(query, Count) and query.rate:
            assert {labels["source_name"] for labels, _ in logs.values(substitute_variables(to_logsql(query)))} == {
                line["source_name"] for line in run.of(query.event)
            }
    event_id = run.of("attempt.finished", outcome="matched")[0]["event_id"]
    feed = next(each for each in LOG_QUERIES if isinstance(each, Lines) and each.where[0].field == "event_id")
    query = to_logsql(feed).replace("$event_id", event_id)
    rows = logs.ask(substitute_variables(query))
    expected = sorted(
        (line for line in run.lines if line.get("event_id") == event_id), key=lambda line: line["timestamp"]
    )
    assert sorted(row[MESSAGE].split(" ")[0] for row in rows) == sorted(line["message"] for line in expected)
    assert {row["event_id"] for row in rows} == {event_id}
    assert logs.ask(substitute_variables(to_logsql(feed).replace("$event_id", ""))) == [], "no event is chosen"


def test_lines_of_errors_carry_the_event_id_of_their_link(run: Run, logs: VictoriaLogs) -> None:
    feed = next(each for each in LOG_QUERIES if isinstance(each, Lines) and each.where[0].field == "level")
    rows = logs.ask(substitute_variables(to_logsql(feed)))
    expected = [line for line in run.lines if line["level"] in {"warning", "error", "critical"}]
    assert len(rows) == len(expected)
    assert all(row[MESSAGE].startswith(row["level"]) for row in rows)
    assert {row["event_id"] for row in rows if row.get("event_id")} == {
        line["event_id"] for line in expected if line.get("event_id")
    }


def test_invalid_query_is_rejected(logs: VictoriaLogs) -> None:
    with pytest.raises(HTTPError):
        logs.ask("event:=x | statz by (source) count() n")
