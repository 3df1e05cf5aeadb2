"""`waybill status` and `waybill open`: the overview of the installation, and the address of the console."""

import os
import sys
import webbrowser
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import quote

import click

from service.cli.circuits import format_last_error
from service.cli.completion import events_in
from service.cli.connection import EXIT_FAILED, ConnectionOptions, connection_options, run_with_client
from service.cli.dev_instance import adopt_dev_instance
from service.cli.lists import short_age
from service.cli.output import JSON, print_fields, print_json, print_table, print_text
from service.management.circuits import CircuitView
from service.management.destinations import DestinationView
from service.management.event_filter import format_timestamp
from service.management.overview import InstallationOverview
from service.settings import load_settings

SEVERITY_COLOURS = {"error": "red", "warning": "yellow", "info": "bright_black"}


@click.command(epilog="\b\nExamples:\n  waybill status\n  waybill status -o json")
@JSON
@connection_options
def status(*, as_json: bool, connection: ConnectionOptions) -> None:
    """Show the overview: conditions to act on, queue, sources, accounts, destinations and rulebook.

    Exit code 1 if a condition is an error. The page Overview of the console shows the same.
    """
    overview = run_with_client(connection, lambda client: client.get_overview())
    if as_json:
        print_json(overview)
    else:
        _print_overview(overview, datetime.now(UTC))
    if any(condition.severity == "error" for condition in overview.conditions):
        sys.exit(EXIT_FAILED)


@click.command(name="open", epilog="\b\nExamples:\n  waybill open\n  waybill open 01a227c8660d")
@click.argument("event_id", metavar="[EVENT]", default="", shell_complete=events_in())
@click.option("--url", envvar="WAYBILL_ADMIN_URL", help="URL of the admin port. [WAYBILL_ADMIN_URL]")
@JSON
def open_console(event_id: str, url: str | None, *, as_json: bool) -> None:
    """Open the console, or the page of an event in it, in a browser.

    Without a browser or without a terminal, and with -o json, prints the address only.
    """
    if not url:
        adopt_dev_instance(os.environ)
        url = f"http://127.0.0.1:{load_settings(os.environ).admin_port}"
    address = url.rstrip("/").removesuffix("/api/v1") + (f"/events/{quote(event_id, safe='')}" if event_id else "/")
    if as_json:
        print_json({"url": address})
        return
    print_text(address)
    if sys.stdout.isatty():
        webbrowser.open(address)


def _print_overview(overview: InstallationOverview, now: datetime) -> None:
    for condition in overview.conditions:
        print_text(f"{condition.severity:<7}  {condition.text}", colour=SEVERITY_COLOURS[condition.severity])
    if overview.conditions:
        print_text()
    print_fields(dict(_fields(overview, now)))
    for names, rows in (
        (
            ("source", "24 h", "last event"),
            [[each.source, str(sum(each.hours)), short_age(each.last_at, now)] for each in overview.sources],
        ),
        (
            ("account", "kind", "circuit", "parked jobs", "last error"),
            [[each.account, *_circuit_cells(each)] for each in overview.circuits],
        ),
        (
            ("destination", "kind", "circuit", "parked jobs", "last error"),
            [[each.name, *_circuit_cells(each)] for each in overview.destinations],
        ),
    ):
        if rows:
            print_text()
            print_table(names, rows)


def _circuit_cells(view: CircuitView | DestinationView) -> list[str]:
    return [view.kind, view.circuit, str(view.parked_jobs), format_last_error(view.last_error)]


def _fields(overview: InstallationOverview, now: datetime) -> Iterator[tuple[str, str]]:
    queue, rulebook = overview.queue, overview.rulebook
    oldest = f", the oldest for {queue.oldest_age_ms // 1000} s" if queue.pending else ""
    memory = f", {queue.memory_percent} %" if queue.memory_percent else ""
    ended, dead = (sum(getattr(hour, name) for hour in overview.hours) for name in ("ended", "dead"))
    yield "received", f"{overview.received_per_minute:g} per minute"
    yield "ended", f"{overview.ended_per_minute:g} per minute; last 24 hours: {ended} ended, {dead} dead"
    yield "pending", f"{queue.pending}{oldest}"
    yield "jobs", f"{queue.due} due, {queue.deferred} deferred, {queue.running} running, {queue.parked} parked"
    yield "dead letters", str(queue.dead_letters)
    yield "quarantine", str(overview.quarantined)
    yield "workers", str(queue.workers)
    yield "memory", f"{queue.memory_bytes} bytes{memory}"
    if rulebook is not None:
        yield (
            "rulebook",
            f"{rulebook.version} by {rulebook.author}, {short_age(format_timestamp(rulebook.at), now)} ago",
        )
