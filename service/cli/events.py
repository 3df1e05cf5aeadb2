"""`waybill events` and `waybill explain`."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import click
from msgspec import structs

from service.cli.bulk import SUCCESSFUL_RESULTS, BulkOptions, bulk_options, print_results, run_bulk
from service.cli.completion import events_in
from service.cli.connection import EXIT_FAILED, AdminClient, ConnectionOptions, connection_options, run_with_client
from service.cli.event_output import EVENTS, EventListRequest, list_events, print_curl, print_event
from service.cli.explanation_output import NOT_EVALUATED, format_explanation
from service.cli.filters import AFTER_OPTION, LIMIT_OPTION, STATE_OPTION, filter_options
from service.cli.lists import ListOptions, list_options, print_list
from service.cli.output import JSON, print_json, print_text
from service.management.event_filter import EventFilter
from service.management.replay import EventChange

OUTCOME_HELP = "Filter by outcome: matched, unmatched, unchanged, dead_lettered, …"
RAW_OPTION = click.option("--raw", is_flag=True, help="Show bodies without redaction. Requires the role admin.")
RERUN_OPTION = click.option("--rerun-done", is_flag=True, help="Rerun all effects, including those that are done.")

MARK_COLOURS = {"+ ": "green", "- ": "bright_black", "? ": "yellow", "! ": "red", f"{NOT_EVALUATED} ": "bright_black"}
LEGEND = f"+ true or matched   - false or unmatched   ? unknown   ! error   {NOT_EVALUATED} not evaluated"


@click.group(
    epilog="\b\nExamples:\n  waybill events list --since 1h\n"
    "  waybill events replay --rule short-receipt --since 2h --dry-run"
)
def events() -> None:
    """List, search, show and replay events."""


@events.command(
    name="list",
    epilog="\b\nExamples:\n  waybill events list --since 1h\n"
    "  waybill events list --source pack-orders --outcome unmatched -o wide\n  waybill events list --watch",
)
@filter_options("outcome", OUTCOME_HELP)
@STATE_OPTION
@LIMIT_OPTION
@AFTER_OPTION
@list_options
@connection_options
def list_(
    event_filter: EventFilter, limit: int, after: str | None, *, options: ListOptions, connection: ConnectionOptions
) -> None:
    """List events, newest first.

    The age of an event counts from its arrival, its end, or the moment at which it became a dead letter. EFFECTS are
    those that are done, of all.
    """
    list_events(connection, EventListRequest(event_filter, limit, after), EVENTS, options)


@events.command(epilog="\b\nExample:\n  waybill events search po-4711")
@click.argument("text", shell_complete=events_in())
@LIMIT_OPTION
@JSON
@connection_options
def search(text: str, limit: int, *, as_json: bool, connection: ConnectionOptions) -> None:
    """Find events by an id.

    TEXT is an event id of Waybill or of the sender, a record id, or a lane such as pack:customer:1. Exit code 1 if
    nothing is found.
    """
    page = run_with_client(connection, lambda client: client.search_events(text, limit))
    if as_json:
        for found in page.items:
            print_json(found)
    else:
        table = structs.replace(EVENTS, empty_message="No event found.")
        print_list([found.event for found in page.items], table, None)
    if not page.complete:
        print_text("There may be more events. List them with: waybill events list --record RECORD", err=True)
    if not page.items:
        sys.exit(EXIT_FAILED)


@events.command(
    epilog="\b\nExamples:\n  waybill events show 01a227c8660d7854b3a0704388149c9e\n"
    "  waybill events show 01a227c8660d7854b3a0704388149c9e --curl --raw"
)
@click.argument("event_id", metavar="ID", shell_complete=events_in())
@RAW_OPTION
@click.option(
    "--curl",
    is_flag=True,
    help="Print a curl command for the last request of each effect. Secrets are shell variables.",
)
@JSON
@connection_options
def show(event_id: str, *, raw: bool, curl: bool, as_json: bool, connection: ConnectionOptions) -> None:
    """Show an event with its delivery, decision, effects and attempts."""
    if curl and as_json:
        raise click.UsageError("--curl cannot be combined with --output.")
    view = run_with_client(connection, lambda client: client.get_event(event_id, raw=raw, dead_only=False))
    if curl:
        print_curl(view)
    else:
        print_event(view, as_json=as_json)


@events.command(
    epilog="\b\nExamples:\n  waybill events replay 01a227c8660d7854b3a0704388149c9e\n"
    "  waybill events replay --rule short-receipt --since 2h --dry-run"
)
@RERUN_OPTION
@bulk_options("outcome", OUTCOME_HELP, state="ended", verb="replayed")
@connection_options
def replay(ids: tuple[str, ...], bulk: BulkOptions, *, rerun_done: bool, connection: ConnectionOptions) -> None:
    """Replay ended events: run the effects that are not done.

    Give IDS, a filter, or --all. Exit code 1 if one of IDS is not replayed.
    """
    replay_ids(ids, bulk, rerun_done=rerun_done, connection=connection)


def replay_ids(ids: Sequence[str], bulk: BulkOptions, *, rerun_done: bool, connection: ConnectionOptions) -> None:
    """Replay the events of `ids`, or without ids all events that match the filter."""

    async def replay_each(client: AdminClient) -> list[EventChange]:
        return [await client.replay_event(event_id, rerun_done=rerun_done, dry_run=bulk.dry_run) for event_id in ids]

    if ids:
        print_and_exit(run_with_client(connection, replay_each), as_json=bulk.as_json)
    else:
        run_with_client(
            connection, lambda client: run_bulk(bulk, lambda page: client.replay_page(page, rerun_done=rerun_done))
        )


def print_and_exit(changes: Sequence[EventChange], *, as_json: bool) -> None:
    """Print the result of each event. Exit with code 1 if one is not changed."""
    print_results(changes, as_json=as_json)
    if any(change.result not in SUCCESSFUL_RESULTS for change in changes):
        sys.exit(EXIT_FAILED)


@click.command(epilog="\b\nExample:\n  waybill explain 01a227c8660d7854b3a0704388149c9e")
@click.argument("event_id", metavar="EVENT", shell_complete=events_in())
@RAW_OPTION
@JSON
@connection_options
def explain(event_id: str, *, raw: bool, as_json: bool, connection: ConnectionOptions) -> None:
    """Explain the decision on an event.

    Shows the result of every rule with the values compared, each effect, and each attempt with its request and answer.
    Marks: + true or matched, - false or unmatched, ? unknown, ! error, · not evaluated.
    """
    explanation = run_with_client(connection, lambda client: client.explain_event(event_id, raw=raw))
    if as_json:
        print_json(explanation)
        return
    for line in format_explanation(explanation, datetime.now(UTC)):
        print_text(line, colour=MARK_COLOURS.get(line.lstrip()[:2]))
    if sys.stdout.isatty():
        print_text(LEGEND, colour="bright_black")
