"""`waybill tail`: one line for each event that ends."""

import asyncio
import sys
from datetime import UTC, datetime

import click

from service.cli.connection import AdminClient, ConnectionOptions, connection_options, run_with_client
from service.cli.event_output import format_effects
from service.cli.filters import STATE_OPTION, filter_options
from service.cli.lists import short_age
from service.cli.output import JSON, print_json, print_row, print_text
from service.events import SHORT_ID_CHARACTERS, received_at_ms
from service.management.event_filter import EventFilter, format_timestamp
from service.management.event_search import EventRow
from service.plurals import count_noun

READ_INTERVAL_SECONDS = 1.0
OUTCOME_HELP = "Filter by outcome: matched, unmatched, unchanged, dead_lettered, …"

WIDTHS = {"age": 5, "source": 16, "type": 24, "record": 34, "outcome": 13, "effects": 7, "id": 0}
"""Columns with their least width: lines come one by one, so that no column can fit all of them."""


@click.command(
    epilog="\b\nExamples:\n  waybill tail\n  waybill tail --source pack-orders --outcome unmatched\n"
    "  waybill tail --since 10m --rule short-receipt -o json"
)
@filter_options("outcome", OUTCOME_HELP, with_until=False)
@STATE_OPTION
@JSON
@connection_options
def tail(event_filter: EventFilter, *, as_json: bool, connection: ConnectionOptions) -> None:
    """Print each event when it ends, until Ctrl-C.

    An event that is pending for two seconds is printed once before. AGE counts from its arrival. EFFECTS are those
    that are done, of all. With --since, begins with the events that ended since then.
    """

    async def follow(client: AdminClient) -> None:
        if not as_json:
            print_row(WIDTHS, list(WIDTHS), is_heading=True)
        position: str | None = None
        while True:
            batch = await client.read_live(event_filter, position)
            for row in batch.items:
                print_json(row) if as_json else print_row(WIDTHS, _cells(row))
            if batch.skipped:
                print_text(f"waybill: {count_noun(batch.skipped, 'event')} skipped, too many at once", err=True)
            position = batch.next
            await asyncio.sleep(READ_INTERVAL_SECONDS)

    try:
        run_with_client(connection, follow)
    except KeyboardInterrupt:
        sys.exit(0)


def _cells(row: EventRow) -> list[str]:
    arrived_ms = received_at_ms(row.id)
    at = row.at if arrived_ms is None else format_timestamp(arrived_ms)
    is_short = sys.stdout.isatty()
    return [
        short_age(at, datetime.now(UTC)) if is_short else at,
        row.source,
        row.type,
        row.record,
        row.outcome or row.state,
        format_effects(row),
        row.id[:SHORT_ID_CHARACTERS] if is_short else row.id,
    ]
