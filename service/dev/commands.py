"""`waybill dev` and `waybill demo`: a complete installation on one machine, for development and demonstration."""

import contextlib
import os
import re
import shlex
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import NoReturn

import click

from service.cli.dev_instance import DevInstance, dev_instance_file
from service.cli.output import print_text
from service.configuration import load_config, read_config
from service.dev.demo import Demo
from service.dev.demo_output import DemoReport
from service.dev.demo_scenario import purchase_order
from service.dev.example_event import find_example_event
from service.dev.foreign_store import OWN_KEYS, check_foreign_store
from service.dev.processes import SubprocessFailed
from service.dev.sandbox_client import SandboxClient
from service.dev.stack import Stack, open_stack
from service.errors import ConfigError

EXIT_NOT_OK = 1
EXIT_CONFIG = 2
CHECK_INTERVAL_SECONDS = 0.2
EXAMPLE_ORDER = "po-1"

DEMO_SETTINGS = {
    "port": "0",
    "admin_port": "0",
    "lease_seconds": "2",
    "backoff_base_seconds": "0.2",
    "backoff_seconds_max": "1",
    "sample_interval_seconds": "5",
}
"""Short intervals, so that another worker takes over the event of a killed worker within seconds."""

STORE_OPTION = click.option("--store", "store_url", metavar="URL", help="Use this store instead of an embedded one.")
YES_OPTION = click.option(
    "--yes", is_flag=True, help="With --store: use the store even if it contains a rulebook or events."
)
PORT_TYPE = click.IntRange(0, 65_535)


@click.command(epilog="\b\nExamples:\n  waybill dev\n  waybill dev --config waybill.yaml --port 8080 --admin-port 8081")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Your waybill.yaml with its rules. Default: a generated example.",
)
@click.option("--port", type=PORT_TYPE, default=0, help="Port for webhooks. Default: a free port.")
@click.option("--admin-port", type=PORT_TYPE, default=0, help="Port for the admin API. Default: a free port.")
@STORE_OPTION
@YES_OPTION
@click.option(
    "--stale-read-wait",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="Longest wait for a record that is older than its event. Default: as in production.",
)
def dev(
    config: Path | None,
    port: int,
    admin_port: int,
    store_url: str | None,
    *,
    yes: bool,
    stale_read_wait: float | None,
) -> None:
    """Run a store, a sandbox, a service and a worker on this machine.

    Publishes the rules and runs until Ctrl-C. Data of the embedded store is deleted on exit; data in the store of
    --store keeps the prefix wbdev:. Ignores all WAYBILL_* variables. Other commands in the same folder find this
    process without settings.
    """
    if config is not None:
        _check_config(config)
    if port and port == admin_port:
        raise ConfigError("--admin-port", f"port {port} is also given as --port", "name two different ports")
    _check_port("--port", port)
    _check_port("--admin-port", admin_port)
    settings = {"port": str(port), "admin_port": str(admin_port)} | _store_settings(store_url, yes=yes)
    if stale_read_wait is not None:
        settings |= {"stale_read_wait_seconds": str(stale_read_wait)}
    try:
        with _handle_failures(), dev_instance_file(os.environ) as write:
            print_text("Starting a store, a sandbox, a service and a worker ...")
            with _directory() as directory, open_stack(directory, os.environ, settings, config, store_url) as stack:
                _run(stack, write)
    except KeyboardInterrupt:
        print_text("\nStopped.")


@click.command(epilog="\b\nExample:\n  waybill demo")
@STORE_OPTION
@YES_OPTION
def demo(store_url: str | None, *, yes: bool) -> None:
    """Send example deliveries, kill a worker, and show each result.

    Uses an embedded store unless --store is given. Ignores all WAYBILL_* variables. Exit code 1 if a result is not the
    expected one.
    """
    settings = DEMO_SETTINGS | _store_settings(store_url, yes=yes)
    started = time.monotonic()
    report = DemoReport()
    report.print("Starts a store, a sandbox, a service and a worker, then sends ten deliveries.")
    report.print("Takes about 10 seconds.")
    with (
        _handle_failures(),
        _directory() as directory,
        open_stack(directory, os.environ, settings, None, store_url) as stack,
    ):
        rows = Demo(stack, report).run()
    report.table(rows)
    passed = sum(row.passed for row in rows)
    report.print(f"\n{passed} of {len(rows)} as expected, in {time.monotonic() - started:.1f} s.")
    report.next_steps(_program())
    sys.exit(0 if passed == len(rows) else EXIT_NOT_OK)


def _run(stack: Stack, write: Callable[[DevInstance], None]) -> NoReturn:
    """Start a worker, write the file for other commands, print the addresses, and wait."""
    stack.start_worker("worker-1")
    if stack.workspace.own_config is None:
        SandboxClient(stack.sandbox_url).put_record(purchase_order(EXAMPLE_ORDER, 100, 40))
    write(DevInstance(os.getpid(), str(stack.workspace.config), stack.variables(), stack.sandbox_url))
    print_text(_introduction(stack))
    _wait_for_failure(stack)


@contextlib.contextmanager
def _handle_failures() -> Generator[None]:
    """Handle SIGTERM like Ctrl-C. Print the failure of a process without a log line."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except SubprocessFailed as error:
        print_text(f"waybill: {error}", err=True)
        sys.exit(EXIT_NOT_OK)


@contextlib.contextmanager
def _directory() -> Generator[Path]:
    """Create a temporary directory with a short path, as the unix socket of the store requires.

    Raises:
        ConfigError: there is no writable folder for temporary files.
    """
    try:
        temporary = tempfile.TemporaryDirectory(prefix="waybill-", ignore_cleanup_errors=True)
    except OSError as error:
        reason = f"no writable folder for temporary files: {error.strerror}"
        raise ConfigError("TMPDIR", reason, "set TMPDIR to a writable folder") from None
    with temporary as name:
        yield Path(name)


def _check_config(path: Path) -> None:
    """Print all mistakes of the configuration before anything starts, and exit if there are any."""
    mistakes = read_config(path, os.environ).mistakes
    for mistake in mistakes:
        print_text(f"waybill: {mistake}", err=True)
    if mistakes:
        sys.exit(EXIT_CONFIG)


def _check_port(option: str, port: int) -> None:
    """Check that the port is free.

    Raises:
        ConfigError: the port is in use, or may not be used.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            reason = f"port {port} cannot be used: {error.strerror}"
            raise ConfigError(option, reason, f"choose another port, or omit {option} for a free port") from None


def _store_settings(store_url: str | None, *, yes: bool) -> dict[str, str]:
    """Check the store of --store, and return the settings for it.

    Raises:
        ConfigError: the store contains data, or cannot be used.
    """
    if store_url is None:
        if yes:
            raise click.UsageError("--yes permits to use the store of --store. Add --store, or omit --yes.")
        return {}
    check_foreign_store(store_url, allow_data=yes)
    return OWN_KEYS


def _program() -> str:
    """Return the command to type: `waybill`, with its folder if the folder is not in PATH."""
    command = Path(sys.executable).with_name("waybill")
    if str(command.parent) in os.environ.get("PATH", "").split(os.pathsep):
        return "waybill"
    return str(command.relative_to(Path.cwd())) if command.is_relative_to(Path.cwd()) else str(command)


def _introduction(stack: Stack) -> str:
    """Format the addresses and the commands to try first."""
    workspace, program = stack.workspace, _program()
    store = re.sub(r"//[^/@]*@", "//", stack.environ["WAYBILL_REDIS_URL"])  # without a password
    secrets = "\n  # set the variables of your secrets here too" if workspace.own_config else ""
    return f"""
webhooks   {stack.service_url}/webhooks/<source>
admin      {stack.admin_url}/docs, …/metrics, …/readyz
sandbox    {stack.sandbox_url}, received requests: {stack.sandbox_url}/_sandbox/sink
config     {workspace.config}
logs       {workspace.logs}/*.jsonl
store      {store}

In a second terminal:
{secrets}
  {_example_send(stack, program)}
  {program} events list      # list events and their ids
  {program} explain EVENT    # explain the decision on an event
  {program} rules apply      # publish the rules after a change

Ctrl-C stops everything.
"""


def _example_send(stack: Stack, program: str) -> str:
    example = find_example_event(load_config(stack.workspace.config, stack.environ))
    if example is None:
        return f"{program} sources          # no source accepts deliveries"
    record_id = "1" if stack.workspace.own_config else EXAMPLE_ORDER
    return f"{program} send {example.source} --event {shlex.quote(example.event)} --id {record_id}"


def _wait_for_failure(stack: Stack) -> NoReturn:
    """Wait until a process ends unexpectedly.

    Raises:
        SubprocessFailed: a process ended.
    """
    while True:
        stack.check()
        time.sleep(CHECK_INTERVAL_SECONDS)
