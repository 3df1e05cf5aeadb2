"""Event commands: list, search, show, replay, and explain a decision."""

import sys
from collections.abc import Sequence

import click

from service.cli.bulk import SUCCESSFUL_RESULTS, BulkOptions, bulk_options, print_results, run_bulk
from service.cli.connection import EXIT_FAILED, AdminClient, ConnectionOptions, connection_options, run_with_client
from service.cli.event_output import COLUMNS, fetch_pages, print_event, print_events
from service.cli.filters import AFTER_OPTION, LIMIT_OPTION, STATE_OPTION, filter_options
from service.cli.output import JSON, print_json, print_rows, print_text
from service.errors import Rejection
from service.management.event_filter import EventFilter
from service.management.event_view import EFFECT_STATES, EventView
from service.management.replay import EventChange
from service.rules.explain import explain as explained
from service.rules.rulebook_document import Document

OUTCOME_HELP = "Events that ended like this (matched, unmatched, unchanged, …, or dead_lettered)."
RAW_OPTION = click.option("--raw", is_flag=True, help="With bodies as they are. Takes the role admin.")
RERUN_OPTION = click.option(
    "--rerun-done", "again", is_flag=True, help="Run every effect once more, not only unfinished ones."
)

EXPLAINED_FIELDS = ("id", "state", "outcome", "error_kind", "waiting_for", "next_attempt_at", "history")
RECEIVED = ("type", "change", "source", "record")
"""What the history does not tell before the decision."""

LEDGER_LETTERS = {state: letter for letter, state in EFFECT_STATES.items()}


@click.group()
def events() -> None:
    """List, find and show events; put back those that ended."""


@events.command(name="list")
@filter_options("outcome", OUTCOME_HELP)
@STATE_OPTION
@LIMIT_OPTION
@AFTER_OPTION
@JSON
@connection_options
def list_events(
    event_filter: EventFilter, limit: int, after: str | None, *, as_json: bool, connection: ConnectionOptions
) -> None:
    """List events, newest first: when they arrived, died or ended."""
    print_events(
        run_with_client(connection, lambda client: fetch_pages(client, event_filter, limit, after)),
        as_json=as_json,
        nothing="no such events",
    )


@events.command()
@click.argument("text")
@LIMIT_OPTION
@JSON
@connection_options
def search(text: str, limit: int, *, as_json: bool, connection: ConnectionOptions) -> None:
    """Find events by TEXT: Waybill's own id, the id a sender gave, or a record's id or lane. Exit code 1 if none."""
    page = run_with_client(connection, lambda client: client.search_events(text, limit))
    if as_json:
        for found in page.items:
            print_json(found)
    else:
        print_rows([found.event for found in page.items], COLUMNS, as_json=False, nothing="nothing found")
    if not page.complete:
        click.echo("there may be more: narrow it down with waybill events list --record", err=True)
    if not page.items:
        sys.exit(EXIT_FAILED)


@events.command()
@click.argument("event_id", metavar="ID")
@RAW_OPTION
@JSON
@connection_options
def show(event_id: str, *, raw: bool, as_json: bool, connection: ConnectionOptions) -> None:
    """Show one event: what arrived, the decision, every effect and attempt."""
    print_event(
        run_with_client(connection, lambda client: client.get_event(event_id, raw=raw, dead_only=False)),
        as_json=as_json,
    )


@events.command()
@RERUN_OPTION
@bulk_options("outcome", OUTCOME_HELP, state="ended", verb="replayed")
@connection_options
def replay(ids: tuple[str, ...], walk: BulkOptions, *, again: bool, connection: ConnectionOptions) -> None:
    """Put events back: those of IDS, or all that ended and fit. Exit code 1 if one of IDS was left alone."""
    replay_ids(ids, walk, again=again, connection=connection)


def replay_ids(ids: Sequence[str], walk: BulkOptions, *, again: bool, connection: ConnectionOptions) -> None:
    """Put back single events, or if none is named all that fit."""

    async def go(client: AdminClient) -> list[EventChange]:
        return [await client.replay_event(event_id, rerun_done=again, dry_run=walk.dry_run) for event_id in ids]

    if ids:
        print_and_exit(run_with_client(connection, go), as_json=walk.as_json)
    else:
        run_with_client(
            connection, lambda client: run_bulk(walk, lambda bulk: client.replay_page(bulk, rerun_done=again))
        )


def print_and_exit(changes: Sequence[EventChange], *, as_json: bool) -> None:
    """Print what became of single events; what was left alone is told, and makes the exit code 1."""
    print_results(changes, as_json=as_json)
    if any(change.result not in SUCCESSFUL_RESULTS for change in changes):
        sys.exit(EXIT_FAILED)


@click.command()
@click.argument("event_id", metavar="EVENT")
@RAW_OPTION
@JSON
@connection_options
def explain(event_id: str, *, raw: bool, as_json: bool, connection: ConnectionOptions) -> None:
    """Show why EVENT was decided as it was: every rule, what settled it, and what came of its effects."""
    view, document = run_with_client(connection, lambda client: _read(client, event_id, raw=raw))
    shown = {name: getattr(view, name) for name in EXPLAINED_FIELDS}
    if as_json:
        print_json(shown)
        return
    ledger = "".join(LEDGER_LETTERS[effect.state] for effect in view.effects)
    received = {name: getattr(view, name) for name in RECEIVED} if view.source else None
    for line in explained(shown | {"ledger": ledger, "received": received}, document):
        print_text(line)


async def _read(client: AdminClient, event_id: str, *, raw: bool) -> tuple[EventView, Document | None]:
    """Read the event, and the rules it was decided by if they are kept still."""
    view = await client.get_event(event_id, raw=raw, dead_only=False)
    version = next((line["rulebook"] for line in view.history if line["entry"] == "decided"), None)
    if not version:
        return view, None
    try:
        return view, (await client.get_rulebook(version)).document
    except Rejection:
        return view, None
