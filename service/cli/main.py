"""Entry point of the `waybill` command: command lookup, help and exit codes.

A command is an entry point of the group `waybill.commands`. Only the command that is called is imported. Exit codes: 0
done; 1 failed, with one `process.failed` line in the log; 2 a configuration or usage error, with its text on stderr.
"""

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import EntryPoint
from io import TextIOWrapper
from types import ModuleType
from typing import Any, Literal, cast

import click
from click.shell_completion import CompletionItem

from service.cli.imports import import_structlog, jwt_on_first_use
from service.cli.output import print_text
from service.errors import ConfigError, WaybillError
from service.extensions import OWN_PACKAGE, installed_entry_points
from service.garbage import collect_less_often

ENTRY_POINT_GROUP = "waybill.commands"
LONG_RUNNING_COMMANDS: Mapping[str, Literal["service", "workers"]] = {"serve": "service", "worker": "workers"}
"""Commands that run in pods. Every error that ends them is logged, including errors during their import."""

SUMMARIES = {
    "check": "Check settings, waybill.yaml, secrets, rule files and extensions.",
    "completion": "Print a script for a shell that completes commands, options, names and ids.",
    "dead-letters": "List, show, replay and discard dead letters.",
    "demo": "Send example deliveries, kill a worker, and show each result.",
    "dev": "Run a store, a sandbox, a service and a worker on this machine.",
    "destinations": "Show, pause, resume and test the targets of actions.",
    "doctor": "Diagnose configuration, stores, platforms, destinations and rulebook.",
    "events": "List, search, show and replay events.",
    "explain": "Explain the decision on an event.",
    "erase-customer": "Erase all stored data of a customer.",
    "init": "Write a starter waybill.yaml, a first rule and its test.",
    "open": "Open the console, or the page of an event in it, in a browser.",
    "platforms": "Read from and write to the configured platform accounts.",
    "polls": "Show the state of each poll.",
    "quarantine": "Inspect, diagnose, reverify, release or delete quarantined deliveries.",
    "rules": "Check, test, publish and show rules.",
    "sandbox": "Run a mock of the supported platforms.",
    "send": "Send signed test deliveries to a source.",
    "serve": "Run the service: webhooks, health checks, the admin API and the console.",
    "sources": "List the configured sources, or the presets of well-known senders.",
    "status": "Show the overview: conditions to act on, queue, sources, accounts, destinations and rulebook.",
    "store": "Show the status of each store; accept a lost store.",
    "tail": "Print each event when it ends, until Ctrl-C.",
    "worker": "Run a worker: fetch records, evaluate rules, run actions.",
    "workers": "List the workers and their heartbeats.",
}
"""First help line of each command of this package. `waybill --help` prints it without importing the commands."""

COMPLETION_VARIABLE = "_WAYBILL_COMPLETE"
"""Variable by which the script of a shell asks for completions."""

EXIT_FAILED = 1
EXIT_CONFIG = 2
SUMMARY_CHARS_MAX = 120

EPILOG = """\b
Examples:
  waybill dev
  waybill check --config waybill.yaml
  waybill events list --since 1h

Settings are environment variables WAYBILL_*. Platforms, sources and rules are in the file that WAYBILL_CONFIG names
(default: waybill.yaml in the current folder). Run `waybill COMMAND --help` for the options of a command."""


class CommandGroup(click.Group):
    """Click group of the commands that are entry points. A command is imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of all installed commands, without importing them."""
        return sorted(installed_entry_points().select(group=ENTRY_POINT_GROUP).names)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, and configure the log of a long-running command before its import.

        Raises:
            click.NoSuchCommand: no such command is installed. The error suggests similar names.
        """
        component = LONG_RUNNING_COMMANDS.get(args[0])
        if component is not None:
            _log_module().configure(component)
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            raise click.NoSuchCommand(error.command_name, possibilities=self.list_commands(ctx), ctx=ctx) from None

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import a command. Return None if no such command is installed.

        Raises:
            ConfigError: the command is installed, but cannot be imported or is not a click command.
        """
        found = tuple(installed_entry_points().select(group=ENTRY_POINT_GROUP, name=cmd_name))
        return _load(found[0]) if found else None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[Any]]:
        """Complete the name of a command or an option, without importing the commands."""
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        found = [CompletionItem(name, help=SUMMARIES.get(name)) for name in names]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands with their summaries. Only commands of other packages are imported for it."""
        rows = [(name, SUMMARIES.get(name) or _summary(self, ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _summary(commands: CommandGroup, ctx: click.Context, name: str) -> str:
    try:
        command = commands.get_command(ctx, name)
    except ConfigError as error:
        return f"[{error.reason}]"
    return command.get_short_help_str(SUMMARY_CHARS_MAX) if command else ""


def _load(entry: EntryPoint) -> click.Command:
    path = f"command {entry.name}"
    import_structlog()
    try:
        command = _load_own(entry) if entry.dist is not None and entry.dist.name == OWN_PACKAGE else entry.load()
    except (ImportError, AttributeError) as error:
        reason = f"{entry.value} cannot be imported ({error})"
        raise ConfigError(path, reason, "install the package that provides it, with its extras") from error
    if not isinstance(command, click.Command):
        raise ConfigError(path, f"{entry.value} is not a click command", "name a click command in the entry point")
    return command


def _load_own(entry: EntryPoint) -> object:
    with jwt_on_first_use():
        return entry.load()


@click.command(
    cls=CommandGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(package_name="waybill", prog_name="waybill", message="%(prog)s %(version)s")
def waybill() -> None:
    """Receive webhooks, fetch the records they are about, evaluate rules, and run actions."""


def main() -> None:
    """Run the command line and end the process with an exit code."""
    collect_less_often()
    _silence_completion()
    if hasattr(sys.stdout, "reconfigure"):
        # A locale other than UTF-8 lacks some characters.
        cast("TextIOWrapper[Any]", sys.stdout).reconfigure(errors="backslashreplace")
    try:
        waybill(prog_name="waybill")
    except ConfigError as error:
        _log_error(error, only_if_configured=True)
        for mistake in error.mistakes:
            print_text(f"waybill: {mistake}", err=True)
        sys.exit(EXIT_CONFIG)
    except WaybillError as error:
        _log_error(error, only_if_configured=False)
        sys.exit(EXIT_FAILED)


def _silence_completion() -> None:
    """Write no error to the terminal if this process completes a word."""
    if COMPLETION_VARIABLE in os.environ:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _log_error(error: WaybillError, *, only_if_configured: bool) -> None:
    """Log the error that ends the process. `only_if_configured`: skip commands whose error is printed instead."""
    log = _log_module()
    if not log.structlog.is_configured():
        if only_if_configured:
            return
        log.configure("service")
    log.get_logger().critical("process.failed", error_kind=error.kind, error_message=str(error))


def _log_module() -> ModuleType:
    """Import the log, which takes as long as the whole of `waybill --help`."""
    import_structlog()
    return import_module("service.log")
