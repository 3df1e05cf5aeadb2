"""Every line of a whole run against the log schema, and the schema against every line."""

import ast
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
from tests.observability.material import PERSONAL, Checker
from tests.observability.run import TRACEPARENT, Run

ROOT = Path(__file__).parents[2]
CHECKER = Checker()
LOGS = {"debug", "info", "warning", "error", "critical", "exception", "log"}
BOUND = {"log_report", "log_info", "write"}
"""What a logger's method is called where its level is chosen at run time."""
BY_LIBRARIES = {"library.logged"}
ANYWHERE = {"truncated"}
"""May stand on any line, where it was too long."""

OF_SWEEPS = frozenset(
    re.findall(r"(?:count\(|repaired\[)'(\w+)'", (ROOT / "service/store/scripts/sweep.lua").read_text())
)


def emitted() -> set[str]:
    """The names of all lines that the code writes."""
    names: set[str] = set()
    for path in (*(ROOT / "service").rglob("*.py"), *(ROOT / "workers").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and _logs(node.func):
                names |= {text for each in node.args[:2] if (text := _name(each))}
    return names


def _logs(function: ast.expr) -> bool:
    named = isinstance(function, ast.Name) and function.id in BOUND
    return named or (isinstance(function, ast.Attribute) and function.attr in LOGS)


def _name(node: ast.expr) -> str:
    text = node.value if isinstance(node, ast.Constant) else None
    return text if isinstance(text, str) and re.fullmatch(r"[a-z_]+\.[a-z_]+", text) else ""


def test_no_line_is_written_that_the_schema_does_not_know_and_none_is_known_that_nobody_writes() -> None:
    assert emitted() | BY_LIBRARIES == set(CHECKER.events)


def test_the_schema_is_a_schema_and_each_field_says_type_and_meaning() -> None:
    schema = read_schema()
    Draft202012Validator(dict(schema))
    for name, field in schema["$defs"]["field"].items():
        assert field["description"].endswith("."), name
        assert "type" in field, name
    used = set(re.findall(r"#/\$defs/field/(\w+)", msgspec.json.encode(schema).decode()))
    assert used | {"message", "level", "component"} == set(schema["$defs"]["field"])


def test_no_field_of_the_schema_is_one_that_redaction_hides() -> None:
    fields = read_schema()["$defs"]["field"]
    assert [name for name in fields if name in REDACTED_NAMES or name.rsplit("_", 1)[-1] in REDACTED_SUFFIXES] == []


def test_durations_and_sizes_name_their_unit() -> None:
    for name, field in read_schema()["$defs"]["field"].items():
        for ending, unit in (("_ms", "ms"), ("_bytes", "bytes"), ("seconds", "s"), ("_percent", "percent")):
            if name.endswith(ending) and name not in OF_SWEEPS:
                assert field["x-unit"] == unit, name


@pytest.mark.parametrize("page", list(PAGES))
def test_a_made_page_is_up_to_date(page: str) -> None:
    assert (ROOT / "docs" / page).read_text() == PAGES[page](), "run: python -m docs.generator"


def test_a_line_with_an_unknown_field_or_a_wrong_type_does_not_validate() -> None:
    line = {
        "timestamp": "2026-11-20T08:15:30.042Z",
        "level": "warning",
        "component": "workers",
        "message": "rulebook.missing",
    }
    line["reason"] = "nothing was published"
    assert CHECKER.mistakes([line]) == []
    assert CHECKER.mistakes([line | {"surprise": 1}])
    assert CHECKER.mistakes([line | {"component": "service"}])
    assert CHECKER.mistakes([line | {"timestamp": "yesterday"}])
    assert CHECKER.mistakes([line | {"message": "rulebook.bought"}])


def test_every_line_of_a_whole_run_validates(run: Run) -> None:
    assert CHECKER.mistakes(run.lines) == []


def test_every_event_and_every_field_is_seen_in_a_whole_run(run: Run) -> None:
    seen: dict[str, set[str]] = {}
    for line in run.lines:
        seen.setdefault(line["message"], set()).update(line)
    missing = {
        event: fields
        for event in CHECKER.events
        if (fields := CHECKER.fields(event) - seen.get(event, set()) - ANYWHERE - OF_SWEEPS)
    }
    assert missing == {}
    assert any("truncated" in line for line in run.lines)
    assert seen["store.swept"] & OF_SWEEPS == {"open_without_bytes", "ended_expired", "dead_letters_expired"}
    assert CHECKER.fields("store.swept") >= OF_SWEEPS


def test_every_outcome_and_status_is_seen_in_a_whole_run(run: Run) -> None:
    outcomes = {line["outcome"] for line in run.of("attempt.finished")}
    assert outcomes >= {
        "matched",
        "unmatched",
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


def test_nothing_but_json_lines_is_written_at_start_at_work_in_a_crash_and_at_the_end(run: Run) -> None:
    told = {name: text for name, text in run.errors.items() if text and name not in {"sandbox", "service-2"}}
    assert told == {}
    assert run.errors["service-2"].startswith(b"waybill: WAYBILL_PORT: ")
    for name, output in run.outputs.items():
        assert output.endswith(b"\n") or name == "worker-1", name
        for line in output.splitlines():
            assert isinstance(msgspec.json.decode(line), dict), (name, line)


def test_a_task_whose_error_nobody_asks_for_is_a_line_with_its_stack(run: Run) -> None:
    (line,) = [each for each in run.of("library.logged") if "never retrieved" in each["text"]]
    assert (line["logger"], line["level"], line["error_type"]) == ("asyncio", "error", "LookupError")
    assert "in break_sweep" in line["error_stack"]


def test_no_line_is_longer_than_its_limit(run: Run) -> None:
    for output in run.outputs.values():
        assert max(map(len, output.splitlines(keepends=True))) <= LINE_BYTES_MAX


@pytest.mark.parametrize("what", list(PERSONAL))
def test_no_line_holds_personal_data_even_where_an_error_repeats_it(run: Run, what: str) -> None:
    words = [PERSONAL[what], *(PERSONAL[what].split() if what == "name" else ())]
    for output in run.outputs.values():
        for word in words:
            assert word.encode() not in output


def test_no_line_holds_a_secret_or_a_body(run: Run) -> None:
    everything = b"".join(run.outputs.values())
    for secret in run.secrets:
        assert secret.encode() not in everything
    for body in run.bodies:
        if len(body) > 2:
            assert body not in everything
            assert msgspec.json.encode(body.decode())[1:-1] not in everything


def test_every_delivery_leaves_one_line_and_the_throttled_are_summed(run: Run) -> None:
    told = Counter(
        (line["source_name"], line.get("reason") or line["delivery_status"]) for line in run.of("delivery.received")
    )
    del told["odd", "internal"], told["odd", "queued"]
    sent = Counter(run.answers)
    sent["pack-orders", "queued"] += 1  # the event that warms the demo up
    sent["unknown", "unknown_source"] = sent.pop(("nobody", "unknown_source"))
    throttled = sent.pop(("pack-orders", "too_many_requests"))
    assert told == sent
    assert sum(line["deliveries"] for line in run.of("delivery.rate_limited")) == throttled


def test_one_id_and_one_trace_lead_from_the_delivery_to_its_end(run: Run) -> None:
    trace_id = TRACEPARENT.split("-")[1]
    lines = [line for line in run.lines if line.get("trace_id") == trace_id]
    assert [line["message"] for line in sorted(lines, key=lambda line: line["timestamp"])] == [
        "delivery.received", "record.fetched", "action.logged",
        "action.finished", "action.finished", "attempt.finished",
    ]  # fmt: skip
    assert len({line["event_id"] for line in lines}) == 1


def test_every_line_about_an_event_names_its_trace(run: Run) -> None:
    events = ("delivery.received", "record.fetched", "action.logged", "action.finished", "attempt.finished")
    for event in (*events, "delivery.crashed", "attempt.crashed", "action.crashed"):
        assert any(line.get("trace_id") for line in run.of(event)) or event.endswith(".crashed")
        for line in run.of(event):
            assert "trace_id" in line, line
