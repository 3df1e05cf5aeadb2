"""Log lines, read from a pipe: redaction, limits, fields, libraries."""

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from service import log as log_module
from service.errors import PermanentError
from service.log_rendering import Clock, json_renderer
from service.redaction import NAMES_CACHED_MAX, REDACTED, REDACTED_NAMES, REDACTED_SUFFIXES, NameCheck, scrub, to_plain
from tests.service.log_pipe import LogPipe
from tests.waiting import PATIENCE_SECONDS

SECRET = "s3cr3t-value"


def rendered(fields: dict[str, Any], limit: int = 4_096) -> bytes:
    line = {"event": "thing.happened", **fields}
    finish = log_module._finisher(json_renderer("service", limit))
    return finish(None, "info", line)


HIDDEN = """authorization token path_token secret client_secret password signature X-Signature cookie Set-Cookie
body raw email phone name first_name address billing_address headers api_key firstName FirstName customerLastName
addressLine1 Address2 phoneNumber MobilePhone eMail ZIPCode dateOfBirth contact-name"""


@pytest.mark.parametrize("name", HIDDEN.split())
def test_redacted_names_apply_at_every_level(name: str) -> None:
    line = json.loads(rendered({name: SECRET, "detail": {name: SECRET, "list": [{name: {"x": SECRET}}]}}))
    assert line[name] == REDACTED
    assert line["detail"] == {name: REDACTED, "list": [{name: REDACTED}]}


@pytest.mark.parametrize(
    "name", ["body_bytes", "event_id", "error_kind", "rule_id", "client_host", "token_count", "http_status", "key"]
)
def test_other_names_are_not_redacted(name: str) -> None:
    assert json.loads(rendered({name: "shown"}))[name] == "shown"


@pytest.mark.parametrize(
    ("name", "fields", "expected"),
    [
        ("thing.happened", {}, {"message": "thing.happened"}),
        ("thing.happened", {"level": "own"}, {"message": "thing.happened", "level": "own"}),
        ("jane@example.org", {"status": 1}, {"message": REDACTED, "status": 1}),
        ("half \ud800", {"status": 1}, {"message": "half ?", "status": "1"}),
        ("thing.happened", {"reason": "half \ud800"}, {"message": "thing.happened", "reason": "half ?"}),
        (PermanentError("kind", "reason"), {"status": 1}, {"message": "PermanentError: reason", "status": 1}),
    ],
)
def test_unusual_lines_are_complete(name: object, fields: dict[str, Any], expected: dict[str, Any]) -> None:
    finish = log_module._finisher(json_renderer("service", 4_096))
    for _ in range(2):  # the second line has a prepared part
        line = json.loads(finish(None, "info", {"event": name, **fields}))
        assert list(line)[:6] == ["timestamp", "level", "component", "version", "instance", "message"]
        assert {key: line[key] for key in expected} == expected


def test_line_at_the_limit_is_not_truncated() -> None:
    usual = rendered({"reason": "x" * 1_000})
    assert b"truncated" not in rendered({"reason": "x" * 1_000}, limit=len(usual))
    assert b"truncated" in rendered({"reason": "x" * 1_000}, limit=len(usual) - 1)


def test_e_mail_addresses_and_passwords_in_text_are_redacted() -> None:
    text = 'cannot reach redis://user:hunter2@db:6379/0 for\n"jane.doe+x@example.org"\x01kim@example.org, see a @ b'
    line = json.loads(rendered({"reason": text, "detail": [text]}))
    assert "hunter2" not in str(line)
    assert "jane" not in str(line)
    assert "kim" not in str(line)
    assert line["reason"].startswith(f"cannot reach redis://{REDACTED}@db:6379/0 for\n")
    assert line["reason"].endswith("see a @ b")
    assert line["detail"] == [line["reason"]]


def test_objects_are_logged_as_their_type_name() -> None:
    class Holder:
        def __repr__(self) -> str:
            return SECRET

    line = json.loads(rendered({"holder": Holder(), "blob": b"abc", "many": {1, 2}, "error": KeyError("k")}))
    assert line["holder"] == "<Holder>"
    assert line["blob"] == "[3 bytes]"
    assert line["many"] == [1, 2]
    assert line["error"] == "KeyError: 'k'"


def test_structs_are_redacted_and_depth_is_limited() -> None:
    class Person(msgspec.Struct):
        id: str
        email: str

    nested: Any = "deep"
    for _ in range(30):
        nested = [nested]
    line = json.loads(rendered({"person": Person("7", "jane@example.org"), "nested": nested}))
    assert line["person"] == {"id": "7", "email": REDACTED}
    assert "[too deep]" in str(line["nested"])


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=80).filter(lambda name: name not in {"event", "exc_info", "stack_info"}),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3_000) | st.binary(max_size=40),
            lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=20), inner, max_size=5),
            max_leaves=20,
        ),
        max_size=12,
    ),
    st.integers(512, 4_096),
)
def test_line_is_one_json_object_within_the_limit(fields: dict[str, Any], limit: int) -> None:
    line = rendered(fields, limit)
    assert len(line) <= limit
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert isinstance(json.loads(line), dict)


@given(st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_to_plain_and_scrub_are_idempotent(value: Any) -> None:
    once = scrub(to_plain(value))
    assert scrub(to_plain(once)) == once


@pytest.mark.parametrize("fields", [{"text": "\ud800"}, {"nested": ["\udfff"]}, {"\ud800": 1}])
def test_text_that_is_not_utf8_is_logged(fields: dict[str, Any]) -> None:
    line = json.loads(rendered(fields))
    assert line["message"] == "thing.happened"
    assert "?" in str(line) or "udfff" in str(line)


def test_decimals_paths_and_long_numbers_keep_their_digits() -> None:
    line = json.loads(rendered({"total": Decimal("100.10"), "config": Path("a/b.yaml"), "number": 2**80}))
    assert (line["total"], line["config"], line["number"]) == ("100.10", "a/b.yaml", 2**80)


def test_cache_of_redacted_names_is_limited() -> None:
    names = NameCheck(REDACTED_NAMES, REDACTED_SUFFIXES)
    for number in range(NAMES_CACHED_MAX + 10):
        assert names[f"field_{number}"] is False
    assert names["token"] is True
    assert len(names) == NAMES_CACHED_MAX


def test_line_above_the_limit_is_truncated() -> None:
    spare = 512 - len(rendered({"text": ""}, 512))
    whole = rendered({"text": "x" * spare}, 512)
    cut = json.loads(rendered({"text": "x" * (spare + 1)}, 512))
    assert len(whole) == 512
    assert "truncated" not in json.loads(whole)
    assert cut["truncated"] == ["text"]
    assert cut["text"].endswith("…")
    assert cut["message"] == "thing.happened"


def test_truncation_never_drops_the_ids() -> None:
    line = json.loads(rendered({f"field_{number}": "é" * 500 for number in range(100)} | {"event_id": "e" * 32}, 512))
    assert line["event_id"] == "e" * 32
    assert line["message"] == "thing.happened"
    assert line["truncated"] == ["*"]


def test_line_starts_with_its_origin_and_its_name(read: LogPipe) -> None:
    log_module.get_logger(source_name="pack-orders").info("delivery.received", delivery_status="queued")
    (line,) = read()
    origin = ["timestamp", "level", "component", "version", "instance", "message"]
    assert list(line) == [*origin, "source_name", "delivery_status"]
    assert (line["version"], line["instance"]) == (version("waybill"), socket.gethostname())
    assert (line["level"], line["component"], line["message"]) == ("info", "service", "delivery.received")


@pytest.mark.parametrize(
    ("now", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1_795_161_730.9999, "2026-11-20T08:02:10.999Z"),
        (0.042, "1970-01-01T00:00:00.042Z"),
    ],
)
def test_timestamp_is_utc_with_milliseconds_and_rounds_down(now: float, text: str) -> None:
    clock = Clock()
    assert clock.stamp(now) == text
    assert clock.stamp(now) == text


def test_log_info_writes_the_same_line_as_the_logger(read: LogPipe) -> None:
    structlog.contextvars.bind_contextvars(trace_id="t-1")
    fields: dict[str, Any] = {"source_name": "erp", "email": SECRET, "reason": "jane@example.org", "http_status": 202}
    structlog.get_logger().info("delivery.received", **fields)
    log_module.log_info("delivery.received", dict(fields))
    usual, often = read()
    assert {**usual, "timestamp": "", "weight": 1} == {**often, "timestamp": ""}
    assert [name for name in often if name != "weight"] == list(usual)
    assert SECRET not in str(often)


@pytest.mark.parametrize(("level", "lines"), [("debug", 1), ("info", 1), ("warning", 0)])
def test_log_info_respects_the_level(level: str, lines: int, read: LogPipe) -> None:
    read.configure(level)
    log_module.log_info("delivery.received", {"source_name": "erp"})
    assert len(read()) == lines


def test_bound_ids_are_on_own_and_library_lines(read: LogPipe) -> None:
    structlog.contextvars.bind_contextvars(event_id="e1")
    log_module.get_logger().info("record.fetched")
    logging.getLogger("aiohttp.client").warning("slow %s", "host", extra={"ignored": 1})
    ours, theirs = read()
    assert ours["event_id"] == theirs["event_id"] == "e1"
    assert (theirs["message"], theirs["logger"], theirs["text"]) == ("library.logged", "aiohttp.client", "slow host")
    assert theirs["level"] == "warning"


def test_noisy_library_records_are_not_logged(read: LogPipe) -> None:
    logging.getLogger("arq.worker").info("0.05s → job()")
    logging.getLogger("uvicorn.access").info("GET /healthz")
    logging.getLogger("anything").debug("chatter")
    log_module.get_logger().debug("chatter")
    assert read() == []


def test_exception_has_kind_and_frames_without_local_variables(read: LogPipe) -> None:
    def charge() -> None:
        card = SECRET
        assert card
        raise PermanentError("refused", "the platform said no")

    try:
        charge()
    except PermanentError:
        log_module.get_logger().exception("action.finished")
    (line,) = read()
    assert (line["error_kind"], line["error_type"]) == ("refused", "PermanentError")
    assert line["error_message"] == "the platform said no"
    assert "in charge" in line["error_stack"]
    assert SECRET not in json.dumps(line)


def test_values_in_library_errors_are_masked(read: LogPipe) -> None:
    def parse(name: str, phone: str) -> None:
        try:
            int(name)
        except ValueError as error:
            raise KeyError(phone) from error

    values = ("jane roe", "+47 908 17 263")
    try:
        parse(*values)
    except KeyError:
        log_module.get_logger().exception("attempt.crashed")
    (line,) = read()
    text = json.dumps(line | {"timestamp": "", "instance": ""})  # these may contain any digits
    assert "jane" not in text
    assert "908" not in text
    assert "invalid literal for int() with base 10: " in line["error_stack"]
    assert "in parse" in line["error_stack"]


def test_errors_about_names_in_code_are_not_masked(read: LogPipe) -> None:
    try:
        _ = cast("Any", object()).rules_max
    except AttributeError:
        log_module.get_logger().exception("attempt.crashed")
    (line,) = read()
    assert line["error_message"] == "'object' object has no attribute 'rules_max'"


def test_values_in_exception_groups_are_masked(read: LogPipe) -> None:
    log_module.get_logger().error("x.y", exc_info=ExceptionGroup("two", [ValueError("'jane'"), KeyError("roe")]))
    (line,) = read()
    assert "jane" not in json.dumps(line)
    assert "roe" not in json.dumps(line)


def test_quoted_values_of_library_records_are_masked(read: LogPipe) -> None:
    logging.getLogger("aiohttp").warning("cannot send %r to %s", "jane roe", "+4790817263")
    (line,) = read()
    assert line["text"] == "cannot send '…' to …"


def test_exc_info_without_an_exception_adds_no_fields(read: LogPipe) -> None:
    log_module.get_logger().info("thing.happened", exc_info=True)
    (line,) = read()
    assert "error_kind" not in line


async def test_error_of_an_unawaited_task_is_logged(read: LogPipe) -> None:
    lost = {"message": "Task exception was never retrieved", "exception": ValueError("lost")}
    asyncio.get_running_loop().call_exception_handler(lost)
    (line,) = read()
    assert (line["logger"], line["error_message"]) == ("asyncio", "lost")


def run(code: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=PATIENCE_SECONDS)


@pytest.mark.slow
def test_formatting_error_of_a_library_is_logged() -> None:
    done = run(
        "import logging\nfrom service.log import configure\nconfigure('workers')\n"
        "logging.getLogger('sloppy').error('%d items', 'three')"
    )
    (line,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert line["text"].startswith("%d items [TypeError")
    assert done.stderr == b""


@pytest.mark.slow
def test_uncaught_exceptions_and_warnings_are_logged() -> None:
    done = run(
        "import warnings, threading\nfrom service.log import configure\nconfigure('workers')\n"
        "warnings.warn('old way')\n"
        "t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()\nraise RuntimeError('boom')"
    )
    warned, threaded, failed = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert warned["logger"] == "py.warnings"
    assert threaded["error_type"] == "ZeroDivisionError"
    assert (failed["message"], failed["level"], failed["error_message"]) == ("process.failed", "critical", "boom")
    assert done.stderr == b""


@pytest.mark.slow
def test_keyboard_interrupt_is_not_logged() -> None:
    done = run("from service.log import configure\nconfigure('workers')\nraise KeyboardInterrupt")
    assert done.stdout == b""
    assert b"KeyboardInterrupt" in done.stderr


@pytest.mark.slow
def test_second_configure_before_the_first_line_takes_effect() -> None:
    done = run(
        "from service.log import configure, get_logger\nlog = get_logger()\nconfigure('service')\n"
        "configure('workers', 'warning', 512)\nlog.info('not.said')\nlog.warning('thing.happened', text='x' * 900)"
    )
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["component"] == "workers"
    assert len(line) < 512


@pytest.mark.slow
def test_terminal_gets_readable_lines() -> None:
    reader, writer = os.openpty()
    code = (
        "from service.log import configure, get_logger\nconfigure('service')\n"
        "get_logger().error('thing.happened', email='jane@example.org', exc_info=ValueError('boom'))"
    )
    subprocess.run([sys.executable, "-c", code], stdout=writer, check=True, timeout=PATIENCE_SECONDS)
    os.close(writer)
    text = os.read(reader, 10_000).decode()
    os.close(reader)
    assert "thing.happened" in text
    assert "ValueError: boom" in text
    assert "jane" not in text
    assert not text.startswith("{")
