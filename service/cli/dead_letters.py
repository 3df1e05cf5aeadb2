"""`waybill dead-letters`: list and show what waits for a person, put it back, or end it for good."""

import click
from msgspec import structs

from service.cli.bulk import BulkOptions, bulk_options, run_bulk
from service.cli.connection import AdminClient, ConnectionOptions, connection_options, run_with_client
from service.cli.event_output import fetch_pages, print_event, print_events
from service.cli.events import RAW_OPTION, RERUN_OPTION, print_and_exit, replay_ids
from service.cli.filters import AFTER_OPTION, LIMIT_OPTION, filter_options
from service.cli.output import JSON
from service.management.event_filter import EventFilter
from service.management.replay import REASON_CHARACTERS_MAX, EventChange

ERROR_HELP = "Those with this error (platform_unavailable, outcome_unknown, …)."


def _said(_ctx: click.Context, _param: click.Parameter, reason: str) -> str:
    if not 0 < len(reason.strip()) <= REASON_CHARACTERS_MAX:
        raise click.BadParameter(f"say why, in at most {REASON_CHARACTERS_MAX} characters")
    return reason


@click.group(name="dead-letters")
def dead_letters() -> None:
    """List and show dead letters, put them back, or end them for good."""


@dead_letters.command(name="list")
@filter_options("error_kind", ERROR_HELP)
@LIMIT_OPTION
@AFTER_OPTION
@JSON
@connection_options
def list_dead_letters(
    event_filter: EventFilter, limit: int, after: str | None, *, as_json: bool, connection: ConnectionOptions
) -> None:
    """List dead letters, those that died last first."""
    dead = structs.replace(event_filter, state="dead")
    print_events(
        run_with_client(connection, lambda client: fetch_pages(client, dead, limit, after)),
        as_json=as_json,
        nothing="no dead letters",
    )


@dead_letters.command()
@click.argument("event_id", metavar="ID")
@RAW_OPTION
@JSON
@connection_options
def show(event_id: str, *, raw: bool, as_json: bool, connection: ConnectionOptions) -> None:
    """Show one with its whole history."""
    print_event(
        run_with_client(connection, lambda client: client.get_event(event_id, raw=raw, dead_only=True)), as_json=as_json
    )


@dead_letters.command()
@RERUN_OPTION
@bulk_options("error_kind", ERROR_HELP, state="dead", verb="replayed")
@connection_options
def replay(ids: tuple[str, ...], walk: BulkOptions, *, again: bool, connection: ConnectionOptions) -> None:
    """Put dead letters back: those of IDS, or all that fit. Exit code 1 if one of IDS was left alone."""
    replay_ids(ids, walk, again=again, connection=connection)


@dead_letters.command()
@click.option("--reason", required=True, callback=_said, help="Why, for those who come after.")
@bulk_options("error_kind", ERROR_HELP, state="dead", verb="discarded")
@connection_options
def discard(ids: tuple[str, ...], reason: str, walk: BulkOptions, *, connection: ConnectionOptions) -> None:
    """End dead letters for good: those of IDS, or all that fit. What they asked for is never done."""

    async def go(client: AdminClient) -> list[EventChange]:
        return [await client.discard_event(event_id, reason) for event_id in ids]

    if ids and walk.dry_run:
        raise click.UsageError("--dry-run is for all that fit, not for IDS")
    if ids:
        print_and_exit(run_with_client(connection, go), as_json=walk.as_json)
    else:
        run_with_client(connection, lambda client: run_bulk(walk, lambda bulk: client.discard_page(bulk, reason)))
