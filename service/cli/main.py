"""The `waybill` command: finds the rooms' commands by name and turns their errors into exit codes.

A command is an entry point of the group `waybill.commands`; only the one that is called is imported, so that `waybill
serve` never loads a worker, and `waybill --help` loads no command at all. Exit codes: 0 done, 1 failed (one
`process.failed` line), 2 a mistake in the configuration or on the command line (its text on stderr).
"""

import sys
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points

import click
import structlog

from service.errors import ConfigError, WaybillError
from service.log import Component, configure, get_logger

ENTRY_POINT_GROUP = "waybill.commands"
LONG_RUNNING_COMMANDS: Mapping[str, Component] = {"serve": "service", "worker": "workers"}
"""Commands that are pods: whatever ends them is a line of the log, even what happens while they are imported."""

SUMMARIES = {
    "check": "Check settings, waybill.yaml, secrets and rule files without starting anything.",
    "dead-letters": "List and show dead letters, put them back, or end them for good.",
    "demo": "Send deliveries, kill a worker half-way, and show what became of each.",
    "dev": "Run everything on this machine until Ctrl-C.",
    "doctor": "Check configuration, stores, platforms and rulebook.",
    "events": "List, find and show events; put back those that ended.",
    "explain": "Show why EVENT was decided as it was: every rule, what settled it, and what came of its effects.",
    "erase-customer": "Erase the customer CUSTOMER_ID of PLATFORM everywhere; erase them at the platform first.",
    "platforms": "Ask the configured platforms for what they hold, or change it.",
    "polls": "Tell how the polls stand; the counts are those of the pass under way.",
    "quarantine": "Look at refused deliveries, and take the good ones in after a mistake is mended.",
    "rules": "Check, test, publish and show the rules.",
    "sandbox": "Answer like the four platforms, from examples, with faults on demand.",
    "send": "Sign and post deliveries as the sender of SOURCE would; print each answer.",
    "serve": "Take in webhooks on WAYBILL_PORT, answer health and the admin API on WAYBILL_ADMIN_PORT.",
    "sources": "List the configured sources, and how many refused deliveries of each are kept.",
    "store": "Tell how each store fares: what waits, durability, the sweep, and what takes its memory.",
    "worker": "Run jobs: fetch, decide, act.",
    "workers": "List the workers by their heartbeats.",
}
"""First help line of each of our own commands, for a list without imports; a test compares the two."""

EXIT_FAILED = 1
EXIT_CONFIG = 2
SUMMARY_CHARS_MAX = 120

EPILOG = """Settings are WAYBILL_* variables; platforms, sources and rules stand in the file that WAYBILL_CONFIG
names (waybill.yaml in this folder). `waybill check` looks at all of it; `waybill dev` needs none of it."""


class CommandGroup(click.Group):
    """The click group whose commands are entry points, loaded when called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names of all installed commands, without importing any."""
        return sorted(entry_points(group=ENTRY_POINT_GROUP).names)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is called; the log of a process is there before it is imported."""
        component = LONG_RUNNING_COMMANDS.get(args[0])
        if component is not None:
            configure(component)
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import the command of that name; None if there is none.

        Raises:
            ConfigError: it is installed but cannot be imported, or is no click command.
        """
        found = tuple(entry_points(group=ENTRY_POINT_GROUP, name=cmd_name))
        return _load(found[0]) if found else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with their summaries; only a command of another package is imported for its own."""
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
    where = f"command {entry.name}"
    try:
        command = entry.load()
    except (ImportError, AttributeError) as error:
        reason = f"{entry.value} cannot be imported ({error})"
        raise ConfigError(where, reason, "install the package that offers it, with its extras") from error
    if not isinstance(command, click.Command):
        raise ConfigError(where, f"{entry.value} is no click command", "name one in the entry point")
    return command


@click.command(
    cls=CommandGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(package_name="waybill", prog_name="waybill", message="%(prog)s %(version)s")
def waybill() -> None:
    """Receive webhooks, keep every one, fetch the record, apply the rules, act."""


def main() -> None:
    """Run the command line; click ends the process with 0 itself."""
    try:
        waybill(prog_name="waybill")
    except ConfigError as error:
        _log_error(error, only_if_configured=True)
        click.echo(f"waybill: {error}", err=True)
        sys.exit(EXIT_CONFIG)
    except WaybillError as error:
        _log_error(error, only_if_configured=False)
        sys.exit(EXIT_FAILED)


def _log_error(error: WaybillError, *, only_if_configured: bool) -> None:
    """Log why the process ends: for a service always, for a person's command only where stderr does not say it."""
    if not structlog.is_configured():
        if only_if_configured:
            return
        configure("service")
    get_logger().critical("process.failed", error_kind=error.kind, error_message=str(error))
