"""The command as a person and a pod call it: real processes, with commands of a made-up package beside our own."""

import json
import os
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
from service.errors import ConfigError, StoreUnavailable
from service.log import configure

@click.command()
def misconfigured():
    """Refuse."""
    raise ConfigError("sources.a.verify", "no scheme", "add one")

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
    """Say what is loaded."""
    import sys
    click.echo(" ".join(name for name in sys.modules if name in ("litestar", "arq", "other_room")))

not_a_command = 7
'''

OWN = {entry.name: entry for entry in distribution("waybill").entry_points if entry.group == ENTRY_POINT_GROUP}
HTTP_COMMANDS = {"serve", "sandbox", "dev", "demo"}
"""Commands that serve HTTP, or start what does."""

ENTRY_POINTS = """
[waybill.commands]
misconfigured = extra_room:misconfigured
misconfigured-service = extra_room:misconfigured_service
storeless = extra_room:storeless
broken = extra_room:broken
fine = extra_room:fine
number = extra_room:not_a_command
absent = other_room:command
nameless = extra_room:nothing_here
"""


@pytest.fixture
def waybill(tmp_path: Path) -> Run:
    """Give a function that runs the command with a package of further commands on the path."""
    (tmp_path / "extra_room.py").write_text(COMMANDS)
    metadata = tmp_path / "extra_room-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: extra-room\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "service", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS, env=environ
        )

    return run


def test_an_unknown_command_is_named_and_ends_with_2(waybill: Run) -> None:
    done = waybill("serv")
    assert done.returncode == 2
    assert "No such command 'serv'" in done.stderr


def test_a_wrong_option_ends_with_2(waybill: Run) -> None:
    done = waybill("fine", "--count", "many")
    assert done.returncode == 2
    assert "'many' is not a valid integer" in done.stderr


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("absent", "other_room:command cannot be imported (No module named 'other_room')"),
        ("nameless", "extra_room:nothing_here cannot be imported"),
        ("number", "extra_room:not_a_command is no click command"),
    ],
)
def test_an_entry_that_is_no_command_says_which_and_why(waybill: Run, name: str, reason: str) -> None:
    done = waybill(name)
    assert done.returncode == 2
    assert f"command {name}: {reason}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_mistake_in_the_configuration_ends_with_2_and_tells_the_fix_on_stderr_alone(waybill: Run) -> None:
    done = waybill("misconfigured")
    assert done.returncode == 2
    assert done.stderr == "waybill: sources.a.verify: no scheme. Fix: add one\n"
    assert done.stdout == ""


def test_a_service_with_a_mistake_in_its_configuration_tells_it_in_its_log_too(waybill: Run) -> None:
    done = waybill("misconfigured-service")
    line = json.loads(done.stdout)
    assert done.returncode == 2
    assert (line["message"], line["error_kind"], line["component"]) == ("process.failed", "config", "workers")
    assert line["error_message"] in done.stderr


def test_any_other_error_of_ours_ends_with_1_and_one_line_without_the_password(waybill: Run) -> None:
    done = waybill("storeless")
    line = json.loads(done.stdout)
    assert done.returncode == 1
    assert (line["message"], line["error_kind"]) == ("process.failed", "store_unavailable")
    assert "hunter2" not in done.stdout + done.stderr


def test_an_error_nobody_expected_ends_with_1_and_a_line_with_its_frames(waybill: Run) -> None:
    done = waybill("broken")
    line = json.loads(done.stdout)
    assert done.returncode == 1
    assert (line["message"], line["error_type"]) == ("process.failed", "RuntimeError")
    assert "in broken" in line["error_stack"]


@pytest.mark.parametrize(
    ("command", "component", "entry", "code", "told"),
    [
        ("worker", "workers", "other_room:work", 2, {"error_kind": "config"}),
        ("serve", "service", "broken_room:serve", 1, {"error_kind": "unexpected", "error_type": "ZeroDivisionError"}),
    ],
)
def test_a_process_that_cannot_be_imported_says_so_in_its_log(
    *, waybill: Run, tmp_path: Path, command: str, component: str, entry: str, code: int, told: dict[str, str]
) -> None:
    (tmp_path / "broken_room.py").write_text("1 / 0")
    (tmp_path / "extra_room-1.0.dist-info" / "entry_points.txt").write_text(
        f"[{ENTRY_POINT_GROUP}]\n{command} = {entry}\n"
    )
    done = waybill(command)
    (line,) = [json.loads(each) for each in done.stdout.splitlines()]
    assert done.returncode == code
    assert (line["message"], line["level"], line["component"]) == ("process.failed", "critical", component)
    assert told.items() <= line.items()
    assert "Traceback" not in done.stderr


def test_only_the_called_command_is_imported(waybill: Run) -> None:
    done = waybill("fine")
    assert (done.returncode, done.stdout) == (0, "\n")


def test_help_lists_every_command_and_says_which_cannot_be_loaded(waybill: Run) -> None:
    done = waybill("--help")
    assert "WAYBILL_CONFIG" in done.stdout, "it says where everything is configured"
    words = " ".join(done.stdout.split())
    assert done.returncode == 0
    assert "fine Say what is loaded." in words
    assert "misconfigured Refuse." in words
    assert "[other_room:command cannot be imported" in words
    for name in ("check", "demo", "dev", "rules", "sandbox", "serve", "worker"):
        assert f" {name} " in words


def test_no_command_at_all_shows_the_help(waybill: Run) -> None:
    done = waybill()
    assert done.returncode == 2
    assert "Commands:" in done.stderr


def test_the_version_is_the_package_s(waybill: Run) -> None:
    done = waybill("--version")
    assert (done.returncode, done.stdout) == (0, "waybill 0.1.0\n")


def test_every_own_command_has_a_summary() -> None:
    assert set(SUMMARIES) == set(OWN)


@pytest.mark.parametrize("name", sorted(OWN))
def test_the_summary_of_a_command_is_its_own_first_help_line(name: str) -> None:
    command = OWN[name].load()
    assert isinstance(command, click.Command)
    assert SUMMARIES[name] == command.get_short_help_str(SUMMARY_CHARS_MAX)


def modules_after(code: str, *arguments: str) -> set[str]:
    """Names of all modules that are imported when a process ends that ran the code."""
    listing = "import atexit, sys\natexit.register(lambda: sys.stderr.write(' '.join(sys.modules)))\n"
    command = [sys.executable, "-c", listing + code, *arguments]
    return set(subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stderr.split())


@pytest.mark.slow
def test_help_imports_no_command() -> None:
    imported = modules_after("from service.cli.main import main\nmain()", "--help")
    assert "service.cli.main" in imported
    assert not imported & {entry.module for entry in OWN.values()}


@pytest.mark.slow
def test_no_command_but_those_that_serve_http_imports_a_server_of_it() -> None:
    commands = {entry.module for name, entry in OWN.items() if name not in HTTP_COMMANDS}
    imported = modules_after("import " + ", ".join(sorted(commands)))
    assert commands <= imported
    assert not imported & {"litestar", "uvicorn"}


@pytest.mark.slow
def test_the_commands_for_events_import_no_metrics_library() -> None:
    assert "prometheus_client" not in modules_after("import service.cli.events")
