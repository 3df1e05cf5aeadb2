"""Printing events: many in a table, one as its history."""

import click
import msgspec
from msgspec import structs

from service.cli.connection import AdminClient
from service.cli.output import Columns, print_fields, print_json, print_rows, print_table, print_text
from service.management.event_filter import EventFilter, format_timestamp
from service.management.event_search import EventRow
from service.management.event_view import EventView

PAGE_MAX = 200

COLUMNS: Columns[EventRow] = {
    "id": lambda row: row.id,
    "at": lambda row: row.at,
    "state": lambda row: row.state,
    "outcome": lambda row: row.outcome,
    "error": lambda row: row.error_kind,
    "source": lambda row: row.source,
    "type": lambda row: row.type,
    "record": lambda row: row.record,
    "attempts": lambda row: row.attempts,
    "effects": lambda row: f"{row.effects_done}/{row.effects}" if row.effects else "",
    "store": lambda row: row.store,
}

LISTED = frozenset({"headers", "body", "effects", "history", "encoding"})
"""What has a part of its own below the fields."""


async def fetch_pages(
    client: AdminClient, event_filter: EventFilter, limit: int, after: str | None
) -> tuple[list[EventRow], str | None]:
    """Gather as many events as are asked for, over as many pages as that takes, and where more begin."""
    rows: list[EventRow] = []
    while len(rows) < limit:
        page = await client.list_events(event_filter, min(limit - len(rows), PAGE_MAX), after)
        rows += page.items
        after = page.next
        if after is None:
            break
    return rows, after


def print_events(found: tuple[list[EventRow], str | None], *, as_json: bool, nothing: str) -> None:
    """Print a list of events, and where more begin."""
    rows, following = found
    print_rows(rows, COLUMNS, as_json=as_json, nothing=nothing)
    if following is not None:
        click.echo(f"more: --after {following}", err=True)


def print_event(view: EventView, *, as_json: bool) -> None:
    """Print one event with its history."""
    if as_json:
        print_json(view)
        return
    print_fields({name: value for name, value in structs.asdict(view).items() if name not in LISTED})
    if view.headers:
        click.echo("\nheaders")
        print_fields(view.headers)
    if view.body is not None:
        click.echo("\nbody")
        print_text(view.body if isinstance(view.body, str) else _json(view.body))
    if view.effects:
        click.echo("\neffects")
        rows = [
            [effect.rule_id, effect.action_id, effect.action_type, effect.repeat, effect.state]
            for effect in view.effects
        ]
        print_table(["rule id", "action id", "action type", "repeat", "state"], rows)
    if view.history:
        click.echo("\nhistory")
        for line in view.history:
            rest = {name: value for name, value in line.items() if name not in {"entry", "at_ms"}}
            moment = format_timestamp(line["at_ms"]) if "at_ms" in line else ""
            print_text(f"{moment}  {line.get('entry', '')}  {msgspec.json.encode(rest).decode()}")


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value)).decode()
