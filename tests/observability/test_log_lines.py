"""Lines of a whole run conform to the log schema, and cover it."""

import ast
import json
import re
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from jsonschema_rs import Draft202012Validator

from docs.generator.__main__ import PAGES
from docs.generator.logs import read_schema
from service.log import LINE_BYTES_MAX
from service.redaction import REDACTED_NAMES, REDACTED_SUFFIXES
from tests.observability.material import PERSONAL, LineValidator
from tests.observability.run import CORRELATION_ID, TRACEPARENT, Run

ROOT = Path(__file__).parents[2]
VALIDATOR = LineValidator()
EVENT_NAME = r"[a-z_]+\.[a-z_]+"
LOGS = {"debug", "info", "warning", "error", "critical", "exception", "log"}
LOGGING_FUNCTIONS = {"log_info", "log_report", "write"}
"""Names of local and imported functions that log a line."""
BY_LIBRARIES = {"library.logged"}
OPTIONAL_FIELDS = {"truncated", "log_processor_error", "correlation_id", "items_rejected", "trace_id", "span_id"}
"""Fields of a line that was too long, of one that a log processor could not change, of rare deliveries, of a span."""

SWEEP_FIELDS = frozenset(
    re.findall(r"(?:count\(|repaired\[)'(\w+)'", (ROOT / "service/store/scripts/sweep.lua").read_text())
)


def logged_events() -> set[str]:
    """Return the event names that the code logs."""
    names: set[str] = set()
    for path in (*(ROOT / "service").rglob("*.py"), *(ROOT / "workers").rglob("*.py")):
        source = path.read_text()
        nodes = ast.walk(ast.parse(source)) if re.search(f'"{EVENT_NAME}"', source) else ()
        for node in nodes:
            if isinstance(node, ast.Call) and _logs(node.func):
                names |= {text for each in node.args[:2] if (text := _name(each))}
    return names


def _logs(function: ast.expr) -> bool:
    named = isinstance(function, ast.Name) and function.id in LOGGING_FUNCTIONS
    return named or (isinstance(function, ast.Attribute) and function.attr in LOGS)


def _name(node: ast.expr) -> str:
    text = node.value if isinstance(node, ast.Constant) else None
    return text if isinstance(text, str) and re.fullmatch(EVENT_NAME, text) else ""


def test_logged_events_and_events_of_the_schema_are_the_same() -> None:
    assert logged_events() | BY_LIBRARIES == set(VALIDATOR.events)


def test_schema_defines_each_key_once() -> None:
    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        names = [name for name, _ in pairs]
        assert len(names) == len(set(names)), f"two keys of one object have the same name: {sorted(names)}"
        return dict(pairs)

    json.loads((ROOT / "service" / "log_schema.json").read_bytes(), object_pairs_hook=unique)


def test_schema_is_valid_and_describes_every_field() -> None:
    schema = read_schema()
    Draft202012Validator(dict(schema))
    for name, field in schema["$defs"]["field"].items():
        assert field["description"].endswith("."), name
        assert "type" in field, name
    used = set(re.findall(r"#/\$defs/field/(\w+)", msgspec.json.encode(schema).decode()))
    assert used | {"message", "level", "component"} == set(schema["$defs"]["field"])


def test_redaction_hides_no_field_of_the_schema() -> None:
    fields = read_schema()["$defs"]["field"]
    assert [name for name in fields if name in REDACTED_NAMES or name.rsplit("_", 1)[-1] in REDACTED_SUFFIXES] == []


def test_durations_and_sizes_have_a_unit() -> None:
    for name, field in read_schema()["$defs"]["field"].items():
        for ending, unit in (("_ms", "ms"), ("_bytes", "bytes"), ("seconds", "s"), ("_percent", "percent")):
            if name.endswith(ending) and name not in SWEEP_FIELDS:
                assert field["x-unit"] == unit, name


@pytest.mark.parametrize("page", list(PAGES))
def test_generated_page_is_up_to_date(page: str) -> None:
    assert (ROOT / "docs" / page).read_text() == PAGES[page](), "run: python -m docs.generator"


def test_line_with_an_unknown_field_or_wrong_value_is_invalid() -> None:
    line = {
        "timestamp": "2026-11-20T08:15:30.042Z",
        "level": "warning",
        "component": "workers",
        "version": "0.1.0",
        "instance": "waybill-workers-0",
        "message": "rulebook.missing",
    }
    line["reason"] = "nothing was published"
    assert VALIDATOR.errors([line]) == []
    assert VALIDATOR.errors([line | {"surprise": 1}])
    assert VALIDATOR.errors([line | {"component": "service"}])
    assert VALIDATOR.errors([line | {"timestamp": "yesterday"}])
    assert VALIDATOR.errors([line | {"message": "rulebook.bought"}])


def test_lines_of_the_run_are_valid(run: Run) -> None:
    assert VALIDATOR.errors(run.lines) == []


def test_run_covers_every_event_and_field(run: Run) -> None:
    seen: dict[str, set[str]] = {}
    for line in run.lines:
        seen.setdefault(line["message"], set()).update(line)
    missing = {
        event: fields
        for event in VALIDATOR.events
        if (fields := VALIDATOR.fields(event) - seen.get(event, set()) - OPTIONAL_FIELDS - SWEEP_FIELDS)
    }
    assert missing == {}
    assert any("truncated" in line for line in run.lines)
    swept = {"open_without_bytes", "ended_expired", "dead_letters_expired", "index_rebuilt"}
    assert seen["store.swept"] & SWEEP_FIELDS == swept
    assert VALIDATOR.fields("store.swept") >= SWEEP_FIELDS


def test_run_covers_every_outcome_and_status(run: Run) -> None:
    outcomes = {line["outcome"] for line in run.of("attempt.finished")}
    assert outcomes >= {
        "matched",
        "unmatched",
        "stale",
        "resolved",
        "ignored",
        "retried",
        "deferred",
        "released",
        "dead_lettered",
    }
    assert {line["delivery_status"] for line in run.of("delivery.received")} == {
        "queued",
        "duplicate",
        "ignored",
        "rejected",
    }


def test_processes_write_only_json_lines(run: Run) -> None:
    counts = {name: text for name, text in run.errors.items() if text and name not in {"sandbox", "service-2"}}
    assert counts == {}
    assert run.errors["service-2"].startswith(b"waybill: WAYBILL_PORT: ")
    for name, output in run.outputs.items():
        assert output.endswith(b"\n") or name == "worker-1", name
        for line in output.splitlines():
            assert isinstance(msgspec.json.decode(line), dict), (name, line)


def test_unretrieved_task_exception_is_logged_with_its_stack(run: Run) -> None:
    (line,) = [each for each in run.of("library.logged") if "never retrieved" in each["text"]]
    assert (line["logger"], line["level"], line["error_type"]) == ("asyncio", "error", "LookupError")
    assert "in break_sweep" in line["error_stack"]


def test_lines_are_not_longer_than_the_limit(run: Run) -> None:
    for output in run.outputs.values():
        assert max(map(len, output.splitlines(keepends=True))) <= LINE_BYTES_MAX


@pytest.mark.parametrize("kind", list(PERSONAL))
def test_lines_contain_no_personal_data_even_from_errors(run: Run, kind: str) -> None:
    words = [PERSONAL[kind], *(PERSONAL[kind].split() if kind == "name" else ())]
    for output in run.outputs.values():
        for word in words:
            assert word.encode() not in output


def test_lines_contain_no_secret_or_body(run: Run) -> None:
    everything = b"".join(run.outputs.values())
    for secret in run.secrets:
        assert secret.encode() not in everything
    for body in run.bodies:
        if len(body) > 2:
            assert body not in everything
            assert msgspec.json.encode(body.decode())[1:-1] not in everything


def test_each_delivery_is_one_line_and_rate_limited_ones_are_summarized(run: Run) -> None:
    counts = Counter(
        (line["source_name"], line.get("reason") or line["delivery_status"]) for line in run.of("delivery.received")
    )
    del counts["odd", "internal"], counts["odd", "queued"]
    sent = Counter(run.answers)
    sent["unknown", "unknown_source"] = sent.pop(("nobody", "unknown_source"))
    throttled = sent.pop(("pack-orders", "too_many_requests"))
    assert counts == sent
    assert sum(line["deliveries"] for line in run.of("delivery.rate_limited")) == throttled


def test_event_id_trace_id_and_correlation_id_connect_all_lines_of_an_event(run: Run) -> None:
    trace_id = TRACEPARENT.split("-")[1]
    lines = [line for line in run.lines if line.get("trace_id") == trace_id]
    assert [line["message"] for line in sorted(lines, key=lambda line: line["timestamp"])] == [
        "delivery.received", "record.fetched", "action.logged",
        "action.finished", "action.finished", "attempt.finished",
    ]  # fmt: skip
    assert len({line["event_id"] for line in lines}) == 1
    assert {line["correlation_id"] for line in lines} == {CORRELATION_ID}
    assert {line["event_id"] for line in run.lines if line.get("correlation_id") == CORRELATION_ID} == {
        lines[0]["event_id"]
    }


def test_lines_about_an_event_have_a_trace_id(run: Run) -> None:
    events = ("delivery.received", "record.fetched", "action.logged", "action.finished", "attempt.finished")
    for event in (*events, "delivery.crashed", "attempt.crashed", "action.crashed"):
        assert any(line.get("trace_id") for line in run.of(event)) or event.endswith(".crashed")
        for line in run.of(event):
            assert "trace_id" in line, line
