"""`waybill dev` and `waybill demo`: a complete installation on one machine, for development and demonstration."""

import contextlib
import fcntl
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path

import click
from msgspec import structs

from service.cli.dev_instance import DevInstance, dev_instance_file
from service.cli.output import print_text
from service.configuration import read_config
from service.dev.demo import Demo
from service.dev.demo_output import DemoReport
from service.dev.demo_scenario import purchase_order
from service.dev.env_file import leave_out_replaced, read_env_file
from service.dev.foreign_store import OWN_KEYS, check_foreign_store
from service.dev.introduction import EXAMPLE_ORDER, format_introduction, program
from service.dev.keys import open_keys
from service.dev.ports import choose_ports
from service.dev.processes import SubprocessFailed
from service.dev.sandbox_client import SandboxClient, Seed
from service.dev.session import WORKER, DevSession
from service.dev.stack import open_stack
from service.dev.workspace import Workspace, make_workspace, with_admin_token
from service.errors import ConfigError

EXIT_NOT_OK = 1
EXIT_CONFIG = 2
CONFIG_NAME = "waybill.yaml"

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


@click.command(epilog="\b\nExamples:\n  waybill dev\n  waybill dev --config waybill.yaml --fresh")
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True),
    help="Your waybill.yaml or its folder. Default: waybill.yaml in this folder, without one a generated example.",
)
@click.option(
    "--port", type=PORT_TYPE, help="Port for webhooks; 0 selects a free port. Default: 8080, or the next pair."
)
@click.option("--admin-port", type=PORT_TYPE, help="Port for the admin API and the console. Default: 8081, likewise.")
@click.option(
    "--sandbox-port",
    type=PORT_TYPE,
    help="Port of the sandbox; its mail server has the next. Default: 8090, or a free port.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".waybill"),
    show_default=True,
    help="Folder of the store, the logs and the generated files.",
)
@click.option("--fresh", is_flag=True, help="Delete the data of earlier runs first.")
@click.option("--watch/--no-watch", default=True, show_default=True, help="Reload waybill.yaml and rules on change.")
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
    port: int | None,
    admin_port: int | None,
    sandbox_port: int | None,
    data: Path,
    *,
    store_url: str | None,
    fresh: bool,
    watch: bool,
    yes: bool,
    stale_read_wait: float | None,
) -> None:
    """Run a store, a sandbox, a service and a worker on this machine.

    Publishes the rules, prints a line for each event, and runs until Ctrl-C. The data is kept in the folder .waybill;
    data in the store of --store has the prefix wbdev:. Ignores all WAYBILL_* variables. Reads variables from the file
    .env beside waybill.yaml, unless they are set. Other commands in the same folder find this process without settings.
    """
    config = config or (Path(CONFIG_NAME) if Path(CONFIG_NAME).exists() else None)
    variables = read_env_file(config) if config else {}
    if config is not None:
        _check_config(config, variables | os.environ)
    with _handle_failures(), contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as exits:
        ports = choose_ports(port, admin_port, exits, sandbox_port)
        settings = {"port": str(ports.port), "admin_port": str(ports.admin_port)} | _store_settings(store_url, yes=yes)
        if stale_read_wait is not None:
            settings |= {"stale_read_wait_seconds": str(stale_read_wait)}
        write = exits.enter_context(dev_instance_file(os.environ))
        workspace = exits.enter_context(_dev_workspace(data, config, variables, fresh=fresh))
        for note in ports.notes:
            print_text(note)
        print_text("Starting a store, a sandbox, a service and a worker ...")
        stack = exits.enter_context(
            open_stack(workspace, os.environ, settings, store_url, (ports.sandbox_port, ports.mail_port))
        )
        stack.start_worker(WORKER)
        if config is None:
            SandboxClient(stack.sandbox_url).put_record(_example_order())

        def announce() -> None:
            write(DevInstance(os.getpid(), str(stack.workspace.config), stack.variables(), stack.sandbox_url))

        announce()
        keys = exits.enter_context(open_keys())
        print_text(format_introduction(stack, has_keys=keys.available))
        DevSession(stack, os.environ, announce).run(keys, watch=watch)
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
        open_stack(make_workspace(directory), os.environ, settings, store_url) as stack,
    ):
        rows = Demo(stack, report).run()
    report.table(rows)
    passed = sum(row.passed for row in rows)
    report.print(f"\n{passed} of {len(rows)} as expected, in {time.monotonic() - started:.1f} s.")
    report.next_steps(program())
    sys.exit(0 if passed == len(rows) else EXIT_NOT_OK)


def _example_order() -> Seed:
    """Return the example order, changed now: an earlier run may have decided on a newer state than the example's."""
    order = purchase_order(EXAMPLE_ORDER, 100, 40)
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return structs.replace(order, record={**order.record, "updated_at": now})


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


@contextlib.contextmanager
def _dev_workspace(data: Path, config: Path | None, variables: dict[str, str], *, fresh: bool) -> Generator[Workspace]:
    """Create the folder `data` and lock it, and yield the workspace in it with an admin token.

    Raises:
        ConfigError: the folder cannot be written, or another process uses it.
    """
    data = data.absolute()
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        (data / ".gitignore").write_text("*\n", encoding="utf-8")
        lock = (data / "lock").open("w", encoding="utf-8")
    except OSError as error:
        reason = f"cannot be written: {error.strerror}"
        raise ConfigError(str(data), reason, "give a folder that you can write to with --data") from None
    with lock, _directory() as sockets:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(str(data), "is in use by another `waybill dev`", "stop it, or add --data") from None
        if fresh:
            for folder in ("valkey", "rules", "logs"):
                shutil.rmtree(data / folder, ignore_errors=True)
            (data / "secrets.json").unlink(missing_ok=True)
        workspace = structs.replace(with_admin_token(make_workspace(data, config)), sockets=sockets)
        yield structs.replace(workspace, secrets=workspace.secrets | leave_out_replaced(variables, os.environ))


def _check_config(path: Path, environ: dict[str, str]) -> None:
    """Print all mistakes of the configuration before anything starts, and exit if there are any."""
    mistakes = read_config(path, environ).mistakes
    for mistake in mistakes:
        print_text(f"waybill: {mistake}", err=True)
    if mistakes:
        sys.exit(EXIT_CONFIG)


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
