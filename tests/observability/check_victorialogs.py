"""Every LogsQL query on a real VictoriaLogs that was fed a whole run, its numbers against our own counting.

Not found by `pytest`, since its server has to be built first (tests/observability/build_victorialogs):
VICTORIALOGS=<binary> pytest tests/observability/check_victorialogs.py
"""

import math
import os
import re
import socket
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import msgspec
import pytest

from helm.dashboards.generator.logsql import MESSAGE, to_logsql
from helm.dashboards.generator.panels import ROWS
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
)
from tests.observability.logql import whole
from tests.observability.material import Line
from tests.observability.run import Run

QUESTIONS: Sequence[LogQuery] = [question for row in ROWS for panel in row.panels for question in panel.questions]
SECONDS_MAX = 20.0
Key = tuple[str, ...]


class Logs:
    """A running VictoriaLogs."""

    def __init__(self, url: str) -> None:
        self.url = url

    def feed(self, lines: Iterable[Line]) -> None:
        """Take lines in, with the labels that a collector adds."""
        labels = {"namespace": "shop", "app": "waybill"}
        body = b"\n".join(msgspec.json.encode(labels | line) for line in lines)
        fields = {"_stream_fields": "namespace,app", "_time_field": "timestamp", "_msg_field": "message"}
        url, headers = f"{self.url}/insert/jsonline?{urlencode(fields)}", {"Content-Type": "application/json"}
        with urlopen(Request(url, body, headers), timeout=SECONDS_MAX):  # noqa: S310 - ours
            pass

    def ask(self, query: str) -> list[dict[str, Any]]:
        """Give the rows of an answer."""
        form = urlencode({"query": query, "start": "2020-01-01T00:00:00Z"}).encode()
        with urlopen(f"{self.url}/select/logsql/query", form, timeout=SECONDS_MAX) as answer:  # noqa: S310 - ours
            return [msgspec.json.decode(line) for line in answer.read().splitlines()]


@pytest.fixture(scope="session")
def logs(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logs]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data: Path = tmp_path_factory.mktemp("victorialogs")
    options = [f"-storageDataPath={data}", f"-httpListenAddr=127.0.0.1:{port}", "-retentionPeriod=100y"]
    binary = os.environ["VICTORIALOGS"]
    server = subprocess.Popen([binary, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    store = Logs(f"http://127.0.0.1:{port}")
    try:
        _until_fed(store, run)
        yield store
    finally:
        server.terminate()
        server.wait(SECONDS_MAX)


def _until_fed(store: Logs, run: Run) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    fed = False
    while time.monotonic() < deadline:
        try:
            if not fed:
                store.feed(run.lines)
                fed = True
            (row,) = store.ask('{app="waybill"} | stats count() n')  # found by their labels, whose index is later
            if int(row["n"]) == len(run.lines):
                return
        except (URLError, ConnectionError):
            pass
        time.sleep(0.1)
    raise TimeoutError("the store of logs does not hold what it was fed")


def matching(lines: Iterable[Line], event: str, where: Iterable[Where]) -> list[Line]:
    """The lines that a question is about, by our own reading of it."""
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


def grouped(lines: Iterable[Line], by: Sequence[str]) -> dict[Key, list[Line]]:
    groups: dict[Key, list[Line]] = defaultdict(list)
    for line in lines:
        groups[tuple(_text(line.get(name)) for name in by)].append(line)
    return dict(groups)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def answered(rows: Iterable[Mapping[str, Any]], by: Sequence[str]) -> dict[Key, float]:
    return {tuple(str(row.get(name, "")) for name in by): float(row["n"]) for row in rows}


@pytest.mark.parametrize(
    "question", [each for each in QUESTIONS if isinstance(each, Count) and not each.rate], ids=to_logsql
)
def test_counts_are_those_of_the_run(run: Run, logs: Logs, question: Count) -> None:
    ours = {
        key: len(lines)
        for key, lines in grouped(matching(run.lines, question.event, question.where), question.by).items()
    }
    assert answered(logs.ask(whole(to_logsql(question))), question.by) == (ours or {(): 0})


@pytest.mark.parametrize("question", [each for each in QUESTIONS if isinstance(each, Quantile)], ids=to_logsql)
def test_quantiles_are_those_of_the_run(run: Run, logs: Logs, question: Quantile) -> None:
    theirs = answered(logs.ask(whole(to_logsql(question))), question.by)
    groups = grouped(matching(run.lines, question.event, question.where), question.by)
    assert set(theirs) == set(groups)
    for key, lines in groups.items():
        values = sorted(line[question.field] for line in lines)
        place = question.part * (len(values) - 1)
        assert (
            values[math.floor(place) - (place >= 1)]
            <= theirs[key]
            <= values[min(math.ceil(place) + 1, len(values) - 1)]
        )


@pytest.mark.parametrize("question", [each for each in QUESTIONS if isinstance(each, Max)], ids=to_logsql)
def test_peaks_are_those_of_the_run(run: Run, logs: Logs, question: Max) -> None:
    largest = max(line[question.field] for line in matching(run.lines, question.event, ()))
    assert answered(logs.ask(whole(to_logsql(question))), ())[()] == pytest.approx(largest / question.divisor)


@pytest.mark.parametrize("question", [each for each in QUESTIONS if isinstance(each, Ratio)], ids=to_logsql)
def test_ratios_are_those_of_the_run(run: Run, logs: Logs, question: Ratio) -> None:
    all_of_it = matching(run.lines, question.bottom.event, question.bottom.where)
    top = question.top
    if isinstance(top, Sum):
        share: float = sum(line.get(top.field) or 0 for line in all_of_it)
    else:
        share = len(matching(all_of_it, top.event, top.where))
    assert answered(logs.ask(whole(to_logsql(question))), ())[()] == pytest.approx(share / len(all_of_it))


def test_errors_levels_and_strays_are_those_of_the_run(run: Run, logs: Logs) -> None:
    levels = {key: len(lines) for key, lines in grouped(run.lines, ("level",)).items()}
    assert answered(logs.ask(whole(to_logsql(Levels()))), ("level",)) == levels
    assert answered(logs.ask(whole(to_logsql(NonJsonLines()))), ()) == {(): 0}
    bad = [line for line in run.lines if line["level"] in {"error", "critical"} and line.get("error_kind")]
    by = (MESSAGE, "error_kind")
    commonest = sorted((len(lines) for lines in grouped(bad, by).values()), reverse=True)[:10]
    assert sorted(answered(logs.ask(whole(to_logsql(ErrorEvents()))), by).values(), reverse=True) == commonest


def test_the_rate_is_answered_and_an_event_is_shown_from_start_to_end(run: Run, logs: Logs) -> None:
    for question in QUESTIONS:
        if isinstance(question, Count) and question.rate:
            assert {row["source_name"] for row in logs.ask(whole(to_logsql(question)))} == {
                line["source_name"] for line in run.of(question.event)
            }
    event_id = run.of("attempt.finished", outcome="matched")[0]["event_id"]
    feed = next(each for each in QUESTIONS if isinstance(each, Lines) and each.where[0].field == "event_id")
    query = to_logsql(feed).replace("$event_id", event_id)
    rows = logs.ask(whole(query))
    ours = sorted((line for line in run.lines if line.get("event_id") == event_id), key=lambda line: line["timestamp"])
    assert sorted(row[MESSAGE] for row in rows) == sorted(line["message"] for line in ours)


def test_a_query_that_is_none_is_refused(logs: Logs) -> None:
    with pytest.raises(HTTPError):
        logs.ask("event:=x | statz by (source) count() n")
