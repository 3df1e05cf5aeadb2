"""A log processor of another package sees every line, and cannot stop the process."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import structlog

from service.errors import ConfigError
from service.log import get_logger, log_info
from service.log_processors import LogFields
from tests.packages import refresh_packages
from tests.service.log_pipe import LogPipe

PROCESSORS = """
import structlog

def add_region(logger, level, fields):
    fields["region"], fields["owner_email"] = f"eu-{level}", "jane@example.org"
    return fields

def drop(logger, level, fields):
    if fields.get("drop"):
        raise structlog.DropEvent
    return fields

def fail(logger, level, fields):
    fields["half"] = "done"
    raise ValueError("jane@example.org")

def forget(logger, level, fields):
    return None

render = structlog.processors.JSONRenderer()
number = 7
"""


@pytest.fixture
def register(packages: Path, read: LogPipe) -> Any:
    """Return a function that installs a package with processors, and configures the log again."""
    (packages / "log_package.py").write_text(PROCESSORS)
    metadata = packages / "log_package-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Name: log-package\nVersion: 1.0\n")

    def install(*names: str) -> None:
        entries = "".join(f"{name} = log_package:{name}\n" for name in names)
        (metadata / "entry_points.txt").write_text(f"[waybill.log_processors]\n{entries}")
        refresh_packages()
        read.configure()

    return install


def test_processor_sees_frequent_usual_and_library_lines(register: Any, read: LogPipe) -> None:
    early = get_logger()
    register("add_region")
    log_info("delivery.received", {"source_name": "erp"})
    get_logger().warning("poll.failed")
    early.error("process.failed")
    logging.getLogger("aiohttp").critical("slow")
    lines = read()
    assert [line["message"] for line in lines] == [
        "delivery.received", "poll.failed", "process.failed", "library.logged"
    ]  # fmt: skip
    assert [line["region"] for line in lines] == ["eu-info", "eu-warning", "eu-error", "eu-critical"]
    assert "jane" not in json.dumps(lines), "fields of a processor are redacted"


def test_processors_run_by_name_and_can_drop_a_line(register: Any, read: LogPipe) -> None:
    register("drop", "add_region")
    log_info("delivery.received", {"drop": True})
    get_logger().info("poll.failed", drop=True)
    log_info("delivery.received", {"drop": False})
    (line,) = read()
    assert line["region"] == "eu-info"


@pytest.mark.parametrize(("name", "error"), [("fail", "ValueError"), ("forget", "TypeError"), ("render", "TypeError")])
def test_line_of_a_failing_processor_is_written_as_it_was(
    register: Any, read: LogPipe, name: str, error: str
) -> None:  # fmt: skip
    register(name)
    log_info("delivery.received", {"source_name": "erp"})
    (line,) = read()
    assert all(line.pop(name) for name in ("timestamp", "version", "instance", "weight"))
    assert line == {
        "level": "info", "component": "service", "message": "delivery.received", "source_name": "erp",
        "log_processor_error": f"{name}: {error}",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "reason"),
    [("number", "is not callable"), ("missing", "cannot be imported (AttributeError: module 'log_package' has no")],
)
def test_invalid_processor_is_an_error_that_can_be_logged(
    register: Any, read: LogPipe, name: str, reason: str
) -> None:  # fmt: skip
    with pytest.raises(ConfigError) as failed:
        register(name)
    assert reason in failed.value.reason
    assert failed.value.path == f"entry point waybill.log_processors.{name}"
    get_logger().critical("process.failed", error_message=str(failed.value))
    assert [line["message"] for line in read()] == ["process.failed"]


def test_processor_that_is_added_to_structlog_later_sees_frequent_lines(read: LogPipe) -> None:
    log_info("delivery.received", {})
    processors = structlog.get_config()["processors"]

    def mark(_logger: object, _level: str, fields: LogFields) -> LogFields:
        return {**fields, "marked": True}

    structlog.configure(processors=[mark, *processors])
    log_info("delivery.received", {})
    first, second = read()
    assert ("marked" in first, second["marked"]) == (False, True)
