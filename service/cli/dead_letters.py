"""`waybill dead-letters`: list, show, replay and discard."""

import click
from msgspec import structs

from service.cli.bulk import BulkOptions, bulk_options, run_bulk
from service.cli.completion import events_in
from service.cli.connection import AdminClient, ConnectionOptions, connection_options, run_with_client
from service.cli.event_output import DEAD_LETTERS, EventListRequest, list_events, print_event
from service.cli.events import RAW_OPTION, RERUN_OPTION, print_and_exit, replay_ids
from service.cli.filters import AFTER_OPTION, LIMIT_OPTION, filter_options
from service.cli.lists import ListOptions, list_options
from service.cli.output import JSON
from service.management.event_filter import EventFilter
from service.management.replay import REASON_CHARACTERS_MAX, EventChange

ERROR_HELP = "Filter by error: platform_unavailable, outcome_unknown, …"


def _check_reason(_ctx: click.Context, _param: click.Parameter, reason: str) -> str:
    if not 0 < len(reason.strip()) <= REASON_CHARACTERS_MAX:
        raise click.BadParameter(f"give a reason of 1 to {REASON_CHARACTERS_MAX} characters")
    return reason


@click.group(
    name="dead-letters",
    epilog="\b\nExamples:\n  waybill dead-letters list --since 1d\n"
    "  waybill dead-letters replay --error platform_unavailable --dry-run",
)
def dead_letters() -> None:
    """List, show, replay and discard dead letters."""


@dead_letters.command(
    name="list",
    epilog="\b\nExamples:\n  waybill dead-letters list\n"
    "  waybill dead-letters list --error platform_unavailable --since 1d",
)
@filter_options("error_kind", ERROR_HELP)
@LIMIT_OPTION
@AFTER_OPTION
@list_options
@connection_options
def list_dead_letters(
    event_filter: EventFilter, limit: int, after: str | None, *, options: ListOptions, connection: ConnectionOptions
) -> None:
    """List dead letters, newest first."""
    dead = structs.replace(event_filter, state="dead")
    list_events(connection, EventListRequest(dead, limit, after), DEAD_LETTERS, options)


@dead_letters.command(epilog="\b\nExample:\n  waybill dead-letters show 01a227c8660d7854b3a0704388149c9e")
@click.argument("event_id", metavar="ID", shell_complete=events_in("dead"))
@RAW_OPTION
@JSON
@connection_options
def show(event_id: str, *, raw: bool, as_json: bool, connection: ConnectionOptions) -> None:
    """Show a dead letter with its history."""
    print_event(
        run_with_client(connection, lambda client: client.get_event(event_id, raw=raw, dead_only=True)), as_json=as_json
    )


@dead_letters.command(
    epilog="\b\nExamples:\n  waybill dead-letters replay 01a227c8660d7854b3a0704388149c9e\n"
    "  waybill dead-letters replay --error platform_unavailable --rate 10"
)
@RERUN_OPTION
@bulk_options("error_kind", ERROR_HELP, state="dead", verb="replayed")
@connection_options
def replay(ids: tuple[str, ...], bulk: BulkOptions, *, rerun_done: bool, connection: ConnectionOptions) -> None:
    """Replay dead letters: run the effects that are not done.

    Give IDS, a filter, or --all. Exit code 1 if one of IDS is not replayed.
    """
    replay_ids(ids, bulk, rerun_done=rerun_done, connection=connection)


@dead_letters.command(
    epilog='\b\nExample:\n  waybill dead-letters discard --record po-4711 --reason "order was cancelled"'
)
@click.option("--reason", required=True, callback=_check_reason, help="Reason, for the audit log.")
@bulk_options("error_kind", ERROR_HELP, state="dead", verb="discarded")
@connection_options
def discard(ids: tuple[str, ...], reason: str, bulk: BulkOptions, *, connection: ConnectionOptions) -> None:
    """Discard dead letters: end them without running their effects.

    Give IDS, a filter, or --all. Exit code 1 if one of IDS is not discarded.
    """

    async def discard_each(client: AdminClient) -> list[EventChange]:
        return [await client.discard_event(event_id, reason) for event_id in ids]

    if ids and bulk.dry_run:
        raise click.UsageError("--dry-run cannot be combined with IDS. Give a filter or --all.")
    if ids:
        print_and_exit(run_with_client(connection, discard_each), as_json=bulk.as_json)
    else:
        run_with_client(connection, lambda client: run_bulk(bulk, lambda page: client.discard_page(page, reason)))
