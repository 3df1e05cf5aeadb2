"""Output of events: a list as a table, one event with its history."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct, structs

from service.cli.connection import AdminClient, ConnectionOptions
from service.cli.lists import ListOptions, ListTable, age, run_list
from service.cli.output import Columns, columns_of, print_fields, print_json, print_table, print_text
from service.exchange_text import format_curl, format_exchange
from service.management.differences import DifferingDuplicates
from service.management.event_filter import EventFilter, format_timestamp
from service.management.event_search import EventRow
from service.management.event_view import EventView

PAGE_MAX = 200


def format_effects(row: EventRow) -> str:
    """Format the effects of an event: `2/3` if two of three are done, '' without effects."""
    return f"{row.effects_done}/{row.effects}" if row.effects else ""


_WIDE_COLUMNS: Columns[EventRow] = {
    **columns_of("at", "source", "type", "record", "state", "outcome"),
    "error": lambda row: row.error_kind,
    **columns_of("attempts"),
    "effects": format_effects,
    **columns_of("id", "store"),
}


def _columns(result: Columns[EventRow]) -> Columns[EventRow]:
    return {
        "age": age("at"),
        **columns_of("source", "type", "record"),
        **result,
        "effects": format_effects,
        **columns_of("id"),
    }


EVENTS = ListTable[EventRow](
    columns=_columns({"outcome": lambda row: row.outcome or row.state}),
    wide=_WIDE_COLUMNS,
    name=lambda row: row.id,
    has_event_ids=True,
    empty_message="No events match the filter.",
)
DEAD_LETTERS = structs.replace(
    EVENTS,
    columns=_columns({"error": lambda row: row.error_kind}),
    empty_message="No dead letters match the filter.",
)

SECTIONS = frozenset({"headers", "body", "differing_duplicates", "effects", "history", "encoding"})
"""Fields that are printed as sections below the other fields."""


async def fetch_pages(
    client: AdminClient, event_filter: EventFilter, limit: int, after: str | None
) -> tuple[list[EventRow], str | None]:
    """Fetch up to `limit` events page by page. Return them and the cursor of the next page."""
    rows: list[EventRow] = []
    while len(rows) < limit:
        page = await client.list_events(event_filter, min(limit - len(rows), PAGE_MAX), after)
        rows += page.items
        after = page.next
        if after is None:
            break
    return rows, after


class EventListRequest(Struct, frozen=True):
    """Filter and page of a list of events."""

    event_filter: EventFilter
    limit: int
    after: str | None


def list_events(
    connection: ConnectionOptions, request: EventListRequest, table: ListTable[EventRow], options: ListOptions
) -> None:
    """Print a list of events, and the option that continues it."""
    cursors: list[str | None] = []

    async def fetch(client: AdminClient) -> Sequence[EventRow]:
        rows, cursor = await fetch_pages(client, request.event_filter, request.limit, request.after)
        cursors.append(cursor)
        return rows

    run_list(connection, fetch, table, options)
    if cursors[0] is not None:
        print_text(f"More events: add --after {cursors[0]}", err=True)


def print_event(view: EventView, *, as_json: bool) -> None:
    """Print one event with its history."""
    if as_json:
        print_json(view)
        return
    print_fields({name: value for name, value in structs.asdict(view).items() if name not in SECTIONS})
    if view.headers:
        print_text("\nheaders")
        print_fields(view.headers)
    if view.body is not None:
        print_text("\nbody")
        print_text(view.body if isinstance(view.body, str) else _json(view.body))
    if view.differing_duplicates is not None:
        _print_differences(view.differing_duplicates)
    if view.effects:
        print_text("\neffects")
        rows = [
            [each.rule_id, each.action_id, each.action_type, each.repeat, each.state, each.waiting_behind or ""]
            for each in view.effects
        ]
        print_table(["rule id", "action id", "action type", "repeat", "state", "waiting behind"], rows)
    if view.history:
        print_text("\nhistory")
        for entry in view.history:
            _print_history_entry(entry)


def _print_history_entry(entry: Mapping[str, Any]) -> None:
    fields = {name: value for name, value in entry.items() if name not in {"entry", "at_ms", "exchange"}}
    timestamp = format_timestamp(entry["at_ms"]) if "at_ms" in entry else ""
    print_text(f"{timestamp}  {entry.get('entry', '')}  {msgspec.json.encode(fields).decode()}")
    for line in format_exchange(entry["exchange"]) if entry.get("exchange") else ():
        print_text(f"    {line}")


def print_curl(view: EventView) -> None:
    """Print a curl command for the last request of each effect."""
    if not view.effects:
        print_text(f"# the event is {view.state} and has no effects")
    for effect in view.effects:
        name = f"{effect.rule_id}.{effect.action_id}"
        entries = [
            entry
            for entry in view.history
            if (entry.get("rule_id"), entry.get("action_id")) == (effect.rule_id, effect.action_id)
            and "request" in (entry.get("exchange") or {})
        ]
        if not entries:
            print_text(f"# {name}: no request is stored, the effect is {effect.state}")
            continue
        print_text(f"# {name}, attempt {entries[-1]['attempt']}, {format_timestamp(entries[-1]['at_ms'])}")
        for line in format_curl(entries[-1]["exchange"]):
            print_text(line)


def _print_differences(duplicates: DifferingDuplicates) -> None:
    print_text("\nduplicates with other content: acknowledged, and not processed")
    fields = structs.asdict(duplicates)
    differences = fields.pop("differences")
    print_fields(fields)
    if differences:
        rows = [[each.path, each.first or "", each.later or ""] for each in differences]
        print_table(["path", "first", "later"], rows)
    elif differences is not None:
        print_text("The bodies differ in blanks or order only.")


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value)).decode()
