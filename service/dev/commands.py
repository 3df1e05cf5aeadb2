"""`waybill dev` and `waybill demo`: everything on one machine, to try things by hand, and to see the promises kept."""

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
from service.dev.demo import Demo
from service.dev.demo_output import DemoReport
from service.dev.demo_scenario import purchase_order
from service.dev.example_event import find_example_event
from service.dev.foreign_store import OWN_KEYS, check_foreign_store
from service.dev.processes import SubprocessFailed
from service.dev.sandbox_client import SandboxClient
from service.dev.stack import Stack, open_stack
from service.errors import ConfigError
from service.platforms.loading import load_config

EXIT_NOT_OK = 1
WATCH_SECONDS = 0.2
EXAMPLE_ORDER = "po-1"

DEV_SETTINGS = {"stale_read_wait_seconds": "1"}
"""A short wait, since the sandbox's records never change, and so never become newer than an event sent by hand."""

DEMO_SETTINGS = {
    "port": "0",
    "admin_port": "0",
    "lease_seconds": "2",
    "backoff_base_seconds": "0.2",
    "backoff_seconds_max": "1",
    "sample_interval_seconds": "5",
}
"""Short times, so that a dead worker's event is taken over while one looks on."""

STORE = click.option("--store", "store_url", metavar="URL", help="Use this store instead of one of its own.")
YES = click.option("--yes", is_flag=True, help="With --store: use it although it holds a rulebook or events.")
PORT = click.IntRange(0, 65_535)


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Your own waybill.yaml with its rules, instead of the example.",
)
@click.option("--port", type=PORT, default=0, help="Port for senders. By default a free one.")
@click.option("--admin-port", type=PORT, default=0, help="Port for operators. By default a free one.")
@STORE
@YES
def dev(config: Path | None, port: int, admin_port: int, store_url: str | None, *, yes: bool) -> None:
    """Run everything on this machine until Ctrl-C.

    Starts a store, a sandbox platform, ingress and worker, and publishes the rules. All data is deleted at the end. No
    WAYBILL_* variable is read. Other commands find this process by themselves.
    """
    _check_port("--port", port)
    _check_port("--admin-port", admin_port)
    settings = DEV_SETTINGS | {"port": str(port), "admin_port": str(admin_port)} | _store_settings(store_url, yes=yes)
    try:
        with _ended_in_order(), dev_instance_file(os.environ) as write:
            click.echo("Starting a store, a sandbox platform, a service and a worker ...")
            with _directory() as directory, open_stack(directory, os.environ, settings, config, store_url) as stack:
                _run(stack, write)
    except KeyboardInterrupt:
        click.echo("\nstopped")


@click.command()
@STORE
@YES
def demo(store_url: str | None, *, yes: bool) -> None:
    """Send deliveries, kill a worker half-way, and show the result of each.

    Uses its own store. No WAYBILL_* variable is read. Exit code 0: all results are as expected.
    """
    settings = DEMO_SETTINGS | _store_settings(store_url, yes=yes)
    began = time.monotonic()
    report = DemoReport()
    report.print("Starting a store, a sandbox platform, a service and a worker.")
    report.print("Then ten deliveries are sent. The demo takes about 10 seconds.")
    with (
        _ended_in_order(),
        _directory() as directory,
        open_stack(directory, os.environ, settings, None, store_url) as stack,
    ):
        rows = Demo(stack, report).run()
    report.table(rows)
    good = sum(row.good for row in rows)
    report.print(f"\n{good} of {len(rows)} as expected, in {time.monotonic() - began:.1f} s.")
    report.next_steps(_program())
    sys.exit(0 if good == len(rows) else EXIT_NOT_OK)


def _run(stack: Stack, write: Callable[[DevInstance], None]) -> NoReturn:
    """Start a worker, publish where everything is, and watch."""
    stack.start_worker("worker-1")
    if stack.workspace.own_config is None:
        SandboxClient(stack.sandbox_url).put_record(purchase_order(EXAMPLE_ORDER, 100, 40))
    write(DevInstance(os.getpid(), str(stack.workspace.config), stack.variables()))
    click.echo(_introduction(stack))
    _watch(stack)


@contextlib.contextmanager
def _ended_in_order() -> Generator[None]:
    """Let SIGTERM do the same as Ctrl-C, and report a failed part to the user without a log line."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except SubprocessFailed as error:
        click.echo(f"waybill: {error}", err=True)
        sys.exit(EXIT_NOT_OK)


@contextlib.contextmanager
def _directory() -> Generator[Path]:
    """Make a temporary directory. Its path is short, since the store's unix socket is in it.

    Raises:
        ConfigError: no folder for temporary files can be written.
    """
    try:
        made = tempfile.TemporaryDirectory(prefix="waybill-", ignore_cleanup_errors=True)
    except OSError as error:
        reason = f"there is no place for temporary files: {error.strerror}"
        raise ConfigError("TMPDIR", reason, "set TMPDIR to a folder that you can write to") from None
    with made as name:
        yield Path(name)


def _check_port(option: str, port: int) -> None:
    """Try whether the port is free.

    Raises:
        ConfigError: it is not.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            reason = f"port {port} cannot be used: {error.strerror}"
            raise ConfigError(option, reason, f"name another port, or leave {option} out for a free one") from None


def _store_settings(store_url: str | None, *, yes: bool) -> dict[str, str]:
    """Give the settings for a store that the user named, after a check of the store.

    Raises:
        ConfigError: it holds data, or cannot be used.
    """
    if store_url is None:
        return {}
    check_foreign_store(store_url, allow_data=yes)
    return OWN_KEYS


def _program() -> str:
    """Give the command as the user can type it: with its folder if the shell would not find it."""
    command = Path(sys.executable).with_name("waybill")
    if str(command.parent) in os.environ.get("PATH", "").split(os.pathsep):
        return "waybill"
    return str(command.relative_to(Path.cwd())) if command.is_relative_to(Path.cwd()) else str(command)


def _introduction(stack: Stack) -> str:
    """Format the addresses and the commands to try first."""
    workspace, program = stack.workspace, _program()
    store = re.sub(r"//[^/@]*@", "//", stack.environ["WAYBILL_REDIS_URL"])  # without a password
    secrets = "\n  (set the variables of your own secrets there too)" if workspace.own_config else ""
    return f"""
senders    {stack.service_url}/webhooks/<source>
operators  {stack.admin_url}/docs, …/metrics, …/readyz
sandbox    {stack.sandbox_url}, its sink: {stack.sandbox_url}/_sandbox/sink
config     {workspace.config}
logs       {workspace.logs}/*.jsonl
store      {store}

In a second terminal:
{secrets}
  {_example_send(stack, program)}
  {program} events list      # shows the event and its id
  {program} explain EVENT    # shows the decision on the event of this id
  {program} rules apply      # publishes the rules again after a change

Ctrl-C stops everything.
"""


def _example_send(stack: Stack, program: str) -> str:
    example = find_example_event(load_config(stack.workspace.config, stack.environ))
    if example is None:
        return f"{program} sources           # no source accepts deliveries"
    record_id = "1" if stack.workspace.own_config else EXAMPLE_ORDER
    return f"{program} send {example.source} --event {shlex.quote(example.event)} --id {record_id}"


def _watch(stack: Stack) -> NoReturn:
    """Wait for a part that ends by itself.

    Raises:
        SubprocessFailed: one did.
    """
    while True:
        stack.check()
        time.sleep(WATCH_SECONDS)
