"""Entry point `waybill` in real processes, with the commands of an additional package."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path

import click
import pytest

from service.cli.main import ENTRY_POINT_GROUP, SUMMARIES, SUMMARY_CHARS_MAX
from tests.waiting import PATIENCE_SECONDS

Run = Callable[..., "subprocess.CompletedProcess[str]"]

COMMANDS = '''
import click
from service.errors import ConfigError, ConfigErrors, StoreUnavailable
from service.log import configure

@click.command()
def misconfigured():
    """Fail."""
    raise ConfigErrors([ConfigError("sources.a.verify", "no scheme", "add one"), ConfigError("b", "wrong", "fix it")])

@click.command()
def misconfigured_service():
    configure("workers")
    raise ConfigError("sources.a.verify", "no scheme", "add one")

@click.command()
def storeless():
    raise StoreUnavailable("no answer from redis://user:hunter2@db:6379")

@click.command()
def broken():
    configure("workers")
    raise RuntimeError("boom")

@click.command()
@click.option("--count", type=int)
def fine(count):
    """Print the loaded packages."""
    import sys
    click.echo(" ".join(name for name in sys.modules if name in ("litestar", "arq", "other_package")))

not_a_command = 7
'''

OWN_COMMANDS = {entry.name: entry for entry in distribution("waybill").entry_points if entry.group == ENTRY_POINT_GROUP}
HTTP_COMMANDS = {"serve", "sandbox", "dev", "demo"}
"""Commands that serve HTTP, or start such commands."""

ENTRY_POINTS = """
[waybill.commands]
misconfigured = extra_package:misconfigured
misconfigured-service = extra_package:misconfigured_service
storeless = extra_package:storeless
broken = extra_package:broken
fine = extra_package:fine
number = extra_package:not_a_command
absent = other_package:command
nameless = extra_package:missing
"""


@pytest.fixture
def waybill(tmp_path: Path) -> Run:
    """Return a function that runs `waybill` with an additional package of commands."""
    (tmp_path / "extra_package.py").write_text(COMMANDS)
    metadata = tmp_path / "extra_package-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: extra-package\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}

    def run(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "service", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS, env=environ | variables
        )

    return run


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [(["serv"], "'serve'"), (["evnts"], "'events'"), (["events", "lst"], "'list'"), (["fin"], "'fine'")],
)
def test_an_unknown_command_ends_with_2_and_a_suggestion(waybill: Run, arguments: list[str], suggestion: str) -> None:
    done = waybill(*arguments)
    assert done.returncode == 2
    assert f"No such command {arguments[-1]!r}. Did you mean {suggestion}" in done.stderr


def test_a_command_unlike_all_others_gets_no_suggestion(waybill: Run) -> None:
    done = waybill("qqq")
    assert done.returncode == 2
    assert "No such command 'qqq'.\n" in done.stderr


def test_a_wrong_option_ends_with_2(waybill: Run) -> None:
    done = waybill("fine", "--count", "many")
    assert done.returncode == 2
    assert "'many' is not a valid integer" in done.stderr


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("absent", "other_package:command cannot be imported (No module named 'other_package')"),
        ("nameless", "extra_package:missing cannot be imported"),
        ("number", "extra_package:not_a_command is not a click command"),
    ],
)
def test_an_invalid_entry_point_is_reported_with_the_reason(waybill: Run, name: str, reason: str) -> None:
    done = waybill(name)
    assert done.returncode == 2
    assert f"command {name}: {reason}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_configuration_error_ends_with_2_and_is_printed_on_stderr_only(waybill: Run) -> None:
    done = waybill("misconfigured")
    assert done.returncode == 2
    assert done.stderr == "waybill: sources.a.verify: no scheme. Fix: add one\nwaybill: b: wrong. Fix: fix it\n"
    assert done.stdout == ""


def test_a_configuration_error_of_a_service_is_logged_too(waybill: Run) -> None:
    done = waybill("misconfigured-service")
    line = json.loads(done.stdout)
    assert done.returncode == 2
    assert (line["message"], line["error_kind"], line["component"]) == ("process.failed", "config", "workers")
    assert line["error_message"] in done.stderr


def test_another_waybill_error_ends_with_1_and_a_log_line_without_the_password(waybill: Run) -> None:
    done = waybill("storeless")
    line = json.loads(done.stdout)
    assert done.returncode == 1
    assert (line["message"], line["error_kind"]) == ("process.failed", "store_unavailable")
    assert "hunter2" not in done.stdout + done.stderr


def test_an_unexpected_error_ends_with_1_and_a_log_line_with_its_stack(waybill: Run) -> None:
    done = waybill("broken")
    line = json.loads(done.stdout)
    assert done.returncode == 1
    assert (line["message"], line["error_type"]) == ("process.failed", "RuntimeError")
    assert "in broken" in line["error_stack"]


@pytest.mark.parametrize(
    ("command", "component", "entry", "code", "fields"),
    [
        ("worker", "workers", "other_package:work", 2, {"error_kind": "config"}),
        (
            "serve",
            "service",
            "broken_package:serve",
            1,
            {"error_kind": "unexpected", "error_type": "ZeroDivisionError"},
        ),
    ],
)
def test_an_import_error_of_a_long_running_command_is_logged(
    *, waybill: Run, tmp_path: Path, command: str, component: str, entry: str, code: int, fields: dict[str, str]
) -> None:
    (tmp_path / "broken_package.py").write_text("1 / 0")
    (tmp_path / "extra_package-1.0.dist-info" / "entry_points.txt").write_text(
        f"[{ENTRY_POINT_GROUP}]\n{command} = {entry}\n"
    )
    done = waybill(command)
    (line,) = [json.loads(each) for each in done.stdout.splitlines()]
    assert done.returncode == code
    assert (line["message"], line["level"], line["component"]) == ("process.failed", "critical", component)
    assert fields.items() <= line.items()
    assert "Traceback" not in done.stderr


def test_only_the_called_command_is_imported(waybill: Run) -> None:
    done = waybill("fine")
    assert (done.returncode, done.stdout) == (0, "\n")


def test_help_lists_every_command_and_marks_commands_that_cannot_be_imported(waybill: Run) -> None:
    done = waybill("--help")
    assert "WAYBILL_CONFIG" in done.stdout, "the help names the configuration file"
    words = " ".join(done.stdout.split())
    assert done.returncode == 0
    assert "fine Print the loaded packages." in words
    assert "misconfigured Fail." in words
    assert "[other_package:command cannot be imported" in words
    for name in ("check", "demo", "dev", "rules", "sandbox", "serve", "worker"):
        assert f" {name} " in words


def test_help_is_shown_without_a_command(waybill: Run) -> None:
    done = waybill()
    assert done.returncode == 2
    assert "Commands:" in done.stderr


def test_characters_outside_the_locale_are_escaped(waybill: Run) -> None:
    locale = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "latin-1:strict"}
    done = waybill("sources", "show", "stripe", **locale)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"\\u[0-9a-f]{4}", done.stdout)


def test_the_version_is_the_version_of_the_package(waybill: Run) -> None:
    done = waybill("--version")
    assert (done.returncode, done.stdout) == (0, "waybill 0.1.0\n")


def test_every_command_of_this_package_has_a_summary() -> None:
    assert set(SUMMARIES) == set(OWN_COMMANDS)


@pytest.mark.parametrize("name", sorted(OWN_COMMANDS))
def test_a_summary_equals_the_first_help_line_of_the_command(name: str) -> None:
    command = OWN_COMMANDS[name].load()
    assert isinstance(command, click.Command)
    assert SUMMARIES[name] == command.get_short_help_str(SUMMARY_CHARS_MAX)


def modules_after(code: str, *arguments: str) -> set[str]:
    """Run the code in a process, and return the names of all modules that it imported."""
    listing = "import atexit, sys\natexit.register(lambda: sys.stderr.write(' '.join(sys.modules)))\n"
    command = [sys.executable, "-c", listing + code, *arguments]
    return set(subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stderr.split())


@pytest.mark.slow
def test_help_imports_no_command() -> None:
    imported = modules_after("from service.cli.main import main\nmain()", "--help")
    assert "service.cli" in imported
    assert not imported & {entry.module for entry in OWN_COMMANDS.values()}
    assert not imported & {"asyncio", "rich", "structlog"}


@pytest.mark.slow
@pytest.mark.parametrize("command", ["events", "serve", "worker"])
def test_commands_on_a_store_import_neither_rich_nor_jwt(command: str) -> None:
    imported = modules_after("from service.cli.main import main\nmain()", command, "--help")
    assert OWN_COMMANDS[command].module in imported
    assert {"redis", "structlog"} <= imported
    assert not imported & {"rich", "rich.pretty", "jwt", "jwt.api_jwk"}


@pytest.mark.slow
def test_a_library_that_was_put_off_is_imported_on_its_first_use() -> None:
    code = """
import sys
from service.cli.imports import import_structlog, jwt_on_first_use
import_structlog()
with jwt_on_first_use():
    import redis.auth.token
assert "jwt" not in sys.modules and "rich" not in sys.modules
try:
    redis.auth.token.JWToken("no token")
except Exception as error:
    assert type(error) is sys.modules["jwt"].exceptions.DecodeError
else:
    raise AssertionError("no token was read")
import rich.pretty, jwt
"""
    assert {"jwt.exceptions", "rich.pretty"} <= modules_after(code)


@pytest.mark.slow
def test_only_commands_that_serve_http_import_an_http_server() -> None:
    commands = {entry.module for name, entry in OWN_COMMANDS.items() if name not in HTTP_COMMANDS}
    imported = modules_after("import " + ", ".join(sorted(commands)))
    assert commands <= imported
    assert not imported & {"litestar", "uvicorn"}


@pytest.mark.slow
def test_event_commands_on_a_store_import_no_http_client_no_metrics_library_and_no_progress_bar() -> None:
    imported = modules_after("import service.cli.events, service.cli.store_client")
    assert not imported & {"service.http_client", "prometheus_client", "rich.progress"}
