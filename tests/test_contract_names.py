"""Tests that documentation, dashboards and alerts use only names of the code, and that no log field is reserved."""

import importlib
import inspect
import pkgutil
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from arq.worker import Worker
from litestar.handlers import HTTPRouteHandler

from docs.generator.logs import read_schema
from helm.dashboards.generator.metric_panels import METRIC_ROWS
from helm.dashboards.generator.panels import ROWS
from service.ingress.admin.router import CONTROLLERS, PATH
from service.metrics.families import FAMILIES
from service.metrics.instruments import Counter, Histogram
from service.settings import CALLER_NAMES, FILE_SETTINGS, PREFIX, Settings, file_variable
from tests.test_docs_commands import find_mistake

ROOT = Path(__file__).parents[1]
PAGES = sorted([
    *ROOT.glob("*.md"), *(ROOT / ".github").glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "helm/README.md"
])  # fmt: skip
CHART = sorted(path for path in (ROOT / "helm").rglob("*") if path.is_file() and path.suffix != ".pyc")
QUERIES = sorted([*(ROOT / "helm/dashboards").glob("*.json"), *(ROOT / "helm/alerts").glob("*.yaml")])
SOURCES = [
    path
    for folder in ("service", "workers", "helm")
    for path in (ROOT / folder).rglob("*")
    if path.is_file() and path.suffix != ".pyc"
]

SCHEMA = read_schema()["$defs"]
EVENTS = frozenset(SCHEMA["event"])

ECS_OBJECTS = frozenset(
    """
    agent client cloud code_signature container data_stream destination device dll dns ecs elf email entity error event
    faas file geo group hash host http interface log macho network observer orchestrator organization os package pe
    process registry related risk rule server service source span threat tls trace transaction url user user_agent vlan
    volume vulnerability x509
    """.split()  # noqa: SIM905 - a list of words reads best as words
)
"""Top-level objects and reusable field sets of the Elastic Common Schema 8."""

DATADOG_RESERVED = frozenset({"date", "ddsource", "ddtags", "env", "host", "hostname", "service", "source", "status"})
"""Reserved attributes of Datadog, without those that mean the same: message, timestamp, version, trace_id, span_id."""

GOOGLE_RESERVED = frozenset({"httpRequest", "labels", "logName", "resource", "severity", "time"})
"""Fields that the agents of Google Cloud Logging move out of the payload."""

LOGSTASH_RESERVED = frozenset({"tags", "type", "_id", "_index", "_source", "_type"})
"""Fields that Logstash and Elasticsearch use themselves."""


SEMANTIC_CONVENTIONS = ("opentelemetry.semconv.attributes", "opentelemetry.semconv._incubating.attributes")
"""Packages of OpenTelemetry with the names of all attributes, stable and not yet stable."""


def opentelemetry_names() -> frozenset[str]:
    """Return the first words of all attributes of OpenTelemetry's semantic conventions, and those without a dot."""
    names: set[str] = set()
    for package in map(importlib.import_module, SEMANTIC_CONVENTIONS):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            constants = vars(importlib.import_module(module.name))
            names |= {str(value) for name, value in constants.items() if name.isupper() and isinstance(value, str)}
    return frozenset(name.split(".")[0] for name in names if "." in name)


NO_EVENTS = frozenset({
    "admin.tokens", "config.admin", "config.destinations", "config.outbound", "config.platforms", "config.py",
    "config.records", "config.sources", "log.level", "queue.add", "record.get", "rule.matched",
})  # fmt: skip
"""YAML keys, values of the chart, files, and names of other systems: their first word is that of a log event."""

NO_METRICS = frozenset({"waybill_log", "waybill_xml_action"})
"""The format of lnav, and the module of the example package."""

OF_OTHERS = frozenset({"acks_late", "apply_async", "enqueue_job", "reject_on_worker_lost", "span_id", "webhook_id"})
"""Names of Celery, arq, OpenTelemetry and Standard Webhooks."""

OF_ARQ = frozenset(vars(Worker)) | frozenset(inspect.signature(Worker).parameters)
"""Methods and options of arq's worker."""

NOT_USED = frozenset({"failed_job", "retry_count"})
"""Words that docs/reference/vocabulary.md lists as not used."""

ENDINGS: dict[type, tuple[str, ...]] = {Counter: ("_total",), Histogram: ("_bucket", "_count", "_sum", "")}

WITH_ROUTES = (
    "README.md",
    "docs/reference/rules.md",
    "docs/how-to/operations.md",
    "docs/explanation/security.md",
    "docs/how-to/kubernetes.md",
)
OWN_ROUTES = frozenset({"/healthz", "/readyz", "/metrics", "/docs", "/webhooks", "/webhooks/{}"})


def quoted(text: str, pattern: str) -> set[str]:
    """Return the words in backticks that match a pattern."""
    return set(re.findall(f"`({pattern})`", text))


def strays(paths: Iterable[Path], find: Callable[[str], Iterable[str]], known: AbstractSet[str]) -> dict[str, set[str]]:
    """Return the names that `find` returns for each file and that are not known."""
    found = {str(path.relative_to(ROOT)): set(find(path.read_text())) - known for path in paths}
    return {path: names for path, names in found.items() if names}


def samples() -> Iterator[str]:
    """Return the names of all series that Prometheus stores."""
    for family in FAMILIES:
        endings = ENDINGS.get(type(family), ("",))
        yield from (family.name + ending for ending in endings)


def routes() -> Iterator[str]:
    """Return the paths of the admin API with `{}` for each parameter."""
    for controller in CONTROLLERS:
        for handler in vars(controller).values():
            if isinstance(handler, HTTPRouteHandler):
                for path in handler.paths:
                    yield re.sub(r"\{[^}]*\}", "{}", f"{controller.path}{path}".rstrip("/"))


def test_no_log_field_has_a_name_that_a_log_store_reserves() -> None:
    names = {name for name, field in SCHEMA["field"].items() if field["type"] != "object"}
    assert {"message", "timestamp", "source_name"} <= names
    namespaces = opentelemetry_names()
    assert {"http", "service", "exception", "message"} <= namespaces
    reserved = ECS_OBJECTS | DATADOG_RESERVED | GOOGLE_RESERVED | LOGSTASH_RESERVED | namespaces
    assert names & reserved == {"message"}, "the text of a line in each of them"


def test_every_log_event_of_a_page_is_in_the_schema() -> None:
    nouns = {event.split(".")[0] for event in EVENTS}

    def named(text: str) -> set[str]:
        return {name for name in quoted(text, r"[a-z_]+\.[a-z_]+") if name.split(".")[0] in nouns}

    assert strays(PAGES, named, EVENTS | NO_EVENTS) == {}


@pytest.mark.parametrize("path", QUERIES, ids=lambda path: path.name)
def test_every_log_event_of_a_query_is_in_the_schema(path: Path) -> None:
    text = path.read_text().replace("\\", "")
    named = set(re.findall(r'(?:\bmessage|_msg:)="([^"]+)"', text))
    assert named <= EVENTS
    assert named or path.name in {"prometheus.yaml", "waybill-metrics.json"}, "of metrics"


def test_every_field_error_code_and_key_of_a_page_is_in_the_code() -> None:
    words = set(samples()) | OF_OTHERS | OF_ARQ | NOT_USED
    for path in SOURCES:
        if path.suffix in {".py", ".lua", ".json", ".yaml", ".tpl"}:
            words |= set(re.findall(r"[a-z0-9]+(?:_[a-z0-9]+)+", path.read_text()))
    assert strays(PAGES, lambda text: quoted(text, r"[a-z][a-z0-9]*(?:_[a-z0-9]+)+"), words) == {}


def test_every_metric_of_pages_and_chart_is_registered() -> None:
    pattern = re.compile(r"\bwaybill_[a-z0-9_]*[a-z0-9]\b")
    assert strays([*PAGES, *CHART], pattern.findall, {*samples(), *NO_METRICS}) == {}


def test_the_layers_of_the_architecture_are_those_that_are_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    expected = [[name.strip().removeprefix("service.") for name in layer.split("|")] for layer in layers]
    text = (ROOT / "docs/explanation/architecture.md").read_text()
    table = re.findall(r"^\| \d+ \| (`[a-z_]+`(?:, `[a-z_]+`)*) \|$", text, re.MULTILINE)
    assert [re.findall("[a-z_]+", row) for row in table] == expected


def test_every_setting_of_pages_and_chart_exists() -> None:
    known = (
        {PREFIX + field.upper() for field in Settings.__struct_fields__}
        | CALLER_NAMES
        | set(map(file_variable, FILE_SETTINGS))
    )
    pattern = re.compile(rf"\b{PREFIX}[A-Z_]*[A-Z]\b")
    assert strays([*PAGES, *CHART, ROOT / "Dockerfile"], pattern.findall, known) == {}


def test_every_panel_that_the_runbook_names_exists() -> None:
    text = " ".join((ROOT / "docs/how-to/operations.md").read_text().split())
    rows = (*ROWS, *METRIC_ROWS)
    titles = {row.title for row in rows} | {panel.title for row in rows for panel in row.panels}
    assert set(re.findall(r'"([A-Z][^"]+)"', text)) - titles == set()


@pytest.mark.parametrize("name", WITH_ROUTES)
def test_every_route_of_a_page_exists(name: str) -> None:
    named = quoted((ROOT / name).read_text(), r"/[a-z][a-z0-9/{}_-]*")
    paths = {re.sub(r"\{[^}]*\}", "{}", path.removeprefix(PATH).rstrip("/")) for path in named}
    assert paths - set(routes()) - OWN_ROUTES == set()


def test_the_vocabulary_lists_every_event_route_and_command() -> None:
    text = (ROOT / "docs/reference/vocabulary.md").read_text()
    listed = quoted(text, r"[^`]+")
    assert set(EVENTS) - listed == set()
    paths = {f"/{route.strip('/').split('/')[0]}" for route in routes()}
    assert paths - {found[1] for name in listed if (found := re.match(r"(?:[A-Z]+ )?(/[a-z-]+)", name))} == set()
    commands = {entry.name for entry in entry_points(group="waybill.commands")}
    assert commands - {name.split()[0] for name in listed} == set()


def test_the_routes_of_the_contract_exist() -> None:
    expected = {"/quarantine/{}", "/quarantine/{}/reverify", "/quarantine/{}/release", "/erasures", "/events/replay"}
    assert expected <= set(routes())


@pytest.mark.parametrize("path", [ROOT / "helm/templates/NOTES.txt", *QUERIES], ids=lambda path: path.name)
def test_every_command_of_chart_notes_and_alerts_exists(path: Path) -> None:
    commands = re.findall(r"`(waybill [^`]+)`|-- (waybill [^\n|;&]+)", path.read_text())
    mistakes = {line: found for pair in commands for line in pair if line and (found := find_mistake(line))}
    assert mistakes == {}
