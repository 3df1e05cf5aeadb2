"""`waybill events`: list, find and show events, and put back those that ended."""

import sys
from collections.abc import Sequence

import click

from service.console.bulk import DONE, Walk, change_all, print_changes, walking
from service.console.desk import Desk
from service.console.event_printing import COLUMNS, collect, print_event, print_events
from service.console.printing import JSON, print_json, print_rows
from service.console.reaching import EXIT_FAILED, Way, ask, reaching
from service.console.wanting import AFTER, LIMIT, STATE, wanting
from service.oversight.replaying import Change
from service.oversight.wanted import Wanted

ENDS = "Events that ended like this (matched, unmatched, unchanged, …, or dead_lettered)."
RAW = click.option("--raw", is_flag=True, help="With bodies as they are. Takes the role admin.")
AGAIN = click.option(
    "--rerun-done", "again", is_flag=True, help="Run every effect once more, not only unfinished ones."
)


@click.group()
def events() -> None:
    """List, find and show events; put back those that ended."""


@events.command(name="list")
@wanting("outcome", ENDS)
@STATE
@LIMIT
@AFTER
@JSON
@reaching
def list_events(wanted: Wanted, limit: int, after: str | None, *, as_json: bool, way: Way) -> None:
    """List events, newest first: when they arrived, died or ended."""
    print_events(ask(way, lambda desk: collect(desk, wanted, limit, after)), as_json=as_json, nothing="no such events")


@events.command()
@click.argument("text")
@LIMIT
@JSON
@reaching
def search(text: str, limit: int, *, as_json: bool, way: Way) -> None:
    """Find events by TEXT: Waybill's own id, the id a sender gave, or a record's id or lane. Exit code 1 if none."""
    page = ask(way, lambda desk: desk.search_events(text, limit))
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
@RAW
@JSON
@reaching
def show(event_id: str, *, raw: bool, as_json: bool, way: Way) -> None:
    """Show one event: what arrived, the decision, every effect and attempt."""
    print_event(ask(way, lambda desk: desk.show_event(event_id, raw=raw, dead_only=False)), as_json=as_json)


@events.command()
@AGAIN
@walking("outcome", ENDS, state="ended", verb="replayed")
@reaching
def replay(ids: tuple[str, ...], walk: Walk, *, again: bool, way: Way) -> None:
    """Put events back: those of IDS, or all that ended and fit. Exit code 1 if one of IDS was left alone."""
    put_back(ids, walk, again=again, way=way)


def put_back(ids: Sequence[str], walk: Walk, *, again: bool, way: Way) -> None:
    """Put back single events, or if none is named all that fit."""

    async def go(desk: Desk) -> list[Change]:
        return [await desk.replay_event(event_id, again=again, dry_run=walk.dry_run) for event_id in ids]

    if ids:
        end_with(ask(way, go), as_json=walk.as_json)
    else:
        ask(way, lambda desk: change_all(walk, lambda bulk: desk.replay_page(bulk, again=again)))


def end_with(changes: Sequence[Change], *, as_json: bool) -> None:
    """Print what became of single events; what was left alone is told, and makes the exit code 1."""
    print_changes(changes, as_json=as_json)
    if any(change.result not in DONE for change in changes):
        sys.exit(EXIT_FAILED)
